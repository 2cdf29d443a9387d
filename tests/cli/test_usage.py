import pytest

from worker.cli.commands import COMMANDS


@pytest.mark.parametrize(
    "argv",
    [
        ["deploi"],
        ["deploy"],
        ["deploy", "shop", "--revisoin", "x"],
        ["deploy", "shop", "--revision", "abc", "--no-pull"],
        ["history", "shop", "--limit", "0"],
        ["token", "create", "ci", "--role", "king"],
        ["show", "../../etc/passwd"],
        ["rollback", "shop"],
        ["rollback", "shop", "--to", "20261122t143000-3f9a1c"],
        ["restore", "shop"],
        ["logs", "shop", "-f", "--json"],
    ],
)
def test_wrong_usage_is_2_and_names_a_remedy(cli, argv):
    ran = cli(*argv, code=2)

    assert ran.err.startswith("sheetanchor: ")
    assert len(ran.err.splitlines()) >= 2


def test_help_names_every_command(cli):
    ran = cli("--help")

    for name in COMMANDS:
        assert f"  {name} " in ran.out
    assert ran.err == ""


def test_unknown_app_is_2_with_the_nearest_name(cli):
    ran = cli("history", "shopp", code=2)

    assert "did you mean shop?" in ran.err


def test_every_fault_of_the_configuration_is_named_at_once(cli):
    cli.config.write_text(
        '[server]\nlisten = "nowhere"\n[apps.shop]\nrepositry = "acme/shop"\ncheckout = "shop"\n'
    )

    ran = cli("history", "shop", code=2)

    assert "apps.shop.repositry: unknown key (did you mean repository?)" in ran.err
    assert "apps.shop.webhook_secret_file: is missing" in ran.err
    assert "apps.shop.checkout" in ran.err
    assert "server.listen" in ran.err


def test_missing_configuration_is_2(cli):
    cli.config.unlink()

    assert "could not be read" in cli("status", code=2).err


@pytest.mark.parametrize("argv", [["--json", "history", "shopp"], ["history", "shopp", "--json"]])
def test_error_is_one_json_object_with_json(cli, argv):
    error = cli(*argv, code=2).json["error"]

    assert "shopp" in error["message"]
    assert "shop" in error["remedy"]


def test_wrong_usage_is_json_too(cli):
    assert cli("deploy", "--json", code=2).json["error"]["message"] == "Missing argument 'APP'."


def test_config_may_be_named_before_or_after_the_command(cli, tmp_path):
    other = cli.config.rename(tmp_path / "other.toml")

    assert cli("--config", other, "history", "shop").out == "There is no deployment yet.\n"
    assert cli("history", "shop", "--config", other).out == "There is no deployment yet.\n"


def test_token_is_shown_once_on_the_last_line(cli):
    made = cli("token", "create", "ci", "--role", "deploy").out.splitlines()[-1]

    listed = cli("token", "list").out
    assert made.startswith("sa_")
    assert "ci" in listed
    assert "deploy" in listed
    assert made not in listed
    assert made not in (cli.home / "state" / "tokens.json").read_text()


def test_token_is_revoked_once(cli):
    cli("token", "create", "ci", "--role", "read")

    cli("token", "revoke", "ci")

    assert cli("token", "list", "--json").json == {"tokens": []}
    assert "no token ci" in cli("token", "revoke", "ci", code=2).err


def test_token_as_json(cli):
    made = cli("token", "create", "ci", "--role", "admin", "--json").json

    assert made["name"] == "ci"
    assert made["role"] == "admin"
    assert made["token"].startswith("sa_")


@pytest.mark.parametrize("typed", ["", "no\n", "shopp\n"])
@pytest.mark.parametrize("command", ["remove", "restore"])
def test_nothing_happens_without_the_name_typed(cli, backup, command, typed):
    ran = cli(command, "shop", typed=typed, code=2)

    assert "was not confirmed" in ran.err
    assert ran.out == ""
    assert cli("history", "shop", "--json").json == {"deployments": []}
