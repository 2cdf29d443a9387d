"""What is deployed by itself, and what a person keeps from it; by real pushes."""

import redis

from tests.e2e.world import release

SLOW = "FROM sheetanchor-base:1\nRUN sleep 8; echo {}\nCOPY app.py release.json /app/\n"
START = 'CMD ["python3", "/app/app.py"]\n'


def lose_redis(world):
    """Empty the server's own Redis."""
    socket = next(path for path in (world.state / "redis").rglob("*") if path.is_socket())
    redis.Redis(unix_socket_path=str(socket)).flushall()


def test_fix_pushed_to_a_frozen_app_is_deployed_once_it_is_unfrozen(running):
    frozen = running.cli_json("freeze", running.name, "--reason", "exam week")["hold"]
    before, backups = running.fingerprint(), len(running.backups())
    pushed = running.wait(running.push({"release.json": release("fix")}))
    lose_redis(running)
    again = running.wait(running.deliver(running.git("rev-parse", "HEAD"))[1]["deployment"])

    for kept_out in (pushed, again):
        assert kept_out["status"] == "skipped"
        assert "exam week" in kept_out["reason"]
        assert frozen["at"] in kept_out["reason"]
    assert running.fingerprint() == before
    assert len(running.backups()) == backups
    assert running.cli("deploy", running.name).returncode == 4

    unfrozen = running.cli_json("unfreeze", running.name)

    assert unfrozen["hold"] is None
    ended = running.wait(unfrozen["deployment"])
    assert (ended["status"], ended["trigger"]) == ("succeeded", "reconcile")
    assert running.version() == "fix"
    assert running.cli_json("unfreeze", running.name)["deployment"] is None


def test_rolled_back_head_stays_away_over_redelivery_freeze_and_loss_of_redis(running):
    bad = running.wait(running.push({"release.json": release("two", mode="exits")}))
    head = running.git("rev-parse", "HEAD")
    assert bad["status"] == "rolled_back"
    backups = len(running.backups())
    lose_redis(running)

    again = running.wait(running.deliver(head)[1]["deployment"])
    running.cli("freeze", running.name, check=0)
    after = running.wait(running.cli_json("unfreeze", running.name)["deployment"])

    for kept_out in (again, after):
        assert kept_out["status"] == "skipped"
        assert f"was decided by {bad['id']}: rolled_back" in kept_out["reason"]
    assert len(running.backups()) == backups
    assert running.version() == "one"


def test_ten_pushes_during_a_build_are_one_deployment_and_a_persons_rollback_runs(running):
    running.wait(running.push({"release.json": release("two")}))
    building = running.push({"Dockerfile": SLOW.format(running.name) + START})
    running.wait_for_step(building, "build")
    pushes = [running.push({"release.json": release(f"push-{n}")}) for n in range(5)]
    status, asked = running.api("POST", f"/apps/{running.name}/rollback", {})
    assert status == 202
    pushes += [running.push({"release.json": release(f"push-{n}")}) for n in range(5, 10)]
    *older, newest = pushes

    assert running.wait(newest)["status"] == "succeeded"

    lose_redis(running)
    ended = [running.wait(one) for one in older]  # from the journals on disk
    assert {(one["status"], one["superseded_by"]) for one in ended} == {("superseded", newest)}
    assert running.wait(asked["deployment"])["status"] == "succeeded"
    assert running.version() == "push-9"
