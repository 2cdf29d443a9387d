"""One repository whose Compose files hold most of what people write, in versions."""

from tests.e2e.world import HERE, release

MAIN = """
name: ${{PREFIX}}-shop
x-tiny: &tiny
  image: ${{TINY}}
  init: true
  command: [sleep, infinity]
  stop_grace_period: 1s
include:
  - path: parts/included.yml
configs:
  motd: {{file: ./conf/motd.txt}}
  content: {{content: "{version} $WORD $$HOME"}}
  variable: {{environment: WORD}}
secrets:
  file: {{file: ./secrets/token}}
  variable: {{environment: SECRET_VALUE}}
networks:
  back: {{internal: true, labels: {{org.example.net: "{version}"}}}}
volumes:
  kept: {{}}
  scratch: {{driver: local, driver_opts: {{type: tmpfs, device: tmpfs, o: size=1m}}}}
services:
  web:
    extends: {{file: parts/base.yml, service: base}}
    build: {{context: ., target: shop, args: {{WORD: "${{WORD}} {version}"}}}}
    container_name: ${{PREFIX}}-front
    restart: unless-stopped
    stop_grace_period: 2s
    env_file:
      - plain.env
      - {{path: "${{ENV_FOLDER}}/with spaces.env"}}
      - {{path: never.env, required: false}}
    ports: ["127.0.0.1:${{PORT}}:8000"]
    networks: {{default: {{aliases: [shop]}}, back: }}
    volumes: ["./uploads:/app/uploads", "kept:/kept", "scratch:/scratch"]
    tmpfs: [/run/shop]
    ulimits: {{nofile: {{soft: 2000, hard: 3000}}}}
    labels: {{org.example.word: "${{WORD}} {version}"}}
    configs: [motd, {{source: content, target: /etc/content, mode: 0440}}, variable]
    secrets: [file, {{source: variable, target: value, mode: 0400}}]
    depends_on:
      migrate: {{condition: service_completed_successfully}}
      cache: {{condition: service_healthy, restart: true}}
    healthcheck:
      test: [CMD, python3, -c, "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz')"]
      interval: 1s
      retries: 2
      start_period: 10s
  migrate:
    <<: *tiny
    restart: on-failure:5
    command: [sh, -c, "echo {version} >> /tries; test $$(wc -l < /tries) -gt 2"]
  cache:
    <<: *tiny
    deploy: {{replicas: {replicas}, resources: {{limits: {{memory: 64M}}}}}}
    networks: {{back: {{aliases: ["store"]}}}}
    configs: [variable]
    healthcheck: {{test: [CMD, test, -e, /marker], interval: 1s, retries: 5}}
  idle:
    <<: *tiny
    deploy: {{replicas: 0}}
  tool:
    build: {{context: ., target: tool}}
    image: ${{PREFIX}}-tool:1
    init: true
    profiles: [extra]
    configs: [content, motd]
    stop_grace_period: 1s
  borrower:
    image: ${{PREFIX}}-tool:1
    restart: "no"
    command: ["true"]
  side:
    <<: *tiny
    network_mode: service:web
"""
PROD = """
services:
  web:
    environment: {{LAYERED: "{version}"}}
"""
BASE = """
services:
  base:
    extra_hosts: ["host.docker.internal:host-gateway"]
    environment: {{MONGODB_URI: "${{MONGODB_URI}}", EXTENDED: "{version}"}}
"""
INCLUDED = """
services:
  hosted:
    image: ${{TINY}}
    init: true
    network_mode: host
    command: [sleep, infinity]
    stop_grace_period: 1s
    scale: 2
    env_file: beside.env
"""
DOCKERFILE = """
FROM sheetanchor-base:1 AS common
ARG WORD=none
ENV BUILT_WITH=$WORD
FROM common AS shop
COPY app.py release.json /app/
CMD ["python3", "/app/app.py"]
FROM common AS tool
COPY tool.txt /tool.txt
CMD ["sleep", "infinity"]
"""
HOST = 'services: {web: {labels: {org.example.host: "written on the host"}}}\n'
COMPOSE_FILES = ["docker-compose.yml", "docker-compose.prod.yml", "docker-compose.host.yml"]
IGNORED = ".env.production\nbackups/\nsecrets/\n*spaces.env\n*.host.yml\n"
INSIDE = {  # service -> files that are read in each of its containers
    "web": ["/motd", "/etc/content", "/variable", "/run/secrets/file", "/run/secrets/value"],
    "cache": ["/variable", "/marker"],
    "tool": ["/tool.txt", "/content", "/motd"],
    "hosted": ["/marker"],
}


def files(version, replicas=2, **fields):
    """Return the repository's files as of a version."""
    known = {"version": version, "replicas": replicas}
    return {
        "docker-compose.yml": MAIN.format(**known),
        "docker-compose.prod.yml": PROD.format(**known),
        "parts/base.yml": BASE.format(**known),
        "parts/included.yml": INCLUDED.format(**known),
        "parts/beside.env": f"BESIDE={version}\n",
        "plain.env": f"PLAIN={version}\n",
        "conf/motd.txt": f"hello {version}",
        "tool.txt": "never changes",
        "Dockerfile": DOCKERFILE,
        "app.py": (HERE / "app" / "app.py").read_text(),
        "release.json": release(version, **fields),
        ".gitignore": IGNORED,
    }


def untracked(folder, *, word="word", secret="a$$b c'd", **variables):
    """Write what Git does not know: the env files, a secret and a Compose file."""
    (folder / "docker-compose.host.yml").write_text(HOST)
    (folder / "secrets").mkdir(exist_ok=True)
    (folder / "secrets" / "token").write_text("token")
    (folder / "more").mkdir(exist_ok=True)
    (folder / "more" / "with spaces.env").write_text(f"SPACED={word}\n")
    known = {
        "WORD": word,
        "SECRET_VALUE": f'"{secret}"',
        "ENV_FOLDER": "more",
        "COMPOSE_PROFILES": "extra",
        **variables,
    }
    env = folder / ".env.production"
    env.write_text("".join(f"{name}={value}\n" for name, value in known.items()))
    env.chmod(0o600)
