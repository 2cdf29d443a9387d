import re
from pathlib import Path

import pytest

from worker import configfile
from worker.errors import ConfigError, NotFoundError

GOOD = """
[apps.shop]
repository = "acme/shop"
checkout = "/srv/shop"
webhook_secret_file = "/etc/shop.secret"
"""


def write(tmp_path, text):
    path = tmp_path / "sheetanchor.toml"
    path.write_text(text)
    return path


def test_smallest_file_gets_the_defaults(tmp_path):
    app = configfile.load(write(tmp_path, GOOD)).apps["shop"]

    assert (app.branch, app.backup.keep, app.health.stable_for) == ("main", 7, 35)
    assert app.backup_dir == Path("/srv/shop/backups")


def test_example_configuration_is_true():
    example = Path(__file__).parent.parent / "deploy" / "sheetanchor.example.toml"

    assert configfile.load(example).apps


def test_every_fault_is_told_at_once_with_the_nearest_key(tmp_path):
    text = """
[server]
listen = "everywhere"
statedir = "/x"
[apps.shop]
repository = "acme"
checkout = "srv/shop"
branch = "--upload-pack=touch /tmp/x"
reconcile = -1
[apps.shop.gate]
paths = ["../other"]
skip_words = [" "]
require_ci = [""]
ci_withn = 3
[apps.shop.health]
timout = 3
stable_for = -1
[apps.shop.data]
uploads = ["../other"]
not_covered = ["cache"]
notcovered = []
"""
    with pytest.raises(ConfigError) as caught:
        configfile.load(write(tmp_path, text))

    told = caught.value.message
    for part in (
        "server.listen: should look like 127.0.0.1:8787",
        "server.statedir: unknown key (did you mean state_dir?)",
        "apps.shop.repository: should look like owner/name",
        "apps.shop.checkout: should be an absolute path",
        "apps.shop.branch: should be a branch",
        "apps.shop.webhook_secret_file: is missing",
        "apps.shop.reconcile: input should be greater than or equal to 0",
        "apps.shop.gate.paths: '../other' should be a path or pattern inside the repository",
        "apps.shop.gate.skip_words: a blank word would stand in every message",
        "apps.shop.gate.require_ci: should be true, false, or the names of workflows",
        "apps.shop.gate.ci_withn: unknown key (did you mean ci_within?)",
        "apps.shop.health.timout: unknown key (did you mean timeout?)",
        "apps.shop.health.stable_for: input should be greater than 0",
        "apps.shop.data.uploads: '../other' should be a path below the checkout",
        "apps.shop.data.not_covered: 'cache' should be SERVICE:/PATH/IN/THE/CONTAINER",
        "apps.shop.data.notcovered: unknown key (did you mean not_covered?)",
    ):
        assert part in told
    assert "16 fault(s)" in told


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", ".git/config", ""])
def test_build_file_outside_the_checkout_is_refused(tmp_path, path):
    text = GOOD + f'build_files = ["{path}"]\n'
    with pytest.raises(ConfigError, match=r"build_files: '.*' should be a path below the checkout"):
        configfile.load(write(tmp_path, text))


@pytest.mark.parametrize("text", ["not toml [", "", "[apps]", 'apps = "x"', "[apps.x]\n"])
def test_broken_file_is_an_error_of_ours(tmp_path, text):
    with pytest.raises(ConfigError):
        configfile.load(write(tmp_path, text))


def test_apps_that_share_a_checkout_are_refused(tmp_path):
    both = re.escape("apps.shop.checkout (/srv/shop) and apps.other.checkout (/srv/shop) are the")
    with pytest.raises(ConfigError, match=both):
        configfile.load(write(tmp_path, GOOD + GOOD.replace("apps.shop", "apps.other")))


def test_apps_that_share_a_project_are_refused(tmp_path):
    one = GOOD.replace("[apps.shop]", '[apps.shop]\nproject = "shop"')
    two = one.replace("apps.shop", "apps.other").replace("/srv/shop", "/srv/other")

    with pytest.raises(ConfigError, match=r"apps\.shop\.project and apps\.other\.project are both"):
        configfile.load(write(tmp_path, one + two))


def test_secret_that_others_can_read_is_refused(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("x" * 32)
    secret.chmod(0o644)

    with pytest.raises(ConfigError, match="can be read by others"):
        configfile.secrets(secret, "key")
    secret.chmod(0o600)
    assert configfile.secrets(secret, "key") == (b"x" * 32,)
    secret.write_text("short")
    with pytest.raises(ConfigError, match="under 16 characters"):
        configfile.secrets(secret, "key")


def test_unknown_app_is_answered_with_the_nearest(tmp_path):
    config = configfile.load(write(tmp_path, GOOD))

    with pytest.raises(NotFoundError, match="did you mean shop"):
        configfile.app_of(config, "shpo")


BACKUP = f"{GOOD}[apps.shop.backup]\n"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('offsit = ["rsync:/usb"]', r"unknown key \(did you mean offsite\?\)"),
        ('pingurl = "env:PING"', r"unknown key \(did you mean ping_url\?\)"),
        ('offsite = ["gdrive:thynk"]', "should look like rclone:REMOTE:PATH, rsync:USER@HOST:"),
        ('offsite = ["rsync:/usb", "rsync:/usb"]', "a target stands in it twice"),
        ('offsite = ["rsync:/srv/shop/copies"]', "lies in the checkout"),
        ('dir = "/backups"\noffsite = ["rsync:/backups"]', "lies in the folder of backups"),
        ('ping_url = "healthchecks"', "should be env:NAME, the path of a file"),
    ],
)
def test_wrong_target_or_ping_is_named_with_its_rule(tmp_path, line, told):
    with pytest.raises(ConfigError, match=told):
        configfile.load(write(tmp_path, BACKUP + line))


def test_apps_that_share_a_target_are_refused(tmp_path):
    one = BACKUP + 'offsite = ["rclone:drive:x"]\n'
    two = one.replace("apps.shop", "apps.other").replace("/srv/shop", "/srv/other")

    with pytest.raises(ConfigError, match=r"offsite both name rclone:drive:x"):
        configfile.load(write(tmp_path, one + two))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[github]\ntokenfile = "/x"', r"unknown key \(did you mean token_file\?\)"),
        ('[githab]\ntoken_file = "/x"', r"githab: unknown key \(did you mean github\?\)"),
        ('[github]\napi_url = "http://ghe.example.org"', "should be an https:// address: a token"),
        ('[github]\napi_url = "ghe.example.org"', "should be an http:// or https:// address"),
        ('[server]\npublic_url = "https://x/?a=b"', "without [?] and #"),
        ('[notify]\nurl = ["env:X"]', r"did you mean urls\?"),
        (
            '[notify]\nurls = ["env:X", "slack://a/b"]',
            "entry 2 should be env:NAME or the path of a",
        ),
        ('[notify]\non = ["succeded"]', "input should be 'failed', 'rolled_back'"),
        ('[server]\npublic_uri = "https://x"', r"did you mean public_url\?"),
    ],
)
def test_wrong_key_about_links_and_who_is_told_is_named_with_its_rule(tmp_path, text, told):
    with pytest.raises(ConfigError, match=told) as caught:
        configfile.load(write(tmp_path, f"{GOOD}{text}\n"))
    assert "slack://" not in caught.value.message, "an address is a secret"
