"""A person's `docker compose` that changes the project is seen; one that only looks is not."""

import pytest

from worker.adapters.rivals import WORK, Command, concerns, parsed

LINES = {
    "docker compose up": Command("up"),
    "/usr/bin/docker compose --env-file .env -f a/c.yml up -d": Command("up", None, ("a",)),
    "/usr/libexec/docker/cli-plugins/docker-compose compose -p shop down": Command("down", "shop"),
    "/usr/bin/python3 /usr/bin/docker-compose --project-name=shop up": Command("up", "shop"),
    "docker --context far compose --project-directory /srv/shop build": Command(
        "build", None, ("/srv/shop",)
    ),
    "docker compose logs -f": Command("logs"),
    "docker run --rm x up": None,
    "docker compose": None,
    "vim docker-compose.yml": None,
}


@pytest.mark.parametrize(("line", "command"), LINES.items(), ids=LINES)
def test_a_command_line_is_read_as_compose_reads_it(line, command):
    assert parsed(line.split()) == command


@pytest.mark.parametrize("verb", ["logs", "ps", "exec", "config", "events", "run"])
def test_looking_is_no_work(verb):
    assert not WORK.fullmatch(verb)


@pytest.fixture
def shop(tmp_path):
    """A checkout with a folder of its own, and one with another project in it."""
    for folder in ("shop", "shop/backend", "shop/tools", "shop-2"):
        (tmp_path / folder).mkdir()
    for folder in ("shop", "shop/tools", "shop-2"):
        (tmp_path / folder / "docker-compose.yml").touch()
    return tmp_path / "shop"


@pytest.mark.parametrize(
    ("command", "environment", "here", "expected"),
    [
        (Command("up"), {}, "", True),
        (Command("up"), {}, "backend", True),
        (Command("up"), {}, "tools", False),
        (Command("up"), {}, "../shop-2", False),
        (Command("up", None, ("..",)), {}, "backend", True),
        (Command("up", None, ("shop",)), {}, "..", True),
        (Command("up", None, ("tools",)), {}, "", False),
        (Command("up", "shop"), {}, "/root", True),
        (Command("up", "other"), {}, "", False),
        (Command("up"), {"COMPOSE_PROJECT_NAME": "shop"}, "/root", True),
    ],
)
def test_a_command_concerns_the_project_that_it_names_or_whose_folder_it_is_in(
    shop, command, environment, here, expected
):
    assert concerns(command, environment, shop / here, {shop}, "shop") == expected
