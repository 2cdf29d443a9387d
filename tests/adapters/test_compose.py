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


def test_value_of_an_env_file_is_asked_for_once_while_its_text_is_the_same(tmp_path, monkeypatch):
    asked, ask = [], compose.variable
    monkeypatch.setattr(compose, "variable", lambda *of: asked.append(of) or ask(*of))
    path = tmp_path / "env"
    path.write_text(f"A='{tmp_path} $b'\nB=${{A}}!\n")

    def value(name):
        return compose.value_in(path, name, tmp_path / "scratch")

    assert [value("A"), value("A"), value("B"), value("C"), value("C")] == [
        *[f"{tmp_path} $b"] * 2,
        f"{tmp_path} $b!",
        *[None] * 2,
    ]
    assert len(asked) == 3
    path.write_text(f"A='{tmp_path} other'\n")
    assert (value("A"), len(asked)) == (f"{tmp_path} other", 4)
