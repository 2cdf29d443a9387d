"""Containers that a release has no longer, on real Docker; killed at each act on them."""

import secrets
from pathlib import Path
from types import SimpleNamespace

import docker
import pytest

from tests.e2e.fingerprint import remove
from worker.adapters.containers import COMPOSE
from worker.adapters.engine import Engine
from worker.steps import leaving

ACTS = ("set_policy", "stop", "rename", "remove", "create_stand_in")


class DiedError(BaseException):
    """A process was killed: nothing of ours catches that."""


class Dying(Engine):
    """Dies just before, or just after, one of its acts."""

    def __init__(self, number=0, *, before=False):
        self.number, self.before, self.acts = number, before, 0

    def __getattribute__(self, name):
        found = super().__getattribute__(name)
        if name not in ACTS:
            return found

        def act(*args):
            self.acts += 1
            if self.acts == self.number and self.before:
                raise DiedError
            found(*args)
            if self.acts == self.number:
                raise DiedError

        return act


class Shop:
    """A running service `old`, and `web` of which there were two, each with an anonymous volume."""

    def __init__(self):
        self.project, self.client = f"t{secrets.token_hex(4)}", docker.from_env()
        for service, number in (("old", 1), ("web", 1), ("web", 2)):
            self.make(service, number)
        self.before = Engine().containers(self.project)

    def make(self, service, number):
        labels = {"project": self.project, "service": service, "oneoff": "False"}
        labels |= {"container-number": str(number), "config-hash": "x"}
        self.client.containers.run(
            "sheetanchor-base:1",
            ["sleep", "infinity"],
            name=f"{self.project}-{service}-{number}",
            labels={f"{COMPOSE}.{name}": value for name, value in labels.items()},
            volumes=["/precious"],
            restart_policy={"Name": "always"},
            stop_signal="SIGKILL",
            detach=True,
        )

    def attempt(self, engine, *, back=False):
        now = engine.containers(self.project)
        return SimpleNamespace(
            engine=engine,
            everything=now,
            containers=[one for one in now if not one.aside],
            before=self.before,
            going_back=back,
            id="d1",
            old_release=lambda: None,
            state=SimpleNamespace(releases=Path("/nonexistent")),
            say=lambda _: None,
        )

    def make_room(self, services, engine, *, back=False):
        model = {"services": dict.fromkeys(services)}
        attempt = self.attempt(engine, back=back)
        leaving.make_room(attempt, SimpleNamespace(model=lambda: model))

    def loses_one(self):
        """Let the second `web` go, as Compose does when it scales down."""
        self.client.containers.get(f"{self.project}-web-2").remove(force=True)

    def is_as_before(self):
        """Whether each container has its name and volumes; a stand-in is no other's id."""
        now = {one.name: one for one in Engine().containers(self.project)}
        assert {name: one.nameless for name, one in now.items()} == {
            one.name: one.nameless for one in self.before
        }
        old = next(one for one in self.before if one.service == "old")
        assert now[old.name].id == old.id
        return now

    def forward_and_back(self, forward, back):
        """Go forward, lose one, go back; then start what waits to be started."""
        for engine, services, is_back in ((forward, ["web"], False), (back, ["web", "old"], True)):
            try:
                self.make_room(services, engine, back=is_back)
            except DiedError:
                self.make_room(services, Dying(), back=is_back) if is_back else None
            if not is_back:
                self.loses_one()
        now = self.is_as_before()
        self.client.containers.get(f"{self.project}-web-2").remove()
        self.restart(now)

    def restart(self, now):
        """Have `old` run again, and a `web-2` with its volume, as Compose makes of a stand-in."""
        old = now[f"{self.project}-old-1"]
        Engine().set_policy(old.id, {"Name": "always", "MaximumRetryCount": 0})
        Engine().start(old.id)
        gone = next(one for one in self.before if one.number == 2)
        Engine().create_stand_in(gone)


@pytest.fixture
def shop():
    made = Shop()
    try:
        yield made
    finally:
        made.client.close()
        remove(made.project)


def test_way_back_finds_each_container_and_volume_whenever_the_process_died(shop):
    counted = Dying(), Dying()
    shop.forward_and_back(*counted)
    assert [engine.acts for engine in counted] == [3, 2]

    for place, engine in enumerate(counted):
        for number in range(1, engine.acts + 1):
            for before in (True, False):
                engines = [Dying(), Dying()]
                engines[place] = Dying(number, before=before)
                shop.forward_and_back(*engines)
                assert engines[place].acts == number


def test_what_was_set_aside_goes_with_the_commit_whenever_the_process_died(shop):
    for before in (True, False):
        shop.make_room(["web"], Dying())
        with pytest.raises(DiedError):
            leaving.remove_left(shop.attempt(Dying(1, before=before)))

        leaving.remove_left(shop.attempt(Dying()))

        assert {one.service for one in Engine().containers(shop.project)} == {"web"}
        assert shop.client.volumes.get(shop.before[0].nameless[0].name), "its volume stays"
        shop.make("old", 1)
