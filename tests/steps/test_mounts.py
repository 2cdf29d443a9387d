"""What counts as the same mount, what is covered, and what would be lost. Pure."""

import socket
from types import SimpleNamespace

import pytest

from worker.adapters.containers import Mounted, Volume
from worker.config import App
from worker.errors import GuardError
from worker.steps import mounts
from worker.steps.covered import judge, over_uploads, uncovered
from worker.steps.guards import lost_mounts
from worker.steps.mounts import Mount

NAMELESS = "a" * 64
BOUND = {"type": "none", "o": "bind", "device": "/srv/shop/uploads"}
IN_DOCKER = {
    "shop_bound": Volume("local", BOUND),
    "shop_kept": Volume("local", {}),
    "shop_memory": Volume("local", {"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}),
}
UPLOADS = Mount("web", "/app/uploads", "bind", "/srv/shop/uploads", writable=True)


def lent(container):
    raise AssertionError(f"{container} is no container")


def of_model(volumes, services=("web",), defined=None, **more):
    service = {"volumes": volumes, **more}
    model = {"name": "shop", "services": dict.fromkeys(services, service), "volumes": defined or {}}
    return mounts.of_model(model, str, IN_DOCKER.get, lent)


def of_container(*mounted):
    return mounts.of_containers([SimpleNamespace(service="web", mounts=mounted)], IN_DOCKER.get)


def volume(source=None, **more):
    return {"type": "volume", "target": "/data", **({"source": source} if source else {}), **more}


def test_volume_that_binds_a_folder_is_that_bind_mount():
    hidden = {"type": "volume", "target": "/app/uploads/", "source": "new"}
    assert of_model([hidden], defined={"new": {"driver_opts": BOUND}}) == [UPLOADS]
    assert of_container(
        Mounted("volume", "/var/lib/docker/x", "/app/uploads", name="shop_bound")
    ) == [UPLOADS]


def test_volume_that_docker_has_is_as_docker_made_it():
    one = of_model([volume("kept")], defined={"kept": {"driver_opts": BOUND}})
    assert [(m.kind, m.source) for m in one] == [("volume", "shop_kept")]
    (external,) = of_model([volume("x")], defined={"x": {"external": True, "name": "shop_bound"}})
    assert (external.kind, external.source) == ("bind", "/srv/shop/uploads")


def test_volumes_are_known_by_name_not_by_key():
    (one,) = of_model([volume("a")], defined={"a": {"name": "theirs"}})
    (other,) = of_model([volume("b")], defined={"b": {"name": "theirs"}})
    assert one.same_source(other)
    (plain,) = of_model([volume("a")], defined={"a": None})
    assert (plain.source, plain.same_source(other)) == ("shop_a", False)


def test_container_and_model_agree_about_anonymous_volumes():
    (real,) = of_container(Mounted("volume", "/v/_data", "/data", name=NAMELESS))
    (said,) = of_model([volume()])
    assert (real.kind, real.same_source(said)) == ("anonymous", True)


BORROWERS = {
    "name": "shop",
    "services": {
        "web": {
            "volumes": [
                {"type": "bind", "source": "/a", "target": "/a"},
                {"type": "bind", "source": "/own", "target": "/own", "read_only": True},
            ],
            "tmpfs": ["/memory"],
        },
        "side": {"volumes_from": ["web:ro"], "volumes": [volume()]},
        "third": {"volumes_from": ["side", "container:shop-web-1"]},
        "fourth": {"container_name": "mine", "volumes_from": ["container:mine", "container:x:ro"]},
    },
}


def test_volumes_from_another_are_its_mounts_and_those_that_it_borrows():
    theirs = (Mounted("bind", "/b", "/b"), Mounted("volume", "/v", "/c", name="shop_bound"))
    found = mounts.of_model(BORROWERS, str, IN_DOCKER.get, {"x": theirs}.__getitem__)

    assert {one.place: (one.source, one.writable) for one in found} == {
        "web:/a": ("/a", True),
        "web:/own": ("/own", False),
        "side:/data": ("", True),
        "side:/a": ("/a", True),
        "side:/own": ("/own", False),
        "third:/data": ("", True),
        "third:/a": ("/a", True),
        "third:/own": ("/own", False),
        "fourth:/b": ("/b", True),
        "fourth:/c": ("/srv/shop/uploads", True),
    }


def test_borrower_gets_what_only_the_lenders_image_declares():
    declared = {"web": ["/image", "/a", "/memory"], "side": ["/image"], "third": [], "fourth": []}

    found = mounts.of_images(declared, BORROWERS)

    assert {one.place for one in found} == {"web:/image", "side:/image", "third:/image"}


def test_images_declare_volumes_only_where_nothing_is_mounted():
    service = {"volumes": [volume("kept")], "tmpfs": ["/run/x:size=1m"]}
    declared = {"web": ["/data/", "/run/x", "/else"]}
    found = mounts.of_images(declared, {"services": {"web": service}})
    assert [one.place for one in found] == ["web:/else"]


@pytest.fixture
def app(tmp_path):
    (tmp_path / "uploads" / "inner").mkdir(parents=True)
    return App(
        name="shop",
        repository="acme/shop",
        checkout=tmp_path,
        webhook_secret_file="/x",
        data={"uploads": ["uploads"], "not_covered": ["web:/known"]},
    )


def test_what_lies_over_a_part_of_the_uploads_is_seen(app):
    """Memory in both forms, and another folder; the part itself, mounted again, hides nothing."""
    uploads, other = str(app.checkout / "uploads"), str(app.checkout / "other")

    def bound(source, target):
        return {"type": "bind", "source": source, "target": target}

    service = {
        "volumes": [
            bound(uploads, "/app/uploads"),
            bound(f"{uploads}/inner", "/app/uploads/inner"),
            bound(other, "/app/uploads/other"),
            bound(other, "/app/uploads-of-others"),
            {"type": "tmpfs", "target": "/app/uploads/long"},
        ],
        "tmpfs": ["/app/uploads/short:size=1m", "/tmp"],
    }
    model = {"name": "shop", "services": {"web": service}}

    found = over_uploads(app, model, mounts.of_model(model, str, IN_DOCKER.get, lent))

    assert sorted((one.target, one.kind, part) for one, part in found) == [
        ("/app/uploads/long", "memory", f"{uploads}/long"),
        ("/app/uploads/other", "bind", f"{uploads}/other"),
        ("/app/uploads/short", "memory", f"{uploads}/short"),
    ]


def bind(source, target="/x", *, writable=True):
    return Mount("web", target, "bind", str(source), writable)


def test_only_uploads_themselves_are_covered_not_what_holds_them(app):
    top = app.checkout
    (top / "tracked.conf").touch()
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(top / "s"))
        fine = [
            bind(top / "uploads"),
            bind(top / "uploads" / "inner"),
            bind(top, writable=False),
            bind(top / "other", "/known"),
            bind(top / "tracked.conf"),
            bind(top / "s"),
            bind("/run/docker.sock"),
            bind("/sys/fs/cgroup"),
        ]
        assert uncovered(app, fine, lambda path: path.endswith(".conf")) == []
    open_ones = [
        bind(top),
        bind(top / "uploads-old"),
        bind(top / "not-there"),
        bind("/etc/hosts"),
        Mount("web", "/x", "volume", "shop_x", writable=True),
        Mount("web", "/x", "anonymous", "", writable=True),
        Mount("side", "/known", "volume", "shop_x", writable=True),
    ]
    assert uncovered(app, open_ones, lambda _: False) == open_ones


VOLUME = Mount("db", "/data", "volume", "shop_db", writable=True)
ANONYMOUS = Mount("db", "/data", "anonymous", "", writable=True)
OTHER = Mount("db", "/data", "volume", "shop_other", writable=True)
RENAMED = Mount("database", "/var/data", "volume", "shop_db", writable=True)
READER = Mount("database", "/var/data", "volume", "shop_db", writable=False)


@pytest.mark.parametrize(
    ("before", "after", "services", "said"),
    [
        (VOLUME, [VOLUME], {"db"}, None),
        (VOLUME, [OTHER], {"db"}, "the volume shop_db at /data, then mounts the volume shop_other"),
        (VOLUME, [], {"db"}, "then mounts nothing there"),
        (VOLUME, [ANONYMOUS], {"db"}, "then mounts an anonymous volume there"),
        (VOLUME, [RENAMED], {"database"}, None),
        (VOLUME, [READER], {"database"}, "service db goes, and with it the volume shop_db"),
        (VOLUME, [RENAMED], {"db", "database"}, "then mounts nothing there"),
        (ANONYMOUS, [ANONYMOUS], {"db"}, None),
        (ANONYMOUS, [VOLUME], {"db"}, "an anonymous volume at /data, then mounts the volume"),
        (
            ANONYMOUS,
            [Mount("database", "/data", "anonymous", "", writable=True)],
            {"database"},
            "service db goes, and with it an anonymous volume",
        ),
    ],
)
def test_what_a_revision_takes_out_of_sight_is_said(before, after, services, said):
    found = [sentence for _, sentence in lost_mounts([before], after, services, images_known=True)]
    assert len(found) == (0 if said is None else 1)
    assert said is None or said in found[0]


def test_anonymous_volume_may_come_from_an_image_that_is_not_built_yet():
    assert list(lost_mounts([ANONYMOUS], [], {"db"}, images_known=False)) == []
    assert len(list(lost_mounts([ANONYMOUS], [], {"db"}, images_known=True))) == 1
    assert len(list(lost_mounts([ANONYMOUS], [], set(), images_known=False))) == 1


def test_refusal_says_the_whole_line_to_write_and_a_likely_slip(app):
    there = [bind("/etc/hosts", "/etc/hosts"), bind("/etc/hosts", "/known2")]
    attempt = SimpleNamespace(app=app, checkout=SimpleNamespace(tracked=lambda *_: []))

    with pytest.raises(GuardError) as caught:
        judge(attempt, there, "HEAD")

    assert "web:/known2, which is /etc/hosts (not_covered has web:/known: did" in str(caught.value)
    assert caught.value.message.count("did you mean") == 1
    line = 'not_covered = ["web:/known", "web:/etc/hosts", "web:/known2"] in [apps.shop.data]'
    assert line in caught.value.remedy
    judge(attempt, [bind("/etc/hosts", "/known")], "HEAD")
