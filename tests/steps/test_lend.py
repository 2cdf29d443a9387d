"""Which untracked files a rendering needs: whatever a Compose file names, however."""

from pathlib import Path

import pytest

from worker.steps import lend

COMPOSE = """
include:
  - path: [parts/included.yml]
services:
  web:
    env_file:
      - plain.env  # a comment
      - {{path: "{named}", required: false}}
      - in the open/with spaces.env
    command: [sh, -c, "echo $$(date) '${{NEVER_SET:-x}}'"]
"""


@pytest.fixture
def checkout(tmp_path):
    files = {
        "docker-compose.yml": COMPOSE.format(named="${FOLDER}/by variable.env"),
        "parts/included.yml": "services: {side: {env_file: '${NAME-beside}.env'}}",
        "env of the app": "FOLDER=more\n",
        **dict.fromkeys(
            (
                ".env",
                "plain.env",
                "in the open/with spaces.env",
                "more/by variable.env",
                "parts/beside.env",
                "parts/.env",
                "unnamed.env",
            ),
            "X=1\n",
        ),
    }
    for name, content in files.items():
        (tmp_path / "checkout" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "checkout" / name).write_text(content)
    return tmp_path / "checkout"


def test_files_are_found_behind_spaces_variables_and_includes(checkout):
    found = lend.named((checkout,), ["docker-compose.yml"], checkout / "env of the app")

    assert {str(path) for path in found} == {
        ".env",
        "docker-compose.yml",
        "plain.env",
        "in the open/with spaces.env",
        "more/by variable.env",
        "parts/included.yml",
        "parts/beside.env",
        "parts/.env",
    }


def test_variables_come_from_the_dot_env_file_when_no_other_is_named(checkout):
    (checkout / ".env").write_text("FOLDER='more'\n")

    found = lend.named((checkout,), ["docker-compose.yml"], None)

    assert Path("more/by variable.env") in found


def test_text_that_compose_cannot_read_hides_no_other_file(checkout):
    broken = COMPOSE.format(named="${FOLDER:?it is needed}/by variable.env")
    (checkout / "docker-compose.yml").write_text(broken + "    # a comment: $(date)\n")

    found = lend.named((checkout,), ["docker-compose.yml"], checkout / "missing")

    assert {Path("plain.env"), Path("parts/.env")} <= set(found)


def lent(work, checkout, tracked=()):
    """Lend as a deployment does, from a checkout that tracks these files."""
    files, env = ["docker-compose.yml"], checkout / "env of the app"
    return lend.lent(work, checkout, files, env, {*tracked}.intersection)


def test_compose_file_that_the_revision_removed_is_not_lent(checkout, tmp_path):
    work = tmp_path / "work"
    work.mkdir()

    with lent(work, checkout, tracked=["docker-compose.yml"]):
        assert not (work / "docker-compose.yml").exists()
    with lent(work, checkout):
        assert (work / "docker-compose.yml").exists()


def test_files_are_lent_for_the_block_only(checkout, tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    (work / "docker-compose.yml").write_text((checkout / "docker-compose.yml").read_text())
    (work / "plain.env").write_text("TRACKED=1\n")

    with lent(work, checkout):
        assert (work / "more/by variable.env").read_text() == "X=1\n"
        assert (work / "plain.env").read_text() == "TRACKED=1\n"

    assert {path.name for path in work.rglob("*") if path.is_file()} == {
        "docker-compose.yml",
        "plain.env",
    }
