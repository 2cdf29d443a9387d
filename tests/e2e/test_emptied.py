"""Uploads that are not where they were: no version is deployed over nothing."""

from tests.e2e.world import release


def test_push_is_refused_while_the_uploads_are_not_where_they_were(running):
    running.cli("backup", running.name, check=0)
    before, kept = running.fingerprint(), running.home / "disk"
    running.uploads.rename(kept)  # as a disk that is not mounted; the container has it open
    running.uploads.mkdir()
    (running.uploads / ".gitkeep").touch()

    ended = running.wait(running.push({"release.json": release("two")}))
    assert (ended["status"], ended["error"]["step"]) == ("failed", "preflight")
    assert f"of the uploads folder {running.uploads}, not one is" in ended["error"]["message"]
    [newest, *_] = reversed(running.backups())
    assert f"restore {running.name} {newest['id']} --only uploads" in ended["error"]["remedy"]
    assert running.version() == "one"

    (running.uploads / ".gitkeep").unlink()
    running.uploads.rmdir()
    assert running.cli_json("plan", running.name)["verdict"] == "refused"
    kept.rename(running.uploads)
    assert running.cli_json("deploy", running.name)["status"] == "succeeded"
    assert running.version() == "two"
    assert running.fingerprint()["uploads"] == before["uploads"]

    # A person who gave them up is asked once.
    for path in [*running.uploads.glob("upload-*"), running.uploads / "folder" / "inner.txt"]:
        path.unlink()
    assert running.cli_json("plan", running.name)["verdict"] == "refused"
    assert running.cli_json("plan", running.name, "--force")["verdict"] == "deploys"
    running.cli("backup", running.name, check=0)
    assert running.cli_json("plan", running.name)["verdict"] == "deploys"
