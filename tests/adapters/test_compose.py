"""What the real Compose makes of a Compose file, and what is kept of it for `up`."""

import pytest

from worker.adapters import compose
from worker.errors import GuardError
from worker.release import VARIABLES

COMPOSE = """
services:
  web: {image: x, secrets: [one], configs: [two]}
secrets:
  one: {environment: DOCKER_HOST}
configs:
  two: {environment: EMPTY}
"""


def test_values_of_secrets_are_kept_in_the_model_under_names_of_ours(tmp_path):
    (tmp_path / "c.yml").write_text(COMPOSE)
    (tmp_path / "env").write_text("DOCKER_HOST='a $b'\nEMPTY=\n")

    model = compose.render(tmp_path, ["c.yml"], tmp_path / "env", "shop")

    kept = {"SHEETANCHOR_OF_DOCKER_HOST": "a $$b", "SHEETANCHOR_OF_EMPTY": ""}
    assert model[VARIABLES] == kept
    assert model["secrets"]["one"]["environment"] == "SHEETANCHOR_OF_DOCKER_HOST"


def test_variable_of_a_secret_that_is_not_set_is_refused(tmp_path):
    (tmp_path / "c.yml").write_text(COMPOSE)
    (tmp_path / "env").write_text("EMPTY=\n")

    with pytest.raises(GuardError, match="variable DOCKER_HOST"):
        compose.render(tmp_path, ["c.yml"], tmp_path / "env", "shop")


def test_pwd_is_the_project_directory_as_in_a_shell_there(tmp_path):
    (tmp_path / "c.yml").write_text("services: {web: {image: x, volumes: ['${PWD}/data:/data']}}")

    model = compose.render(tmp_path, ["c.yml"], None, "shop")

    assert model["services"]["web"]["volumes"][0]["source"] == str(tmp_path / "data")
