from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from worker.backups import catalogue
from worker.backups import manifest as manifests
from worker.backups.catalogue import Backup, backups
from worker.backups.losses import copy_lost_most, lost_most
from worker.backups.offsite.card import Card, Copy
from worker.backups.retention import expired, prune
from worker.clock import rfc3339

NOW = datetime(2026, 11, 22, 14, 30, tzinfo=UTC)


def of(kind, days, verified=True):
    made = NOW - timedelta(days=days)
    return Backup(
        id=f"{made:%Y%m%d_%H%M%S}",
        path=Path("/nowhere"),
        app="thynk",
        kind=kind,
        why="",
        deployment=None,
        revision=None,
        created_at=rfc3339(made),
        verified_at=rfc3339(made) if verified else None,
        one_moment=True,
        one_moment_why="",
        cluster_time=None,
        bytes=0,
        documents=0,
        files=0,
        databases=(),
        warnings=(),
    )


def days_of(removable):
    return [(each.kind, (NOW - datetime.fromisoformat(each.created_at)).days) for each in removable]


@pytest.mark.parametrize(
    ("have", "keep", "needed", "gone"),
    [
        ([("manual", d) for d in range(5)], 3, [], [("manual", 4), ("manual", 3)]),
        ([("manual", d) for d in range(3)], 3, [], []),
        ([("manual", d) for d in range(5)], 3, [4], [("manual", 3)]),
        # each kind counts for itself
        ([("fence", 0), ("manual", 1), ("fence", 2), ("manual", 3)], 1, [],
         [("manual", 3), ("fence", 2)]),
        # a young safety backup stays, however many there are
        ([("safety", d) for d in (0, 1, 29, 31, 40)], 1, [], [("safety", 40), ("safety", 31)]),
    ],
)  # fmt: skip
def test_what_may_go(have, keep, needed, gone):
    found = [of(kind, days) for kind, days in have]
    kept = {each.id for each in found if days_of([each])[0][1] in needed}
    assert days_of(expired(found, keep, 30, NOW, kept)) == gone


def test_the_newest_verified_backup_never_goes():
    found = [of("manual", 0, verified=False), of("manual", 1, verified=False), of("manual", 2)]
    assert expired(found, 1, 30, NOW, set()) == []


def test_damaged_backup_counts_for_none_and_goes_when_it_is_old():
    """Else a newest one that rotted would push the last good ones out."""
    found = [of("manual", day, verified=day not in (0, 3)) for day in range(5)]
    assert days_of(expired(found, 2, 30, NOW, set())) == [("manual", 4), ("manual", 3)]


@pytest.mark.parametrize("what", ["documents", "files"])
def test_empty_backups_do_not_push_out_those_of_before_the_data_was_lost(what):
    """A disk that was not mounted, a mongod with another dbPath: nobody may notice for a week."""
    full = [replace(of("scheduled", day), **{what: 1000}) for day in range(9, 14)]
    empty = [replace(of("scheduled", day), **{what: 99}) for day in range(9)]
    gone = [("scheduled", day) for day in (13, 12, *range(8, 2, -1))]
    assert days_of(expired([*empty, *full], 3, 30, NOW, set(), lost=lost_most)) == gone
    later = NOW + timedelta(days=20)  # the second of the full ones is 30 days old
    left = expired([*empty, *full], 3, 30, later, set(), lost=lost_most)
    assert full[1] in left
    assert full[0] not in left


def test_empty_copies_at_another_place_do_not_push_out_full_ones_either():
    def copy(day, size):
        one = of("scheduled", day)
        card = Card(app="thynk", id=one.id, kind=one.kind, created_at=one.created_at, bytes=size)
        return Copy(card)

    copies = [copy(day, 100 if day < 3 else 1001) for day in range(6)]
    gone = expired(copies, 2, 30, NOW, set(), lost=copy_lost_most)
    assert [copies.index(one) for one in gone] == [5, 2]


def test_backup_that_lost_most_of_what_the_one_before_has_says_so(thynk):
    thynk.db.messages.insert_many({"n": n} for n in range(1200))
    first = thynk.backup()
    thynk.db.messages.drop()
    second = thynk.backup(previous=first)
    assert second.warnings[-1].startswith(f"{first.id} has 1,200 documents, and this one 0.")
    assert thynk.backup(previous=second).warnings == ()


def test_backup_of_a_deployment_that_changed_nothing_goes_once_there_is_a_newer_one():
    """Else seven broken builds would push out what was there before the good ones."""
    found = [of("pre-deploy", day) for day in range(6)]
    idle = {one.id for one in found[:4]}
    assert days_of(expired(found, 1, 30, NOW, set(), idle=idle)) == [
        ("pre-deploy", day) for day in (5, 3, 2, 1)
    ]
    newer = [of("scheduled", 0), found[1]]
    assert expired(newer, 1, 30, NOW, {found[1].id}, idle={found[1].id}) == []
    assert expired(newer, 1, 30, NOW, set(), idle={found[1].id}) == [found[1]]


def test_half_a_copy_at_another_place_counts_for_none_and_the_last_whole_one_stays():
    def copy(days, *, whole=True):
        made = NOW - timedelta(days=days)
        card = Card(
            app="thynk",
            id=f"{made:%Y%m%d_%H%M%S}",
            kind="fence",
            created_at=rfc3339(made),
            bytes=0,
        )
        return Copy(card, whole)

    there = [copy(0, whole=False), copy(1), copy(2, whole=False), copy(3), copy(4)]
    assert expired(there, 1, 30, NOW, set()) == [there[4], there[3], there[2]]
    assert expired(there, 1, 30, NOW, {there[3].id}) == [there[4], there[2]]
    assert expired(there[2:4], 1, 30, NOW, set()) == []


def test_what_a_plain_restore_takes_stays_beside_a_newer_safety_backup():
    found = [of("safety", 0), of("manual", 1, verified=False), of("manual", 2)]
    assert expired(found, 1, 30, NOW, set()) == []


def test_clock_set_back_a_year_costs_neither_the_old_backups_nor_the_new():
    found = [of("manual", days) for days in (-366, -365, 0, 1)]
    assert days_of(expired(found, 1, 30, NOW, set())) == [("manual", 1)]


def test_what_a_wrong_clock_dated_later_counts_as_newest_only_where_there_is_nothing_else():
    """One rule for lists, restores, drills and retention."""
    later, now, old = of("manual", -400), of("manual", 0), of("manual", 9)
    assert catalogue.by_age([later, old, now], NOW) == [now, old, later]
    assert catalogue.newest_verified([later, old], NOW) == old
    assert catalogue.newest_verified([later, of("manual", 1, verified=False)], NOW) == later
    assert catalogue.newest_verified([of("manual", -401), later], NOW).id > later.id
    assert expired([later, of("manual", -401)], 1, 30, NOW, set()) == []
    assert expired([later, now, old], 1, 30, NOW, set()) == [old]


def test_list_and_plain_restore_follow_that_rule(thynk):
    plain = thynk.without_mongo()
    now = plain.backup()
    later = plain.backup()
    dated = later.path.rename(later.path.with_name("20990101_000000"))
    found = replace(manifests.read(dated), id=dated.name, created_at="2099-01-01T00:00:00.000Z")
    manifests.write(dated, found)
    folder = thynk.source.app.backup_dir
    assert [one.id for one in backups(folder, "thynk")] == [now.id, dated.name]
    assert catalogue.find(folder, "thynk").id == now.id


def test_two_backups_of_one_second_count_as_two():
    first = of("manual", 0)
    second = replace(first, id=f"{first.id}_2")
    for there in ([second, first], [first, second]):  # however a folder lists them
        assert expired(there, 1, 30, NOW, set()) == [first]


def test_pruning_removes_whole_folders_and_touches_no_other_app(thynk):
    first, second = thynk.backup(), thynk.backup()
    folder = thynk.source.app.backup_dir
    assert prune(folder, "another", [first]) == []
    assert prune(folder, "thynk", [first]) == [first.id]
    assert [path.name for path in folder.iterdir()] == [second.id]


def test_a_half_removed_backup_is_not_listed_and_goes_at_last(thynk):
    backup = thynk.backup()
    folder = thynk.source.app.backup_dir
    backup.path.rename(folder / f".deleting-{backup.id}")
    (folder / f".deleting-{backup.id}" / "manifest.txt").unlink()
    assert backups(folder, "thynk") == []
    assert catalogue.clean_partial(folder, "thynk") == [f".deleting-{backup.id}"]
    assert list(folder.iterdir()) == []
