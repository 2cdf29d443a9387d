"""What a bare `docker compose up` makes of a revision, and how to compare with it.

Two views are equal when every container, network and volume is set up alike.
Names of the project, its folder and whatever a test says differs are replaced
first; ids, hashes and what names the Compose file are left out.
"""

import io
import json
import re
import tarfile

import docker

PROJECT = "com.docker.compose.project"
SERVICE = "com.docker.compose.service"
DEPENDS_ON = "com.docker.compose.depends_on"
NUMBER = re.compile(r"(PREFIX-[a-z]+)-[0-9]+\b")  # of a replica: Compose chooses whom it keeps
OUR_OWN = (  # labels that say how and from where Compose was called, and a replica's number
    "com.docker.compose.container-number",
    "com.docker.compose.config-hash",
    "com.docker.compose.image",
    "com.docker.compose.replace",
    "com.docker.compose.project.config_files",
    "com.docker.compose.project.environment_file",
)
ORDERED = ("Cmd", "Entrypoint")
HEX = re.compile(r"\b[0-9a-f]{64}\b")


def view(project, files, replaced):
    """Return all that a project has in Docker. `files`: what to read in which service."""
    client = docker.from_env()
    try:
        found = _project(client, project, files)
    finally:
        client.close()
    text = json.dumps(found)
    for value, word in replaced.items():
        text = text.replace(value, word)
    return sorted_out(json.loads(NUMBER.sub(r"\1", text)))


def sorted_out(value):
    """Return a view whose lists are sorted: their order says nothing."""
    if isinstance(value, dict):
        return {key: sorted_out(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return sorted(map(sorted_out, value), key=json.dumps)
    return value


def differences(one, other, where=""):
    """Return a line for each place where two views differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        keys = sorted(one.keys() | other.keys())
        pairs = [(key, one.get(key, "-"), other.get(key, "-")) for key in keys]
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = [(number, *both) for number, both in enumerate(zip(one, other, strict=True))]
    else:
        return [] if one == other else [f"{where}: {one!r} and {other!r}"]
    return [line for key, *both in pairs for line in differences(*both, f"{where}/{key}")]


def _project(client, project, files):
    label = {"label": f"{PROJECT}={project}"}
    containers = client.containers.list(all=True, filters=label)
    names = {one.id: one.name for one in containers}
    services = {}
    for one in sorted(containers, key=lambda one: one.name):
        service = one.labels[SERVICE]
        services.setdefault(service, []).append(_container(client, one, names))
        for path in files.get(service, ()):
            services[service][-1][path] = _file(one, path)
    return {
        "services": services,
        "networks": _labelled(client.networks.list(filters=label)),
        "volumes": _labelled(client.volumes.list(filters=label)),
    }


def _container(client, one, names):
    raw = one.attrs
    config, state = dict(raw["Config"]), raw["State"]
    del config["Hostname"]  # the container's id
    config["Cmd"], config["Entrypoint"] = (json.dumps(config[key]) for key in ORDERED)
    config["Labels"] = _labels(config["Labels"])
    host = json.loads(
        HEX.sub(lambda found: names.get(found[0], "ID"), json.dumps(raw["HostConfig"]))
    )
    host["Binds"] = host["Binds"] or []
    host["RestartPolicy"]["Name"] = host["RestartPolicy"]["Name"] or "no"
    networks = raw["NetworkSettings"]["Networks"]
    return {
        "name": one.name,
        "config": config,
        "host": host,
        "mounts": [HEX.sub("ID", json.dumps(mount)) for mount in raw["Mounts"]],
        "networks": {name: _aliases(one, net["Aliases"]) for name, net in networks.items()},
        "state": f"{state['Status']} {state['ExitCode']} {state.get('Health', {}).get('Status')}",
        "layers": client.images.get(raw["Image"]).attrs["RootFS"]["Layers"],
    }


def _aliases(one, aliases):
    return [alias for alias in aliases or () if alias != one.short_id]


def _labels(labels):
    found = {name: value for name, value in labels.items() if name not in OUR_OWN}
    if needed := found.get(DEPENDS_ON):
        found[DEPENDS_ON] = needed.split(",")
    return found


def _labelled(found):
    """Return what networks or volumes are, by name."""
    kept = ("Driver", "Options", "Internal", "Attachable", "EnableIPv6", "Scope")
    every = (one.attrs for one in found)
    return {
        one["Name"]: {"labels": _labels(one["Labels"]), **{key: one.get(key) for key in kept}}
        for one in every
    }


def _file(one, path):
    """Return mode, owner and content of a file, as a program inside sees it."""
    stream, _ = one.get_archive(path)
    with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as tar:
        member = tar.getmembers()[0]
    _, content = one.exec_run(["cat", path])
    return f"{member.mode:o} {member.uid}:{member.gid} {content.decode()}"
