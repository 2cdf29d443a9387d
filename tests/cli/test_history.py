import time

import pytest

from worker.clock import SystemClock
from worker.deployment import Deployment, view
from worker.journal import Journal
from worker.ledger import Ledger

FIRST, SECOND, THIRD = (f"20261122t14300{n}-3f9a1c" for n in range(3))
REVISION = "a" * 40
HOSTILE = "fix \x1b[31mred\x1b]0;title\x07 [bold]not bold[/bold] \u202egnp.exe"
FIELDS = set(
    """id app kind trigger by reason delivery requested_revision revision previous_revision
    message author status queued_at started_at finished_at seconds steps backup safety_backup
    outage_seconds error warnings superseded_by""".split()  # noqa: SIM905 - as the design has it
)


def asked(identity, **more):
    fields = {"kind": "deploy", "trigger": "push", "by": "ann"} | more
    at = f"2026-11-22T14:30:{identity[13:15]}.000Z"
    return Deployment(id=identity, app="shop", queued_at=at, **fields)


@pytest.fixture
def written(cli):
    """Writes a journal as a worker does; returns the deployment as people should see it."""

    def write(identity, status="succeeded", *, message="a change", error=None, **more):
        folder = cli.home / "state" / "apps" / "shop" / "journal"
        deployment = asked(identity, **more)
        journal = Journal.begin(folder, deployment, SystemClock())
        journal.append("deploy", "preflight", "intent")
        facts = {"revision": REVISION, "message": message, "author": "Ann"}
        journal.append("deploy", "preflight", "done", facts)
        journal.append("after", "end", "end", {"status": status, "error": error})
        return view(deployment, journal.records())

    return write


def test_history_is_read_from_journals_when_redis_is_down(cli, written):
    shown = [written(one) for one in (FIRST, SECOND, THIRD)]

    found = cli("history", "shop", "--json").json

    assert found == {"deployments": shown[::-1]}


def test_history_is_cut_to_the_newest(cli, written):
    for one in (FIRST, SECOND, THIRD):
        written(one)

    lines = cli("history", "shop", "--limit", "2").out.splitlines()

    assert [line.split()[0] for line in lines] == ["ID", THIRD, SECOND]


def test_queued_deployments_come_from_the_ledger(cli, written, redis, redis_url):
    cli.configure(redis=redis_url)
    old = written(FIRST)
    ledger = Ledger(redis)
    ledger.accept(asked(SECOND), guid=None)
    ledger.publish({**old, "status": "running"}, asked(FIRST))  # older than the journal

    found = cli("history", "shop", "--json").json["deployments"]

    assert [(one["id"], one["status"]) for one in found] == [
        (SECOND, "queued"),
        (FIRST, "succeeded"),
    ]
    assert cli("show", SECOND, "--json").json["status"] == "queued"


def seconds_of(act):
    began = time.monotonic()
    assert FIRST in act().out
    return time.monotonic() - began


def test_frozen_redis_costs_seconds_only(cli, written, own_redis):
    cli.configure(redis=own_redis.url)
    written(FIRST)
    own_redis.freeze()

    frozen = seconds_of(lambda: cli("history", "shop"))
    own_redis.thaw()
    answering = seconds_of(lambda: cli("history", "shop"))

    assert (
        frozen - answering < 8
    )  # two and what a busy machine adds; without a limit it waits for ever


def test_torn_journal_is_left_out(cli, written):
    written(FIRST)
    (cli.home / "state/apps/shop/journal" / f"{SECOND}.jsonl").write_text('{"deployment": "2')

    assert [one["id"] for one in cli("history", "shop", "--json").json["deployments"]] == [FIRST]


def test_show_has_the_shape_of_the_design(cli, written):
    shown = written(FIRST)

    assert cli("show", FIRST, "--json").json == shown
    assert set(shown) == FIELDS


def test_show_names_what_failed_and_the_remedy(cli, written):
    error = {"step": "build", "message": "It broke.", "remedy": "Mend it."}
    written(FIRST, "failed", error=error)

    out = cli("show", FIRST).out

    assert "failed in build: It broke.\n  Mend it." in out
    assert "preflight" in out


@pytest.mark.parametrize("argv", [["history", "shop"], ["show", FIRST], ["show", FIRST, "--json"]])
def test_hostile_commit_message_reaches_no_terminal(cli, written, argv):
    written(FIRST, message=HOSTILE)

    out = cli(*argv).out

    assert not {"\x1b", "\x07", "\u202e"} & set(out)
    assert "[bold]not bold[/bold]" in out


def test_secret_of_the_env_file_is_not_shown(cli, written):
    written(FIRST, message="the password is correct-horse-battery")

    assert "correct-horse" not in cli("show", FIRST, "--json").out
    assert "[redacted]" in cli("show", FIRST).out


def test_log_is_shown_escaped(cli, written):
    written(FIRST)
    log = cli.home / "state/apps/shop/logs" / f"{FIRST}.log"
    log.parent.mkdir(exist_ok=True)
    log.write_text("2026 one\n2026 \x1b[2Jtwo\n")

    assert cli("show", FIRST, "--log").out == "2026 one\n2026 \\x1b[2Jtwo\n"


def test_unknown_deployment_is_2(cli):
    assert "no deployment" in cli("show", FIRST, code=2).err
