"""Only what is surely another database is refused; what may be one is told."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from worker.config import App, Data
from worker.errors import GuardError
from worker.steps import addresses

WEB = [SimpleNamespace(service="web", id="1")]


class Engine:
    """Stands for Docker, which is asked for a container's environment only."""

    def __init__(self, uri):
        self._environment = {"PATH": "/bin", "DATABASE": uri}

    def environment(self, container):
        return self._environment if container == "1" else {}


def app_of(tmp_path, mongodb="env_file:MONGODB_URI", databases=()):
    (tmp_path / ".env").touch()
    return App(
        name="shop",
        repository="acme/shop",
        checkout=tmp_path,
        webhook_secret_file=Path("/x"),
        env_file=".env.production",
        data=Data(mongodb=mongodb, databases=databases),
    )


def judged(tmp_path, *, in_file, in_container, compose):
    app = app_of(tmp_path)
    app.env_path.write_text(f"MONGODB_URI={in_file}\n")
    (tmp_path / "docker-compose.yml").write_text(
        f"services: {{web: {{image: x, environment: {{DATABASE: '{compose}'}}}}}}\n"
    )
    addresses.judge(app, Engine(in_container), "shop", WEB, in_file)


def test_an_env_file_that_leads_elsewhere_is_refused_without_showing_a_password(tmp_path):
    with pytest.raises(GuardError) as refused:
        judged(
            tmp_path,
            in_file="mongodb://ann:hunter2secret@db.example.org/new",
            in_container="mongodb://ann:hunter1secret@db.example.org/old",
            compose="${MONGODB_URI}",
        )

    said = str(refused.value)
    assert "names the database db.example.org:27017/new (DATABASE)" in said
    assert "writes to db.example.org:27017/old" in said
    assert f"docker compose -p shop --project-directory {tmp_path} " in said
    assert "secret" not in said


def test_a_mongodb_within_the_project_has_another_name_there_and_is_not_refused(tmp_path):
    judged(
        tmp_path,
        in_file="mongodb://127.0.0.1:27018/shop",
        in_container="mongodb://mongo/shop",
        compose="mongodb://mongo/shop",
    )


TOLD = {
    "another": ("mongodb://localhost/new", (), 1),
    "the-same": ("mongodb://host.docker.internal/old", (), 0),
    "another-server": ("mongodb://127.0.0.1:27018/new", (), 0),
    "listed": ("mongodb://localhost/new", ("new",), 0),
}


@pytest.mark.parametrize(("uri", "databases", "count"), TOLD.values(), ids=TOLD)
def test_an_address_that_is_kept_apart_is_told_of_when_the_app_was_given_another(
    tmp_path, uri, databases, count
):
    attempt = SimpleNamespace(
        app=app_of(tmp_path, "/etc/shop.uri", databases),
        mongodb_uri=uri,
        engine=Engine("mongodb://127.0.0.1/old"),
    )

    told = addresses.doubts(attempt, WEB)

    assert len(told) == count
    assert all("apps.shop.data.mongodb names this host:27017/new, but DATABASE" in s for s in told)
