"""Whatever bytes or text a reader is given, it reads them or says in its own way that it cannot.

    make fuzz

tries thousands of inputs per reader (FUZZ_EXAMPLES), `make test` a few. What failed is kept in
`corpus/` and tried first.
"""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.database import DirectoryBasedExampleDatabase

from marl_llm.agents.reply import UnreadableReply, read_code
from marl_llm.core.errors import UserError
from marl_llm.core.kind import Kind
from marl_llm.environment import describe_task
from marl_llm.proposals import baseline, generate_code
from marl_llm.proposals.actions import InvalidAction
from marl_llm.proposals.lenient import read_action
from marl_llm.sandbox.checks import Rejected, parse_predictions
from marl_llm.sandbox.conversation import Conversation, Failed, Vanished, _description
from marl_llm.sandbox.encode import encode
from marl_llm.sandbox.inside import frames
from marl_llm.sandbox.snippets import SnippetJob, readable
from marl_llm.tasks.csv.reading import read_csv
from marl_llm.tasks.suite import load_suite
from marl_llm.workspace.recipe import load_recipe
from tests.fixtures import small_task
from tests.sandbox.support import mixed_frame

bounded = settings(
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "15")),
    database=DirectoryBasedExampleDatabase(Path(__file__).with_name("corpus")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
ROWS = encode(mixed_frame(8))
CURRENT = generate_code(baseline(Kind.binary))


@pytest.fixture(scope="module")
def context():
    return describe_task(small_task(Kind.binary)).context()


@bounded
@given(st.binary(max_size=80))
@example(frames.HEADER.pack(frames.TEXT, 2**32 - 1))
@example(frames.HEADER.pack(frames.FAILED, 4) + b"null")
@example(frames.HEADER.pack(frames.TEXT, 3) + b"\xff\xfe\xfd")
def test_the_host_reads_any_bytes_of_a_child(sent: bytes) -> None:
    mine, theirs = socket.socketpair()
    with mine, theirs:
        theirs.sendall(sent)
        theirs.shutdown(socket.SHUT_WR)
        try:
            text = Conversation(mine, time.monotonic() + 5).ask(SnippetJob("1", 0), ROWS)
        except (Failed, Vanished):
            return
        assert len(text) <= SnippetJob("1", 0).characters


@bounded
@given(st.binary(max_size=200) | TREES.map(lambda tree: repr(tree).encode()))
@example(b"[" * 60000)
@example(b'{"params": {"a": NaN}, "class": {"b": []}}')
def test_any_description_becomes_words(payload: bytes) -> None:
    assert all(isinstance(name, str) for name in _description(payload))


@bounded
@given(st.binary(max_size=100), st.integers(1, 4), st.none() | st.integers(2, 4))
def test_predictions_are_well_formed_or_rejected(sent: bytes, rows: int, classes: int | None):
    size = 8 * rows * (1 + (classes or 0))
    for content in (sent, sent.ljust(size, b"\0")[:size]):
        try:
            found = parse_predictions(content, rows, classes)
        except Rejected:
            continue
        assert len(found.labels) == rows


@bounded
@given(st.binary(max_size=300), st.integers(1, 50))
def test_text_of_a_snippet_is_printable_and_bounded(payload: bytes, most: int) -> None:
    text = readable(payload, most)
    assert len(text) <= most and all(c.isprintable() or c == "\n" for c in text)


@bounded
@given(st.text(max_size=200) | st.sampled_from(["tune C=", "finish (", "<action>" * 50]))
@example("propose_model est = RandomForestClassifier(n_estimators=" + "9" * 5000 + ")")
@example("tune C=" + "(" * 3000)
def test_any_reply_is_an_action_or_not(context, reply: str) -> None:
    with suppress(InvalidAction):
        read_action(reply, context, CURRENT)


@bounded
@given(st.text(max_size=200))
@example("```python\ndef build_pipeline():\n    return " + "(" * 3000 + "\n```")
@example("1:\x00\n\ud800")
def test_any_reply_is_code_or_not(reply: str) -> None:
    with suppress(UnreadableReply):
        read_code(reply, CURRENT)


@bounded
@given(st.binary(min_size=1, max_size=400) | st.text(max_size=300).map(str.encode))
@example(b"a,b\n1,2\n" * 20 + b'"')
@example(b"\xff\xfea\x00,\x00b\x00\n\x00")
def test_any_file_is_a_table_or_a_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes(content)
    _sentence_at_most(lambda: read_csv(path))


@bounded
@given(st.binary(max_size=200) | TREES.map(lambda tree: yaml.safe_dump(tree).encode()))
@example(b"name: " + b"[" * 3000)
@example(b"seed: " + b"9" * 5000)
@example(b"a: &a [x, x]\nb: &b [*a, *a]\nsandbox: {slots: *b}\n")
def test_any_recipe_is_read_or_a_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_bytes(content)
    _sentence_at_most(lambda: load_recipe(path))


@bounded
@given(st.binary(max_size=200) | TREES.map(lambda tree: yaml.safe_dump(tree).encode()))
@example(b"csv: data.csv\ntarget: {a: b}\n")
@example(b"csv: " + b"[" * 3000)
@example(b"seed: " + b"9" * 5000)
def test_any_task_file_is_read_or_a_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "task.yaml"
    path.write_bytes(content)
    _sentence_at_most(lambda: load_suite(path))


def _sentence_at_most(read) -> None:
    try:
        read()
    except UserError as error:
        assert "Traceback" not in str(error)
