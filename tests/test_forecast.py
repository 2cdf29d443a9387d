"""What a plan says of services, times and the way back, judged from what is known."""

from types import SimpleNamespace

import pytest

from tests.clocks import FakeClock
from tests.deployments import asked_for
from tests.steps.test_health import container
from worker import configfile
from worker.forecast import last_backup, past, sorted_out, ways_back
from worker.journal import Journal
from worker.state import State

TOML = """
[server]
state_dir = "{home}/state"
[apps.shop]
repository = "acme/shop"
checkout = "{home}/shop"
webhook_secret_file = "{home}/secret"
[apps.shop.health]
timeout = 60
stable_for = 5
[apps.shop.rollback]
data = "{data}"
[apps.shop.backup]
consistency = "{consistency}"
max_pause = 7
"""


def there(service, config_hash="same"):
    return container(service, config_hash=config_hash, health_budget=10.0)


def test_each_service_is_sorted_by_what_becomes_of_its_containers():
    bind = {"volumes": [{"type": "bind", "source": "/srv/x", "target": "/x"}]}
    services = {
        "new": {},
        "none": {"scale": 0},
        "same": {"volumes": [{"type": "volume"}]},
        "built": {"build": {"context": "."}},
        "bound": bind,
        "changed": {"build": {"context": "."}},
        "other_secret": {},
    }
    now = [there(name) for name in services if name not in ("new", "none", "changed")]
    now += [there("changed", "old"), there("gone")]

    found = sorted_out(dict.fromkeys(services, "same"), services, now, {"other_secret"})

    assert found == {
        "created": ["new"],
        "removed": ["gone"],
        "recreated": ["changed", "other_secret"],
        "may_be_recreated": ["bound", "built"],
        "kept": ["same"],
    }


@pytest.fixture
def attempt(tmp_path):
    """Return what a forecast needs to know of an attempt whose way back treats data so."""

    def made(data="restore", before=(), consistency="quiesce", mongo=None):
        path = tmp_path / "sheetanchor.toml"
        path.write_text(TOML.format(home=tmp_path, data=data, consistency=consistency))
        config = configfile.load(path)
        app = config.apps["shop"]
        return SimpleNamespace(
            app=app,
            state=State.of(config, app),
            clock=FakeClock(),
            before=before,
            mongo=mongo,
            fact=lambda step, name: f"{step}'s {name}",
        )

    return made


def test_writes_can_be_set_aside_until_the_health_check_has_to_be_content(attempt):
    assert ways_back(attempt())["could_set_aside_seconds"] == 65
    slow = [there("web"), container("db", health_budget=200.5)]
    assert ways_back(attempt(before=slow))["could_set_aside_seconds"] == 205.5


def test_nothing_is_set_aside_when_the_data_is_kept(attempt):
    assert ways_back(attempt("keep")) == {
        "returns_to": "preflight's previous_revision",
        "could_set_aside_seconds": None,
    }


@pytest.mark.parametrize(
    ("snapshots", "consistency", "words"),
    [
        (False, "quiesce", "at most 7 s. It lacks nothing."),
        (True, "live", "Of one moment; the app is not stopped for it. It lacks what the old"),
        (False, "live", "Of one moment only if nothing is written meanwhile"),
    ],
)
def test_moment_of_the_last_backup_is_told_and_what_a_restore_would_lack(
    attempt, snapshots, consistency, words
):
    mongo = SimpleNamespace(server=lambda: SimpleNamespace(snapshots=snapshots))
    told = last_backup(attempt(consistency=consistency, mongo=mongo))

    assert words in told
    assert ("a restore sets it aside" in told) == (consistency == "live")


def ended(attempt, number, size, seconds, outage):
    asked = asked_for(id=f"20261122t1430{number:02}-3f9a1c")
    attempt.state.journals.mkdir(parents=True, exist_ok=True)
    journal = Journal.begin(attempt.state.journals, asked, attempt.clock)
    facts = {"bytes": size, "backup_seconds": seconds}
    journal.append("deploy", "backup", "done", facts)
    journal.append("after", "end", "end", {"status": "succeeded", "outage_seconds": outage})


def test_times_are_those_of_the_last_ten_deployments_in_the_middle(attempt):
    one = attempt()
    assert set(past(one).values()) == {None}
    for number in range(20):
        ended(one, number, 999_999 if number < 10 else number, number / 3, number / 7)

    assert past(one) == {
        "expected_backup_bytes": 14,
        "expected_backup_seconds": 4.8,
        "expected_outage_seconds": 2.1,
    }
