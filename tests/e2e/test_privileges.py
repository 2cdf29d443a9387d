"""A revision that may do more to the host is deployed only once a person approved it."""

import json

import docker
import pytest

from tests.e2e.world import HERE, release, until

COMPOSE = (HERE / "app" / "docker-compose.yml").read_text()
LOCAL_PORT = '"127.0.0.1:${PORT}:8000"'
DISGUISE = "\nvolumes: {host: {driver_opts: {type: none, o: bind, device: /}}}\n"

ASKING = {
    "privileged": (COMPOSE + "    privileged: true\n", "service web is privileged"),
    "socket": (
        COMPOSE.replace('app/uploads"', 'app/uploads", "/run/docker.sock:/s"'),
        "mounts /run/docker.sock at /s",
    ),
    "disguise": (
        COMPOSE.replace('app/uploads"', 'app/uploads", "host:/host"') + DISGUISE,
        "volume host is made with the options {device: /, o: bind, type: none}",
    ),
    "host-network": (
        COMPOSE.replace(f"    ports: [{LOCAL_PORT}]\n", "    network_mode: host\n"),
        "uses the network of host",
    ),
    "env-file": (COMPOSE + "    env_file: /etc/os-release\n", "reads the env file /etc/os-release"),
    "ports": (COMPOSE.replace("127.0.0.1:", "0.0.0.0:", 1), "publishes its port 8000/tcp at 0.0"),
}
NEVER = {
    "provider": (COMPOSE + "  x: {provider: {type: bash}}\n", "`provider`"),
    "remote": ('include: ["oci://registry.example/x"]\n' + COMPOSE, "remote resource is disabled"),
}


def test_new_privileges_are_refused_until_a_person_approves_them(running):
    before, backups = running.fingerprint(), None

    for text, named in (*ASKING.values(), *NEVER.values()):
        ended = running.wait(running.push({"docker-compose.yml": text}))
        assert ended["status"] == "failed", ended
        assert ended["error"]["step"] == "pull"
        assert named in ended["error"]["message"] + ended["error"]["remedy"]
        if backups is None:
            assert f"sheetanchor approve {ended['id']}" in ended["error"]["remedy"]
            backups = running.backups()
    assert running.fingerprint() == before
    assert "was not refused" in running.cli("approve", ended["id"], check=2).stderr

    text = ASKING["socket"][0]
    refused = running.wait(running.push({"docker-compose.yml": text}))
    revision = running.git("rev-parse", "HEAD")
    approved = running.cli_json("approve", refused["id"])
    assert approved["status"] == "succeeded", approved
    assert "/s" in mounts(running)
    stored = running.state / "apps" / running.name / "approvals.json"
    assert stored.stat().st_mode & 0o777 == 0o600
    entry = json.loads(stored.read_text())[revision]
    assert entry["privileges"] == ["service web mounts /run/docker.sock at /s"]
    assert (entry["deployment"], bool(entry["by"])) == (refused["id"], True)

    # What runs already is not asked about again; what comes on top of it is.
    after = running.wait(running.push({"release.json": release("two")}))
    assert after["status"] == "succeeded", after
    more = running.wait(running.push({"docker-compose.yml": text + "    pid: host\n"}))
    assert more["status"] == "failed"
    assert more["error"]["message"].endswith("service web sees the processes of host.")
    assert running.version() == "two"

    approved_by_an_admin(running, more, stored)

    back = running.cli_json("rollback", running.name)["status"]  # it had the socket, too
    assert back == "succeeded"


def approved_by_an_admin(running, more, stored):
    """Approve it through the API: another role may not; its pull names what was refused."""
    status, answer = running.api("POST", f"/deployments/{more['id']}/approve", role="deploy")
    assert status == 403, answer
    until(lambda: seen(running, more)["status"] == "failed", "the API knows it")
    status, answer = running.api("POST", f"/deployments/{more['id']}/approve")
    assert status == 202, answer
    anew = running.wait(answer["deployment"])
    assert (anew["status"], anew["trigger"]) == ("succeeded", "api"), anew
    assert seen(running, more)["steps"][-1]["facts"]["new_privileges"] == (
        "service web sees the processes of host"
    )
    entry = json.loads(stored.read_text())[more["revision"]]
    assert (entry["deployment"], entry["by"][:2]) == (more["id"], "t-")


def seen(world, deployment):
    return world.api("GET", f"/deployments/{deployment['id']}")[1]


def test_a_restored_env_file_asks_for_what_it_adds_before_anything_is_stopped(running):
    """Version one took the address from the env file, which a person has mended since."""
    env = running.checkout / ".env.production"
    text = env.read_text()
    env.write_text(f"{text}ADDRESS=0.0.0.0\n")
    kept = running.cli_json("backup", running.name)["id"]
    env.write_text(text)
    two = running.wait(running.push({"docker-compose.yml": VARIABLE}))
    assert two["status"] == "succeeded", two
    before = running.fingerprint()

    refused = running.cli_json("restore", running.name, kept, "--only", "env", "--yes", check=1)

    assert (refused["status"], refused["error"]["step"]) == ("failed", "preflight"), refused
    assert "publishes its port 8000/tcp at 0.0.0.0" in refused["error"]["message"]
    assert running.fingerprint() == before
    approved = running.cli_json("approve", refused["id"])
    assert (approved["kind"], approved["status"]) == ("restore", "succeeded"), approved
    assert env.read_text().endswith("ADDRESS=0.0.0.0\n")


VARIABLE = COMPOSE.replace("127.0.0.1:", "${ADDRESS:-127.0.0.1}:", 1)


def test_rollback_asks_for_what_the_env_file_of_today_adds(world):
    world.commit({"docker-compose.yml": VARIABLE})
    world.begin()
    two = world.wait(world.push({"docker-compose.yml": COMPOSE, "release.json": release("two")}))
    assert two["status"] == "succeeded", two
    before = world.fingerprint()
    with (world.checkout / ".env.production").open("a") as env:
        env.write("ADDRESS=0.0.0.0\n")

    refused = world.cli_json("rollback", world.name, check=1)

    assert refused["status"] == "failed"
    assert "publishes its port 8000/tcp at 0.0.0.0" in refused["error"]["message"]
    assert world.version() == "two"
    assert world.fingerprint()["containers"] == before["containers"]
    approved = world.cli_json("approve", refused["id"])
    assert (approved["kind"], approved["status"]) == ("rollback", "succeeded"), approved
    assert world.version() == "one"


@pytest.mark.parametrize("world", [{"health": {"urls": []}}], indirect=True)
def test_what_an_app_may_do_when_sheetanchor_comes_is_accepted(world):
    world.commit({"docker-compose.yml": ASKING["socket"][0]})
    world.prepare()
    world.compose("up", "-d", "--build")
    world.up()

    ended = world.wait(world.push({"release.json": release("two")}))

    assert ended["status"] == "succeeded", ended
    assert "/s" in mounts(world)


def mounts(world):
    client = docker.from_env()
    try:
        containers = client.containers.list(
            filters={"label": f"com.docker.compose.project={world.name}"}
        )
        return {one["Destination"] for container in containers for one in container.attrs["Mounts"]}
    finally:
        client.close()
