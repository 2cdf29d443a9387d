import hashlib
import hmac
import json
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from worker.errors import ConfigError, NotFoundError, UsageError
from worker.tokens import Role, Tokens


@pytest.fixture
def tokens(tmp_path):
    return Tokens(tmp_path / "state")


def test_created_token_is_known_by_name_and_role(tokens):
    token = tokens.create("ci", "deploy")

    found = tokens.check(token)

    assert (found.name, found.role) == ("ci", Role.DEPLOY)
    assert [listed.name for listed in tokens.list()] == ["ci"]
    assert token.startswith("sa_")
    assert len(token) >= 3 + 43  # 256 bits


def test_token_itself_is_nowhere_on_disk(tokens):
    token = tokens.create("ci", "read")

    text = tokens.path.read_text()

    assert token not in text
    assert token.removeprefix("sa_") not in text
    assert hashlib.sha256(token.encode()).hexdigest() in text


@pytest.mark.parametrize("wrong", ["", "sa_", "ci", "é", "\ud800", "sa_" + "A" * 43])
def test_other_tokens_are_nobodys(tokens, wrong):
    tokens.create("ci", "admin")

    assert tokens.check(wrong) is None


def test_hash_of_a_token_is_no_token(tokens):
    tokens.create("ci", "admin")
    digest = json.loads(tokens.path.read_text())[0]["sha256"]

    assert tokens.check(digest) is None


def test_without_a_file_nobody_comes_in(tokens):
    assert tokens.check("") is None
    assert tokens.check("sa_x") is None
    assert tokens.list() == []


def test_running_web_process_sees_new_and_revoked_tokens(tokens, tmp_path):
    web = Tokens(tmp_path / "state")
    assert web.check("sa_x") is None

    token = tokens.create("ci", "read")
    assert web.check(token) is not None

    tokens.revoke("ci")
    assert web.check(token) is None


def test_removed_file_revokes_all(tokens):
    token = tokens.create("ci", "read")

    tokens.path.unlink()

    assert tokens.check(token) is None


def test_file_is_its_owners_alone_and_replaced_as_a_whole(tokens):
    tokens.create("one", "read")
    before = tokens.path.stat()
    tokens.create("two", "read")
    after = tokens.path.stat()

    assert stat.S_IMODE(after.st_mode) == 0o600
    assert stat.S_IMODE(tokens.path.parent.stat().st_mode) == 0o700
    assert before.st_ino != after.st_ino


def test_tokens_created_at_once_are_all_kept(tokens, tmp_path):
    with ThreadPoolExecutor(8) as pool:
        made = list(
            pool.map(lambda n: Tokens(tmp_path / "state").create(f"t{n}", "read"), range(16))
        )

    assert all(tokens.check(token) for token in made)


def test_leftover_of_a_killed_create_is_in_nobodys_way(tokens):
    tokens.path.parent.mkdir()
    tokens.path.with_suffix(".new").write_text("torn")

    assert tokens.check(tokens.create("ci", "read"))


@pytest.mark.parametrize(
    ("name", "role"),
    [("ci", "read"), ("x", "root"), ("", "read"), ("a b", "read"), ("a\n", "read")],
)
def test_taken_names_and_unknown_roles_are_refused(tokens, name, role):
    tokens.create("ci", "read")

    with pytest.raises(UsageError):
        tokens.create(name, role)
    assert len(tokens.list()) == 1


def test_unknown_token_cannot_be_revoked(tokens):
    with pytest.raises(NotFoundError):
        tokens.revoke("ci")


@pytest.mark.parametrize("text", ["", "{", "{}x", '[{"name": "ci"}]', "[1]"])
def test_unreadable_file_lets_nobody_in_and_says_so(tokens, text):
    token = tokens.create("ci", "read")

    tokens.path.write_text(text)

    with pytest.raises(ConfigError, match=r"tokens\.json"):
        tokens.check(token)


def test_every_token_is_compared_wherever_the_match_is(tokens, monkeypatch):
    made = [tokens.create(f"t{n}", "read") for n in range(5)]
    compared, real = [], hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: compared.append(a) or real(a, b))

    for token in (made[0], made[4], "sa_wrong"):
        compared.clear()
        tokens.check(token)
        assert len(compared) == 5


@pytest.mark.parametrize(
    ("role", "covered"),
    [("read", {"read"}), ("deploy", {"read", "deploy"}), ("admin", {"read", "deploy", "admin"})],
)
def test_each_role_covers_the_ones_before_it(role, covered):
    assert {needed for needed in Role if Role(role).covers(needed)} == covered
