"""Each key of Compose that gives power over the host is noticed when it is new."""

import json
from pathlib import Path

import pytest

from worker.adapters.compose_command import binary
from worker.steps import drift, privileges
from worker.steps.privileges import Places, build, keys, top

PLACES = Places("/srv/shop", ("/srv/shop/.git", "/srv/shop/backups"))
PLAIN = {"name": "shop", "services": {"web": {"image": "x"}}}


def bind(source, **more):
    return [{"type": "bind", "source": source, "target": "/x", **more}]


def port(**more):
    return [{"target": 80, "protocol": "tcp", "published": "80", **more}]


SERVICE = {
    "annotations": ({"run.oci.keep": "1"}, "gives its runtime the annotation run.oci.keep=1"),
    "cap_add": (["NET_ADMIN"], "gets the capability NET_ADMIN"),
    "cgroup": ("host", "uses the cgroups of host"),
    "cgroup_parent": ("system.slice", "puts itself under the cgroup system.slice"),
    "credential_spec": ({"file": "x.json"}, "uses the credentials {file: x.json}"),
    "deploy": (
        {"resources": {"reservations": {"devices": [{"capabilities": ["gpu"]}]}}},
        "uses the devices {capabilities: gpu}",
    ),
    "device_cgroup_rules": (["c 1:3 mr"], "may use devices by the rule c 1:3 mr"),
    "devices": ([{"source": "/dev/sda"}], "uses the device {source: /dev/sda}"),
    "env_file": ([{"path": "/etc/shadow"}], "reads the env file /etc/shadow"),
    "external_links": (["other-db"], "reaches another project's container other-db"),
    "gpus": ([{"count": -1}], "uses the graphics card {count: -1}"),
    "group_add": (["docker"], "joins the group docker"),
    "ipc": ("host", "shares the memory of host"),
    "label_file": (["/etc/labels"], "reads the labels of /etc/labels"),
    "logging": ({"driver": "gelf"}, "has Docker send its logs by {driver: gelf}"),
    "models": ({"llm": {}}, "uses the model llm={}"),
    "network_mode": ("container:other", "uses the network of container:other"),
    "oom_kill_disable": (True, "is never killed when memory runs out"),
    "oom_score_adj": (-500, "is spared when memory runs out (oom_score_adj -500)"),
    "pid": ("host", "sees the processes of host"),
    "ports": (port(), "publishes its port 80/tcp at 0.0.0.0:80"),
    "post_start": (
        [{"command": ["id"], "privileged": True}],
        "runs `id` after its start with all privileges",
    ),
    "pre_stop": ([{"command": ["id"], "user": "0"}], "runs `id` before its stop as root"),
    "privileged": (True, "is privileged: it has all power over the host"),
    "runtime": ("sysbox", "is run by the runtime sysbox"),
    "security_opt": (["apparmor:unconfined"], "sets security_opt apparmor:unconfined"),
    "sysctls": ({"net.core.somaxconn": "1"}, "sets the kernel's net.core.somaxconn=1"),
    "use_api_socket": (True, "gets Docker's socket: it has all power over the host"),
    "user": ("root", "runs as root"),
    "userns_mode": ("host", "uses the user ids of host"),
    "uts": ("host", "uses the host name of host"),
    "volumes": (bind("/var/run/docker.sock"), "mounts /var/run/docker.sock at /x"),
    "volumes_from": (["container:other"], "mounts all volumes of container:other"),
}
BUILD = {
    "additional_contexts": ({"x": "/etc"}, "is built from /etc"),
    "cache_from": (["type=local,src=/x"], "uses a folder of the host in its build: cache_from"),
    "cache_to": (["type=local,dest=/x"], "uses a folder of the host in its build: cache_to"),
    "context": ("https://example.org/x.git", "is built from https://example.org/x.git"),
    "dockerfile": ("/root/Dockerfile", "is built by the file /root/Dockerfile"),
    "entitlements": (["network.host"], "is built with the entitlement network.host"),
    "network": ("host", "is built in the network of host"),
    "privileged": (True, "is built with all privileges"),
    "ssh": (["default"], "is built with the host's SSH key default"),
    "tags": (["other-web"], "also names its image other-web"),
}
DISGUISE = {"type": "none", "o": "bind", "device": "/"}
TOP = {
    ("networks", "name"): ({"name": "other_default"}, "network x is other_default, which other"),
    ("networks", "external"): ({"external": True}, "network x is shop_x, which other"),
    ("networks", "driver"): ({"driver": "host"}, "network x is made by the driver host"),
    ("networks", "driver_opts"): ({"driver_opts": {"a": "b"}}, "network x is made with the"),
    ("volumes", "name"): ({"name": "other_db"}, "volume x is other_db, which other"),
    ("volumes", "external"): ({"external": True}, "volume x is shop_x, which other"),
    ("volumes", "driver"): ({"driver": "nfs"}, "volume x is made by the driver nfs"),
    ("volumes", "driver_opts"): (
        {"driver_opts": DISGUISE},
        "volume x is made with the options {device: /, o: bind, type: none}",
    ),
    ("configs", "file"): ({"file": "/etc/shadow"}, "config x is the file /etc/shadow"),
    ("secrets", "file"): ({"file": "/root/key"}, "secret x is the file /root/key"),
}


def service(**more):
    return {"name": "shop", "services": {"web": {"image": "x", **more}}}


def asked(old, new, places=PLACES):
    return privileges.new(old, new, places, places)


@pytest.mark.parametrize(("key", "case"), SERVICE.items(), ids=SERVICE)
def test_a_service_that_asks_for_more_is_named(key, case):
    value, phrase = case
    model = service(**{key: value})

    assert asked(PLAIN, model) == [f"service web {phrase}"]
    assert asked(model, model) == []  # it has it already
    assert asked(model, PLAIN) == []  # less is nobody's concern


@pytest.mark.parametrize(("key", "case"), BUILD.items(), ids=BUILD)
def test_a_build_that_asks_for_more_is_named(key, case):
    value, phrase = case

    (found,) = asked(PLAIN, service(build={key: value}))
    assert found.startswith(f"service web {phrase}")


@pytest.mark.parametrize(("where", "case"), TOP.items(), ids=lambda one: str(one)[:40])
def test_a_network_volume_or_file_that_asks_for_more_is_named(where, case):
    value, phrase = case

    (found,) = asked(PLAIN, {**PLAIN, where[0]: {"x": value}})
    assert found.startswith(phrase)


GIVEN_UP = {
    "cap_drop": (["NET_RAW"], "no longer drops the capability NET_RAW"),
    "read_only": (True, "may write into its own file system: it is `read_only` no longer"),
    "security_opt": (
        ["no-new-privileges:true"],
        "may gain privileges: it has `no-new-privileges` no longer",
    ),
    "user": ("1000:1000", "no longer runs as 1000:1000"),
}


@pytest.mark.parametrize(("key", "case"), GIVEN_UP.items(), ids=GIVEN_UP)
def test_a_protection_that_goes_is_a_privilege_that_comes(key, case):
    value, phrase = case

    assert asked(service(**{key: value}), PLAIN) == [f"service web {phrase}"]
    assert asked(PLAIN, service(**{key: value})) == []


def test_a_network_that_was_internal_is_named_when_it_opens():
    closed = {**PLAIN, "networks": {"x": {"internal": True}}}

    (found,) = asked(closed, {**PLAIN, "networks": {"x": {}}})
    assert found.startswith("network x reaches the outside")


HARMLESS = [
    service(volumes=bind("/srv/shop/uploads")),
    service(ports=port(host_ip="127.0.0.1")),
    service(security_opt=["no-new-privileges"], cap_drop=["ALL"]),
    service(network_mode="service:db", logging={"driver": "json-file"}, user="1000"),
    service(build={"context": "/srv/shop", "network": "none"}),
    service(post_start=[{"command": ["id"]}], env_file=[{"path": "/srv/shop/.env"}]),
    {**PLAIN, "volumes": {"db": {"name": "shop_db"}}, "networks": {"default": None}},
    {**PLAIN, "secrets": {"key": {"file": "/srv/shop/key"}}},
]


@pytest.mark.parametrize("model", HARMLESS)
def test_what_stays_in_the_checkout_and_the_project_asks_for_nothing(model):
    assert asked(PLAIN, model) == []


@pytest.mark.parametrize("source", ["/", "/srv", "/srv/shop", "/srv/shop/.git/hooks", "/etc"])
def test_a_bind_of_the_host_or_of_what_is_ours_is_named(source):
    assert asked(PLAIN, service(volumes=bind(source)))


def test_a_port_that_only_this_host_reached_is_named_when_all_do():
    before = service(ports=port(host_ip="127.0.0.1"))

    (found,) = asked(before, service(ports=port()))
    assert found == "service web publishes its port 80/tcp at 0.0.0.0:80"


@pytest.mark.parametrize(
    "address", ["git@example.org:x/y.git", "github.com/x/y", "ssh://git@example.org/x.git#main"]
)
def test_a_context_of_another_repository_is_named_however_it_is_written(address):
    named = {"context": "/srv/shop", "additional_contexts": [f"x={address}"]}
    for one in ({"context": address}, named):
        assert asked(PLAIN, service(build=one)) == [f"service web is built from {address}"]
    others = {"x": "service:y", "z": "docker-image://z"}
    assert asked(PLAIN, service(build=named | {"additional_contexts": others})) == []


@pytest.mark.parametrize("dockerfile", ["../../Dockerfile", "../../shop-2/Dockerfile"])
def test_a_dockerfile_that_leaves_the_checkout_from_its_context_is_named(dockerfile):
    (found,) = asked(PLAIN, service(build={"context": "/srv/shop/api", "dockerfile": dockerfile}))

    assert found == f"service web is built by the file {dockerfile}"
    inside = service(build={"context": "/srv/shop/api", "dockerfile": "../Dockerfile"})
    assert asked(PLAIN, inside) == []


def test_links_of_the_revision_and_of_the_checkout_are_followed_together(tmp_path):
    checkout, work = tmp_path / "checkout", tmp_path / "work"
    (checkout / "uploads").mkdir(parents=True)
    work.mkdir()
    (work / "new").symlink_to("uploads")
    (checkout / "uploads" / "out").symlink_to("../last")
    (work / "last").symlink_to("/etc")

    assert drift.real(checkout / "new" / "out", checkout, work) == "/etc"
    assert drift.real(checkout / "new", checkout, work) == str(checkout / "uploads")


# --- the schema of the Compose that is installed


def schema():
    """Return the schema that the binary holds as text."""
    data = Path(binary()).read_bytes()
    begin = data.rindex(b"{", 0, data.index(b'"compose_spec.json"'))
    text = data[begin : begin + 500_000].decode(errors="replace")
    return json.JSONDecoder().raw_decode(text)[0]


def properties(spec, node):
    """Return the keys of an object, through references and alternatives."""
    if "$ref" in node:
        return properties(spec, spec["definitions"][node["$ref"].rpartition("/")[2]])
    found = dict(node.get("properties", {}))
    for other in (*node.get("oneOf", ()), *node.get("anyOf", ())):
        found |= properties(spec, other)
    return found


def unknown(spec, node, known, prefix=""):
    """Return the keys that are neither known nor made of known ones only."""
    found = []
    for key, inner in properties(spec, node).items():
        path = f"{prefix}{key}"
        if path in known:
            continue
        inside = any(one.startswith(f"{path}.") for one in known)
        found += unknown(spec, inner, known, f"{path}.") if inside else [path]
    return found


THINGS = {"services", "networks", "volumes", "secrets", "configs"}
JUDGED = {
    "service": {*keys.GUARDED, *keys.REFUSED, *keys.HARMLESS, *keys.LOST, "build"},
    "network": top.NETWORK_GUARDED | top.NETWORK_HARMLESS,
    "volume": top.VOLUME_GUARDED | top.VOLUME_HARMLESS,
    "secret": top.FILE_GUARDED | top.FILE_HARMLESS,
    "config": top.FILE_GUARDED | top.FILE_HARMLESS,
}


@pytest.fixture(scope="module")
def spec():
    return schema()


@pytest.mark.parametrize("kind", JUDGED)
def test_every_key_of_composes_schema_is_judged(spec, kind):
    assert unknown(spec, spec["definitions"][kind], JUDGED[kind]) == []


def test_every_key_of_a_build_and_of_the_top_is_judged(spec):
    build_ = spec["definitions"]["service"]["properties"]["build"]
    assert unknown(spec, build_, build.GUARDED | build.HARMLESS) == []
    assert unknown(spec, spec, top.HARMLESS | THINGS) == []


def test_every_guarded_key_has_a_case_here():
    assert {path.partition(".")[0] for path in keys.GUARDED} == set(SERVICE)
    assert set(BUILD) == build.GUARDED
    assert {*GIVEN_UP} >= {*keys.LOST}
    guarded = top.NETWORK_GUARDED - {"internal"}, top.VOLUME_GUARDED, top.FILE_GUARDED
    assert {key for _, key in TOP} == set().union(*guarded)
