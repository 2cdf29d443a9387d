"""What is read without Compose is what Compose reads; all else is left to it."""

import string

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from worker.adapters import compose_plain, compose_question

URI = "mongodb://app:s3cret%21@host.docker.internal:27017/shop?replicaSet=rs0&w=majority"
PUNCTUATION = "_./:@%+,?&=~*;|^!()<>{}-"
NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,5}", fullmatch=True).filter(
    lambda name: name not in ("PATH", "HOME", "PWD", "LANG")
)
VALUES = st.text(string.ascii_letters + string.digits + PUNCTUATION, max_size=12)
FILES = st.dictionaries(NAMES, VALUES, max_size=12)
LITERALS = st.text("".join(map(chr, range(32, 127))).replace("$", ""), max_size=6)
OTHERS = st.text(string.ascii_letters + "_./", max_size=4)
OPERATORS = st.sampled_from([":-", "-", ":+", "+"])


def texts_of(names):
    name = st.one_of(st.sampled_from(names), NAMES) if names else NAMES
    references = st.one_of(
        st.just("$$"),
        name.map("${}".format),
        name.map("${{{}}}".format),
        st.tuples(name, OPERATORS, OTHERS).map(lambda one: "${" + "".join(one) + "}"),
    )
    return st.lists(st.one_of(LITERALS, references), max_size=6).map("".join)


@settings(
    max_examples=6,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],  # to shrink would start Compose a thousand times
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_what_is_read_without_compose_is_what_compose_reads(tmp_path, data):
    file = data.draw(FILES)
    texts = data.draw(st.lists(texts_of(sorted(file)), min_size=30, max_size=60))
    env = tmp_path / "env"
    env.write_text(
        "# a comment: 'of' $any kind\n\n" + "".join(f"{k}={v}\n" for k, v in file.items())
    )
    plain = [text for text in texts if compose_plain.interpolated([text], env) is not None]

    read = compose_plain.interpolated(plain, env)

    assert len(plain) > len(texts) / 2
    assert read == compose_question._asked(plain, tmp_path, env)


def test_an_address_and_a_secret_are_read_without_compose(tmp_path, monkeypatch):
    monkeypatch.setattr(compose_question, "config", None)  # it would be called
    (tmp_path / "env").write_text(f"MONGODB_URI={URI}\nEMPTY=\n")

    read = [
        compose_question.variable(name, tmp_path, tmp_path / "env")
        for name in ("MONGODB_URI", "EMPTY", "MISSING")
    ]

    assert read == [URI, "", None]


@pytest.mark.parametrize(
    "line",
    [
        "A='quoted'",
        'A="quoted"',
        "A=a#b",
        "A=a #b",
        "A=a$B",
        "A=a\\b",
        "A=a b",
        "A=a ",
        "A= a",
        " A=a",
        "A =a",
        "A: a",
        "export A=a",
        "A",
        "A=a\r",
        "A=ä",
        "\ufeffA=a",
        "A=a\nA=b",
        "A=`b`",
        "A.B=c",
        "PATH=/b",
        "COMPOSE_PROFILES=b",
        "DOCKER_HOST=b",
    ],
)
def test_a_file_with_a_line_that_is_not_plain_is_left_to_compose(tmp_path, line):
    (tmp_path / "env").write_bytes(f"PLAIN=x\n{line}\n".encode())

    assert compose_plain.interpolated(["${PLAIN}"], tmp_path / "env") is None


@pytest.mark.parametrize(
    "text",
    [
        "$",
        "$1",
        "$(x)",
        "${A",
        "${A:?b}",
        "${A?b}",
        "${A:-${B}}",
        "${A:-b-c}",
        "${PWD}/x",
        "$HOME",
        "${COMPOSE_PROJECT_NAME}",
        "${DOCKER_HOST-x}",
        "${A}\n",
        "ä${A}",
        "$A" * 30_000 + "$",
    ],
)
def test_a_text_of_another_shape_is_left_to_compose(tmp_path, text):
    (tmp_path / "env").write_text("A=x\n")

    assert compose_plain.interpolated([text], tmp_path / "env") is None


def test_a_file_that_is_not_there_is_left_to_compose(tmp_path):
    assert compose_plain.interpolated(["x"], tmp_path / "env") is None
