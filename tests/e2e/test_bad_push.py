import re
import threading
import time

import docker
import pytest

from tests.e2e.world import release

BROKEN_DOCKERFILE = "FROM sheetanchor-base:1\nRUN sleep 1; echo said-by-the-build; exit 7\n"


class Probe:
    """Asks the app every 20 ms; remembers every failure."""

    def __init__(self, world):
        self.world, self.asked, self.failed, self.running = world, 0, [], True
        self.thread = threading.Thread(target=self.run)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.running = False
        self.thread.join()

    def run(self):
        while self.running:
            self.asked += 1
            if self.world.version() is None:
                self.failed.append(time.time())
            time.sleep(0.02)


def tags(world):
    client = docker.from_env()
    try:
        return client.images.get(f"{world.name}-web").id
    finally:
        client.close()


def test_failed_build_is_not_noticed_by_anybody(running):
    before, tag = running.fingerprint(), tags(running)

    with Probe(running) as probe:
        ended = running.wait(running.push({"Dockerfile": BROKEN_DOCKERFILE}))

    assert ended["status"] == "failed"
    assert ended["error"]["step"] == "build"
    assert "exit code: 7" in ended["error"]["remedy"] + ended["error"]["message"]
    log = running.state / "apps" / running.name / "logs" / f"{ended['id']}.log"
    assert re.search(r"said-by-the-build$", log.read_text(), re.MULTILINE)
    assert probe.failed == []
    assert probe.asked > 50
    assert running.fingerprint() == before
    assert tags(running) == tag


ILL = {
    "exits-at-once": release("two", mode="exits"),
    "never-healthy": release("two", mode="never_healthy"),
    "healthy-then-not": release("two", mode="healthy_then_not", after=4),
}


@pytest.mark.parametrize("world", [{"health": {"stable_for": 6, "timeout": 8}}], indirect=True)
@pytest.mark.parametrize("ill", ILL.values(), ids=ILL)
def test_ill_version_is_undone(running, ill):
    before = running.fingerprint()

    ended = running.wait(running.push({"release.json": ill}))

    assert ended["status"] == "rolled_back", ended
    assert ended["error"]["message"]
    assert running.version() == "one"
    assert running.fingerprint() == before


UNCHECKED = """
services:
  web:
    build: .
    restart: always
    stop_grace_period: 2s
    environment: {MONGODB_URI: "${MONGODB_URI}"}
    ports: ["127.0.0.1:${PORT}:8000"]
    extra_hosts: ["host.docker.internal:host-gateway"]
    volumes: ["./uploads:/app/uploads"]
"""


@pytest.mark.parametrize(
    "world",
    [{"health": {"urls": [], "stable_for": 6}}],
    indirect=True,
)
def test_crash_loop_without_a_health_check_is_undone(world):
    world.commit({"docker-compose.yml": UNCHECKED})
    world.begin()
    before = world.fingerprint()

    ended = world.wait(world.push({"release.json": release("two", mode="crash_loop")}))

    assert ended["status"] == "rolled_back", ended
    assert "keeps crashing" in ended["error"]["message"]
    told = ended["error"]["remedy"].partition("sheetanchor ")[2].split()  # it is gone by now
    assert f"{world.name}-web-1: " in world.cli(*told, check=0).stdout
    assert world.version() == "one"
    assert world.fingerprint() == before


@pytest.mark.slow
@pytest.mark.parametrize(
    "world", [{"health": {"urls": [], "stable_for": 35, "timeout": 60}}], indirect=True
)
def test_version_that_dies_after_30_seconds_is_undone(world):
    """A driver's connect timeout is 30 s, so `stable_for` is 35 by default."""
    world.commit({"docker-compose.yml": UNCHECKED.replace("restart: always", "restart: 'no'")})
    world.prepare()
    world.compose("up", "-d", "--build")
    world.up()
    world.fill()
    before = world.fingerprint()

    dying = world.push({"release.json": release("two", mode="dies", after=30)})
    ended = world.wait(dying)

    assert ended["status"] == "rolled_back", ended
    assert world.fingerprint() == before
