"""What a person sees of a long backup, restore or verify, and what the log keeps of it."""

import pytest

from tests.clocks import FakeClock
from worker.backups import progress, verify
from worker.backups.progress import Progress, duration
from worker.redact import Passing, redacted

MIB = 1 << 20


def test_it_tells_bytes_documents_files_rate_and_time_left_every_two_seconds():
    clock, lines = FakeClock(), []
    told = Progress(lines.append, clock, "backup")
    told.whole = 100 * MIB
    told.add(10 * MIB, documents=1000)
    assert lines == []
    clock.sleep(2)
    told.add(10 * MIB, documents=234, files=3)
    told.add(10 * MIB)
    assert lines == [
        "backup: 20.0 MiB of 100.0 MiB, 10.0 MiB/s, 8 s left, 1,234 documents, 3 files"
    ]
    clock.sleep(2)
    told.add(90 * MIB)  # the app wrote meanwhile: nobody knows how much is left
    assert lines[1:] == ["backup: 120.0 MiB so far, 30.0 MiB/s, 1,234 documents, 3 files"]
    assert all(isinstance(line, Passing) for line in lines)


def test_the_time_left_is_told_once_it_is_known_and_counts_from_the_beginning_of_the_job():
    clock, lines = FakeClock(), []
    told = Progress(lines.append, clock, "loaded")
    clock.sleep(60)  # the uploads came first
    told.begin()
    told.whole = 1000 * MIB
    clock.sleep(2)
    told.add(1000)
    clock.sleep(2)
    told.add(20 * MIB)
    assert lines[0] == "loaded: 1000 bytes of 1000.0 MiB, 500 bytes/s"
    assert lines[1].startswith("loaded: 20.0 MiB of 1000.0 MiB, 5.0 MiB/s, 3:16 min left")


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.4, "0 s"), (59, "59 s"), (185, "3:05 min"), (7440, "2:04 h")]
)
def test_a_duration_is_said_as_people_say_it(seconds, said):
    assert duration(seconds) == said


def test_a_redacted_line_stays_a_passing_one():
    assert isinstance(redacted(Passing("a secret"), str.upper), Passing)
    assert not isinstance(redacted("a secret", str.upper), Passing)


def test_backup_verify_and_restore_tell_how_far_they_are(thynk, monkeypatch):
    monkeypatch.setattr(progress, "EVERY", 0.0)
    thynk.db.c.insert_many({"_id": n, "x": "x" * 1000} for n in range(3000))
    (thynk.uploads / "big").write_bytes(bytes(3 * MIB))
    lines = []
    backup = thynk.backup(report=lines.append)
    verify.check(backup.path, backup.manifest(), (), Progress(lines.append, what="whole").file)
    thynk.db.c.delete_many({})
    (thynk.uploads / "big").write_bytes(b"")
    thynk.restore(backup, report=lines.append)

    def last(what):
        return [line for line in lines if line.startswith(f"{what}: ")][-1]

    assert "5.9 MiB of 5.9 MiB, " in last("backup")
    assert last("backup").endswith(", 3,000 documents, 4 files")
    assert "7 files" in last("read back")
    assert last("whole").endswith(", 7 files")
    assert last("thynk loaded").endswith(", 3,000 documents")
    assert "3.0 MiB of 3.0 MiB, " in last("backend/uploads copied")
    assert last("backend/uploads copied").endswith(", 1 files")
    restored = lines[lines.index("thynk.c: 3,000 documents, 2.9 MiB") :]
    read_back = [n for n, line in enumerate(restored) if line.startswith("read back: ")]
    assert len(read_back) == 2 * 7  # the restore reads the backup first, and says how far it is
    events = [line for line in lines if not isinstance(line, Passing)]
    assert "thynk.c: 3,000 documents, 2.9 MiB" in events
