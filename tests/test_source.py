"""What the source must never say (promise 9); comments and docstrings may speak of it."""

import ast
import itertools
import logging
import re
from pathlib import Path

import pytest

TOP = Path(__file__).parents[1]
SOURCES = sorted(p for name in ("worker", "webhook", "deploy") for p in (TOP / name).rglob("*"))
PYTHON = [path for path in SOURCES if path.suffix == ".py"]
# Scripts of deploy/: no Python, but the first line of the file says which program reads it.
SCRIPTS = [p for p in SOURCES if p.is_file() and not p.suffix and p.read_bytes()[:2] == b"#!"]

# As a word of an argv of its own, whatever program it is for.
WORDS = {"down", "-v", "-V", "-y", "--yes", "--volumes", "--renew-anon-volumes", "stash"}
# Somewhere inside a string.
PHRASES = [
    r"\bcompose\s+(\S+\s+)*down\b",
    r"\bvolume\s+(prune|rm)\b",
    r"\bsystem\s+prune\b",
    r"\bgit\s+(\S+\s+)*(clean|stash)\b",
    r"\breset\s+--hard\b",
]
# A word that is no argument there: (file, word).
ALLOWED = {("worker/cli/containers.py", "--yes"), ("worker/cli/deploying.py", "--yes")}
PAIRS = {("volume", "prune"), ("volume", "rm"), ("system", "prune"), ("git", "clean")}
PAIRS |= {("reset", "--hard"), ("clean", "-f"), ("clean", "-fd"), ("clean", "-fdx")}


def strings(tree):
    """Return the string constants of a module that are no docstrings, with their lines."""
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    return [
        (node.lineno, node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if id(node) not in docstrings
    ]


def sequences(tree):
    """Return the words of every list and tuple, neighbours side by side."""
    for node in ast.walk(tree):
        if isinstance(node, ast.List | ast.Tuple):
            yield node.lineno, [getattr(element, "value", None) for element in node.elts]


def faults(text, name):
    """Return what a module says and must not."""
    tree = ast.parse(text)
    for line, value in strings(tree):
        if value in WORDS and (name, value) not in ALLOWED:
            yield f"{name}:{line}: {value!r}"
        for phrase in PHRASES:
            if re.search(phrase, value):
                yield f"{name}:{line}: {phrase}"
    for line, words in sequences(tree):
        for pair in itertools.pairwise(words):
            if pair in PAIRS:
                yield f"{name}:{line}: {pair}"
    yield from shells(tree, name)


def shells(tree, name):
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        if called in ("os.system", "os.popen", "subprocess.getoutput", "popen2"):
            yield f"{name}:{node.lineno}: {called}"
        if any(keyword.arg == "shell" for keyword in node.keywords):
            yield f"{name}:{node.lineno}: shell="
        volumes = [ast.unparse(k.value) for k in node.keywords if k.arg == "v"]
        if "remove" in called and volumes not in ([], ["False"]):
            yield f"{name}:{node.lineno}: remove with its volumes"


def test_the_sources_are_found():
    assert len(PYTHON) > 60
    assert TOP / "worker" / "adapters" / "compose.py" in PYTHON


@pytest.mark.parametrize("path", PYTHON, ids=lambda path: str(path.relative_to(TOP)))
def test_nothing_says_what_would_remove_data(path):
    assert list(faults(path.read_text(), str(path.relative_to(TOP)))) == []


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: str(path.relative_to(TOP)))
def test_no_script_says_what_would_remove_data(path):
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    assert [line for line in lines for phrase in PHRASES if re.search(phrase, line)] == []


def fields_of_logs(tree):
    """Return the keys of what is logged with an event: `extra={...}`, or a dict named extra."""
    for node in ast.walk(tree):
        passed = isinstance(node, ast.keyword) and node.arg == "extra"
        named = isinstance(node, ast.Assign) and "extra" in map(ast.unparse, node.targets)
        for one in ast.walk(node.value) if passed or named else ():
            if isinstance(one, ast.Dict):
                yield from (key.value for key in one.keys if isinstance(key, ast.Constant))


@pytest.mark.parametrize("path", PYTHON, ids=lambda path: str(path.relative_to(TOP)))
def test_no_log_field_has_a_name_of_logging_itself(path):
    taken = {*logging.makeLogRecord({}).__dict__, "message", "asctime"}  # a KeyError, there
    taken |= {"time", "level", "event", "traceback"}  # our own
    assert taken.isdisjoint(fields_of_logs(ast.parse(path.read_text())))


@pytest.mark.parametrize(
    "bad",
    [
        'run([*argv, "down"])',
        'argv += ["up", "-V"]',
        'argv = ["rm", "-v"]',
        'argv = ("up", "--yes")',
        'argv = ["git", "stash", "-u"]',
        'argv = ["clean", "-fd"]',
        'run("docker compose -p shop down")',
        'argv = ["docker", "volume", "prune"]',
        'run("git clean -fdx")',
        'Popen("ls", shell=True)',
        'Popen("ls", shell=wanted)',
        'os.system("ls")',
        "client.remove_container(one, v=True)",
    ],
)
def test_each_of_them_would_be_found(bad):
    assert list(faults(bad, "bad.py"))


@pytest.mark.parametrize(
    "good",
    [
        '"""Never `docker compose down -v`, never `git clean`."""',
        "argv = []  # never down, never -v",
        'def f():\n    """No git stash -u."""',
        'say("the app goes down for a moment")',
        "client.remove_container(one, v=False)",
    ],
)
def test_talk_about_them_is_allowed(good):
    assert not list(faults(good, "good.py"))
