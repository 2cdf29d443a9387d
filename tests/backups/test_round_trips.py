"""What a backup asks of the server: an app may have a thousand collections."""

import pytest

from tests.backups.support import thynk_on

MOST = 7  # of each collection: listed twice, counted twice, read, looked for; one to spare


@pytest.fixture
def many(replica_set, tmp_path):
    with thynk_on(replica_set, tmp_path / "checkout") as app:
        yield app


def asked(app, **named):
    """Return the requests of one backup, and the backup."""

    def requests():
        return app.client.admin.command("serverStatus")["network"]["numRequests"]

    before = requests()
    made = app.backup(**named)
    return requests() - before, made


def test_a_collection_costs_few_round_trips(many):
    for n in range(5):
        many.db[f"a{n}"].insert_one({})
    few, _ = asked(many)
    for n in range(40):
        many.db[f"b{n}"].insert_one({})
    more, made = asked(many)
    linked, again = asked(many, previous=made)
    assert more - few <= 40 * MOST
    assert linked - few <= 40 * MOST  # counted once more, and not read
    entries = again.manifest().databases["thynk"]
    assert {entry.settled for entry in entries.values()} == {True}
