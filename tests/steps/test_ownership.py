"""Which of the projects that were started from one folder is the app's."""

import pytest

from worker.adapters.containers import Started
from worker.steps.ownership import likeliest

FILES = {"/srv/shop/docker-compose.yml"}
APP = ("/srv/shop/docker-compose.yml", "/srv/shop/live.yml")
OURS = ("/state/releases/20261122t143000-3f9a1c/model.json",)
TOOLS = ("/srv/shop/tools.yml",)


@pytest.mark.parametrize(
    ("started", "likely"),
    [
        ([], []),
        ([Started("shop", APP, False)], ["shop"]),
        ([Started("tools", TOOLS, True)], ["tools"]),
        ([Started("tools", TOOLS, True), Started("shop", APP, True)], ["shop"]),
        ([Started("tools", TOOLS, True), Started("shop", APP, False)], ["shop"]),
        ([Started("tools", TOOLS, True), Started("shop", OURS, True)], ["shop"]),
        ([Started("old", APP, False), Started("shop", OURS, True)], ["shop"]),
        ([Started("shop", APP, False), Started("shop", APP, True)], ["shop"]),
        ([Started("two", APP, True), Started("one", OURS, True)], ["one", "two"]),
        ([Started("old", APP, False), Started("older", APP, False)], ["old", "older"]),
    ],
)
def test_project_with_the_apps_files_that_runs_is_the_apps(started, likely):
    assert likeliest(started, FILES, "/state/releases") == likely
