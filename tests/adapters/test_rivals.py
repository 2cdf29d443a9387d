"""A person's `docker compose` that changes the project is seen; one that only looks is not."""

from pathlib import Path

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


@pytest.mark.parametrize(
    ("command", "environment", "here", "expected"),
    [
        (Command("up"), {}, "/srv/shop", True),
        (Command("up"), {}, "/srv/shop/backend", True),
        (Command("up"), {}, "/srv/shop-2", False),
        (Command("up", None, ("/srv/shop",)), {}, "/root", True),
        (Command("up", None, ("shop",)), {}, "/srv", True),
        (Command("up", "shop"), {}, "/root", True),
        (Command("up", "other"), {}, "/srv/shop", False),
        (Command("up"), {"COMPOSE_PROJECT_NAME": "shop"}, "/root", True),
    ],
)
def test_a_command_concerns_the_project_that_it_names_or_whose_folder_it_is_in(
    command, environment, here, expected
):
    assert concerns(command, environment, Path(here), Path("/srv/shop"), "shop") == expected
