"""Pandas snippets: what they see, what comes back, and what they cannot do."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marl_llm.sandbox import Limits, Sandbox, SnippetResult, Status
from marl_llm.sandbox.snippets import MAX_CHARACTERS, readable, shuffled
from tests.sandbox.attacks import ESCAPES, Attack
from tests.sandbox.support import SMALL, mixed_frame, noise

NAMES = np.array(["no", "yes"], dtype=object)


@pytest.fixture(scope="module")
def host_values(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, object]]:
    """Things of the host that attacks are after."""
    secret = tmp_path_factory.mktemp("labels") / "hidden_labels.csv"
    secret.write_text("id,label\n1,0\n")
    with socket.create_server(("127.0.0.1", 0), backlog=16) as server:
        yield {"secret": str(secret), "folder": str(secret.parent), "port": server.getsockname()[1]}


def analyze(sandbox: Sandbox, code: str, limits: Limits = SMALL, **options: int) -> SnippetResult:
    """Run a snippet on 200 rows of noise in a file sorted by label."""
    frame, labels = noise()
    return sandbox.analyze(code, frame, NAMES[labels], limits=limits, **options)


def text(sandbox: Sandbox, code: str, **options: int) -> str:
    """The same, insisting that it ran."""
    result = analyze(sandbox, code, **options)
    assert (result.status, result.error) == (Status.ok, "")
    return result.text


@pytest.mark.parametrize(
    ("code", "answer"),
    [
        ("1 + 1", "2"),
        ("print('a')\nlen(df)", "a\n200"),
        ("print('a', end='')\n'b'", "a\nb"),
        ("n = len(df)", ""),
        ("", ""),
        ("df.x0.isna().sum(), np.float64(0.25), True, 1 / 3", "(0, 0.25, True, 0.333333)"),
        ("df.target.value_counts()", "target\nno     100\nyes    100"),
        ("df.dtypes.astype(str).tolist()[-2:]", "['float64', 'object']"),
        ("def f():\n    return list(df)\nf()", "['x0', 'x1', 'x2', 'x3', 'target']"),
        ("object()", "<object object>"),
    ],
)
def test_the_answer_is_what_was_printed_and_the_last_expression(
    code: str, answer: str, sandbox: Sandbox
) -> None:
    assert text(sandbox, code) == answer


def test_large_values_are_shortened_and_the_answer_is_cut(sandbox: Sandbox) -> None:
    assert len(text(sandbox, "df").splitlines()) < 25
    assert len(text(sandbox, "df.x0").splitlines()) < 25
    assert len(text(sandbox, "np.arange(10**6)")) < 100
    assert len(text(sandbox, "list(range(10**6))")) < 200
    assert len(text(sandbox, "pd.concat([df] * 20, axis=1)").splitlines()[0]) < 130
    assert text(sandbox, "'x' * 10**6") == "x" * MAX_CHARACTERS
    assert text(sandbox, "print('y' * 99)\n'x' * 10**6", characters=7) == "y" * 7


def test_a_snippet_sees_every_row_with_its_own_label(sandbox: Sandbox) -> None:
    frame = mixed_frame(60)
    labels = frame["x0"].fillna(0.0).to_numpy() * 2
    code = (
        "assert ((df.x0.fillna(0) * 2) == df.target).all()\nprint(df.x1.isna().sum(), "
        "len(df))\ndf.target.sum()"
    )
    result = sandbox.analyze(code, frame, labels)
    assert result.text == f"{frame['x1'].isna().sum()} 60\n{labels.sum():.6g}", result.error


def test_row_order_says_nothing_about_the_label(sandbox: Sandbox) -> None:
    agreement = "((df.target == 'yes') == (np.arange(len(df)) >= len(df) // 2)).mean()"
    assert 0.35 < float(text(sandbox, agreement)) < 0.65
    assert text(sandbox, "df.index") == "RangeIndex(start=0, stop=200, step=1)"


def test_the_secret_order_is_the_same_in_every_run_and_differs_with_the_seed(
    sandbox: Sandbox,
) -> None:
    first, again, other = (text(sandbox, "df.x0.head(9)", seed=seed) for seed in (0, 0, 1))
    assert first == again != other
    frame, labels = noise()
    changed = shuffled(frame, NAMES[1 - labels], 0).content
    assert changed[:64] != shuffled(frame, NAMES[labels], 0).content[:64]


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("df.x9", "AttributeError: 'DataFrame' object has no attribute 'x9' (line 1)"),
        ("x = 1\n\ndf['x9']", "KeyError: 'x9' (line 3)"),
        ("x = (", "SyntaxError: '(' was never closed (line 1)"),
        ("def f():\n    return 1 / 0\n\nf()", "ZeroDivisionError: division by zero (line 2)"),
        ("return 1", "SyntaxError: 'return' outside function (line 1)"),
        ("import sys\nsys.exit('bye')", "SystemExit: bye (line 2)"),
        ("raise ValueError('a\\n\\x1b[31mb')", "ValueError: a \\x1b[31mb (line 1)"),
        ("import pyarrow", "ModuleNotFoundError: No module named 'pyarrow' (line 1)"),
    ],
)
def test_an_error_is_one_short_line_with_the_line_of_the_snippet(
    code: str, error: str, sandbox: Sandbox
) -> None:
    result = analyze(sandbox, code)
    assert (result.status, result.text, result.error) == (Status.error, "", error)


@pytest.mark.parametrize("name", ["__str__", "__repr__"])
def test_an_exception_that_cannot_be_printed_is_reported_all_the_same(
    name: str, sandbox: Sandbox
) -> None:
    hostile = f"class Hostile(Exception):\n    def {name}(self):\n        raise SystemExit(3)\n"
    raised = analyze(sandbox, hostile + "raise Hostile()")
    assert raised.status is Status.error
    assert raised.error.endswith("(line 4)")
    assert analyze(sandbox, hostile + "Hostile()").status in (Status.ok, Status.error)
    endless = (
        "class Hostile(Exception):\n    def __str__(self):\n        while True: pass\nraise "
        "Hostile()"
    )
    assert analyze(sandbox, endless, Limits(wall_s=0.5)).status is Status.timeout


def test_a_huge_repr_is_cut_or_left_out(sandbox: Sandbox) -> None:
    hostile = "class Huge:\n    def __repr__(self):\n        return 'x' * (1 << {size})\nHuge()"
    assert text(sandbox, hostile.format(size=24)).startswith("xxx")
    assert text(sandbox, hostile.format(size=40)) == "<Huge instance>"
    assert len(text(sandbox, "pd.Series(['x' * (1 << 20)] * 50)")) <= MAX_CHARACTERS


@pytest.mark.parametrize("attack", ESCAPES, ids=lambda attack: attack.name)
def test_attack_is_stopped(
    attack: Attack, sandbox: Sandbox, host_values: dict[str, object]
) -> None:
    result = analyze(sandbox, attack.text(**host_values))
    assert "GOT" not in result.error + result.text
    assert result.status is Status.tamper or "STOPPED" in result.error, result


def test_attack_would_succeed_without_isolation(
    open_sandbox: Sandbox, host_values: dict[str, object]
) -> None:
    result = analyze(open_sandbox, f"open({host_values['secret']!r}).read()")
    assert result.text == "id,label\n1,0"


BOMBS = {
    "sleeps": ("import time; time.sleep(60)", Limits(wall_s=0.5), Status.timeout),
    "loops": ("while True: pass", Limits(wall_s=20, cpu_s=1), Status.cpu_limit),
    "computes in C": ("3 ** 10 ** 9", Limits(wall_s=0.5), Status.timeout),
    "one array": ("np.ones(10 ** 10)", Limits(wall_s=10, memory_bytes=256 << 20), Status.memory),
    "bit by bit": (
        "x = []\nwhile True: x.append(bytes(1 << 20))",
        Limits(memory_bytes=256 << 20),
        Status.memory,
    ),
    "a huge text": ("'x' * (1 << 40)", SMALL, Status.memory),
    "forks": ("import os\nwhile True: os.fork()", SMALL, Status.error),
    "crashes": ("import ctypes; ctypes.string_at(0)", SMALL, Status.died),
    "leaves": ("import os; os._exit(0)", SMALL, Status.died),
    "nests deeply": ("(" * 150 + ")" * 150 + "+" * 99999 + "1", SMALL, Status.memory),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_ends_within_its_limits_and_harms_nobody(name: str, sandbox: Sandbox) -> None:
    code, limits, status = BOMBS[name]
    result = analyze(sandbox, code, limits)
    assert (result.status, result.text) == (status, "")
    assert 0 < len(result.error) <= 300
    assert "\n" not in result.error
    assert text(sandbox, "len(df)") == "200"


def test_a_gigabyte_of_output_is_accepted_and_forgotten(sandbox: Sandbox) -> None:
    assert (
        text(sandbox, "x = 'y' * (1 << 20)\nfor _ in range(1 << 10): print(x)")
        == "y" * MAX_CHARACTERS
    )


DIRTY = "\x1b[31mred\x1b]0;title\x07 \u202eabc\u202c \x00 \r\n a\tb \u2028 \ud800 <|im_start|>"


@pytest.mark.parametrize("way", ["print({!r})", "{!r}", "pd.Series([{!r}])"])
def test_only_printable_text_comes_back(way: str, sandbox: Sandbox) -> None:
    told = text(sandbox, way.format(DIRTY))
    assert "red" in told
    assert all(c.isprintable() or c == "\n" for c in told)


FORGED = (
    "import os, struct, time\nos.write(3, struct.pack('<cI', {kind!r}, {length}) + "
    "{content})\ntime.sleep(9)"
)


def test_a_forged_answer_is_validated_like_an_honest_one(sandbox: Sandbox) -> None:
    code = FORGED.format(
        kind=b"T", length=4 * MAX_CHARACTERS, content=f"bytes([27, 255, 0, 97]) * {MAX_CHARACTERS}"
    )
    told = text(sandbox, code)
    assert len(told) <= MAX_CHARACTERS
    assert set(told) == {"a", "\ufffd"}


@pytest.mark.parametrize(
    ("kind", "length"), [(b"T", 4 * MAX_CHARACTERS + 1), (b"T", 2**32 - 1), (b"P", 8), (b"F", 0)]
)
def test_a_frame_that_was_not_asked_for_is_refused(
    kind: bytes, length: int, sandbox: Sandbox
) -> None:
    result = analyze(sandbox, FORGED.format(kind=kind, length=length, content="b''"))
    assert (result.status, result.text) == (Status.protocol, "")


def test_nothing_is_kept_from_one_snippet_to_the_next(sandbox: Sandbox) -> None:
    text(
        sandbox,
        "import builtins\npd.stash = np.stash = builtins.stash = 1\ndf['x0'] = "
        "0\npd.DataFrame.sum = None",
    )
    code = (
        "import builtins\n[hasattr(x, 'stash') for x in (pd, np, builtins)], "
        "int(df.x0.nunique()), 'n' in globals()"
    )
    assert text(sandbox, code) == "([False, False, False], 200, False)"


def test_random_numbers_are_seeded(sandbox: Sandbox) -> None:
    code = (
        "import random\nrandom.random(), np.random.rand(), df.sample(3).x0.tolist(), {'a', 'b', "
        "'c'}"
    )
    assert text(sandbox, code) == text(sandbox, code)
    assert text(sandbox, code, seed=1) != text(sandbox, code)


def test_a_snippet_whose_zygote_died_runs_in_the_next_one() -> None:
    with Sandbox() as own:
        signal.pidfd_send_signal(own._slots[0]._zygote, signal.SIGKILL)  # type: ignore[arg-type]
        assert text(own, "len(df)") == "200"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda frame, labels: (frame, labels[1:]), "as many labels"),
        (lambda frame, labels: (frame[:0], labels[:0]), "needs rows"),
        (lambda frame, labels: (frame.rename(columns={"x0": "target"}), labels), "named 'target'"),
        (lambda frame, labels: (frame.astype("float32"), labels), "dtype float32"),
    ],
)
def test_rows_that_cannot_be_shown_are_named(
    change: Callable, problem: str, sandbox: Sandbox
) -> None:
    frame, labels = noise()
    with pytest.raises(ValueError, match=problem):
        sandbox.analyze("1", *change(frame, NAMES[labels]))


def test_any_index_is_left_behind() -> None:
    frame, labels = noise(20)
    plain = shuffled(frame, NAMES[labels], 0)
    indexed = shuffled(frame.set_index(pd.Index([7] * 20)), NAMES[labels], 0)
    assert plain == indexed


@given(payload=st.binary(max_size=300), characters=st.integers(0, 50))
def test_whatever_a_child_sends_becomes_short_printable_text(
    payload: bytes, characters: int
) -> None:
    told = readable(payload, characters)
    assert len(told) <= characters
    assert all(c.isprintable() or c == "\n" for c in told)
