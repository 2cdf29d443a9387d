"""What of users or secrets a build would really get is said, and nothing else."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from worker.config import App, Data
from worker.steps import context

KEY = "-----BEGIN PRIVATE KEY-----\nMIG\n"


@pytest.fixture
def attempt(tmp_path):
    app = App(
        name="shop",
        repository="acme/shop",
        checkout=Path("/srv/shop"),
        webhook_secret_file=Path("/x"),
        env_file=".env.production.local",
        data=Data(uploads=("backend/uploads",)),
    )
    return SimpleNamespace(app=app, work=tmp_path)


def told(attempt, files, **build):
    for name, text in files.items():
        path = attempt.work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    services = {
        name: {"build": {"context": str(attempt.work / folder), "dockerfile": "Dockerfile"}}
        for name, folder in (build or {"web": ""}).items()
    }
    return context.warnings(attempt, {"services": {**services, "db": {"image": "x"}}})


SAID = {
    "uploads": ({"backend/uploads/a.jpg": ""}, "gets uploads: backend/uploads/a.jpg."),
    "backups": ({"backups/1/manifest.txt": ""}, "gets backups: backups/1/manifest.txt."),
    "the-env-file": ({".env.production.local": "X=1\n"}, "gets secrets: .env.production.local."),
    "an-env-file": ({".env": "JWT_SECRET=abc\n"}, "gets secrets: .env."),
    "an-address": ({".env": "DB=mongodb://ann:pw@db/x\n"}, "gets secrets: .env."),
    "a-key": ({"certs/tls.pem": KEY}, "gets secrets: certs/tls.pem."),
}
NOT_SAID = {
    "keep": {"backend/uploads/.gitkeep": ""},
    "public": {".env.production": "VITE_API_TOKEN=x\nVITE_URL=https://example.org\n"},
    "example": {".env.example": "JWT_SECRET=change-me\n"},
    "certificate": {"certs/tls.pem": "-----BEGIN CERTIFICATE-----\n"},
    "ignored": {
        "backend/uploads/a.jpg": "",
        ".env": "A_SECRET=1",
        ".dockerignore": "**/uploads\n.env",
    },
}


@pytest.mark.parametrize(("files", "said"), SAID.values(), ids=SAID)
def test_what_an_image_should_not_hold_is_named(attempt, files, said):
    (sentence,) = told(attempt, files)

    assert sentence.startswith(f"The build of web {said}")
    assert ".dockerignore" in sentence


@pytest.mark.parametrize("files", NOT_SAID.values(), ids=NOT_SAID)
def test_what_is_meant_for_everybody_or_left_out_is_not_said(attempt, files):
    assert told(attempt, files) == []


def test_each_context_is_judged_for_itself(attempt):
    files = {"backend/uploads/a.jpg": "", "frontend/id_rsa": KEY, "backend/.dockerignore": "x"}

    assert told(attempt, files, api="backend", job="backend", page="frontend") == [
        "The build of api, job gets uploads: backend/uploads/a.jpg."
        " List them in .dockerignore, unless the image needs them.",
        "The build of page gets secrets: frontend/id_rsa."
        " List them in .dockerignore, unless the image needs them.",
    ]
