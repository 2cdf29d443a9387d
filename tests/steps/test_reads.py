"""What Compose reads of the host and never names is looked up, wherever it is written."""

from pathlib import Path

import pytest

from worker.config import App
from worker.steps import reads

WEB = "services:\n  web:\n    image: x\n    command: /bin/sh\n"


@pytest.fixture
def app(tmp_path):
    checkout = tmp_path / "shop"
    checkout.mkdir()
    (checkout / ".env").write_text("A=1\n")
    (tmp_path / "secret.env").write_text("S=1\n")
    (tmp_path / "base.yml").write_text("services:\n  base: {image: x}\n")
    return App(
        name="shop",
        repository="acme/shop",
        checkout=checkout,
        webhook_secret_file=Path("/x"),
        env_file=".env.production",
    )


def read(app, files, env=""):
    """Write the revision beside the checkout, as a deployment does; return what it reads."""
    work = app.checkout.parent / "work"
    work.mkdir()
    app.env_path.write_text(env)
    for name, text in files.items():
        (work / name).parent.mkdir(exist_ok=True)
        (work / name).write_text(text)
    return reads.of_folder(app, work)


def of_web(found):
    return found.services["web"]


def test_an_env_file_and_a_label_file_outside_are_found_and_those_inside_are_the_checkouts(app):
    outside = app.checkout.parent / "secret.env"
    text = f"{WEB}    env_file: [.env, {outside}]\n    label_file: {outside}\n"

    found = of_web(read(app, {"docker-compose.yml": text, ".env": ""}))

    assert found == {
        "env_file": [f"{app.checkout}/.env", str(outside)],
        "label_file": [str(outside)],
    }


def test_a_variable_in_the_path_is_replaced_as_compose_does(app):
    outside = app.checkout.parent
    text = WEB + '    env_file: ["${FROM}/secret.env", "${NAME:-.env}"]\n'

    found = of_web(read(app, {"docker-compose.yml": text, ".env": ""}, f"FROM={outside}\n"))

    assert found["env_file"] == [f"{outside}/secret.env", f"{app.checkout}/.env"]


def test_an_env_file_of_an_extended_service_is_found(app):
    outside = app.checkout.parent / "secret.env"
    files = {
        "docker-compose.yml": f"{WEB}    extends: {{file: base/b.yml, service: b}}\n",
        "base/b.yml": f"services:\n  b: {{image: x, env_file: {outside}}}\n",
    }

    assert of_web(read(app, files))["env_file"] == [str(outside)]


OUTSIDE = {
    "include": "include: [{}]\n" + WEB,
    "include-with-a-variable": 'include: ["${{DIR}}/base.yml"]\n' + WEB,
    "extends": WEB + "    extends: {{file: {}, service: base}}\n",
}


@pytest.mark.parametrize("text", OUTSIDE.values(), ids=OUTSIDE)
def test_a_compose_file_outside_the_revision_is_found(app, text):
    base = app.checkout.parent / "base.yml"

    found = read(app, {"docker-compose.yml": text.format(base)}, f"DIR={base.parent}\n")

    assert found.files == [str(base)]


def test_a_link_of_the_revision_that_leads_out_is_followed(app):
    work = app.checkout.parent / "work"
    base = app.checkout.parent / "base.yml"
    text = f"{WEB}    extends: {{file: mine.yml, service: base}}\n"
    app.env_path.write_text("")
    work.mkdir()
    (work / "docker-compose.yml").write_text(text)
    (work / "mine.yml").symlink_to(base)

    assert reads.of_folder(app, work).files == [str(base)]


def test_what_lies_within_the_revision_is_nobodys_concern(app):
    files = {
        "docker-compose.yml": f"include: [more.yml]\n{WEB}    volumes: ['/etc/hosts:/x:ro']\n",
        "more.yml": "services:\n  more: {image: x}\n",
    }

    found = read(app, files)

    assert found.files == []
    assert found.services["more"] == {"env_file": [], "label_file": []}
