"""Parsing from several threads at once."""

from __future__ import annotations

import ast
import gc
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from marl_llm.core.syntax import MOST_CHARACTERS, parse, parse_expression, syntax_error
from marl_llm.environment.cache.keys import code_key

NESTED = "x = " + "[" * 60 + "f(a, b=(1, 2))" + "]" * 60


@pytest.fixture
def switching() -> Iterator[None]:
    """Let other threads run whenever garbage is collected, also in the middle of building a
    tree.
    """

    def let_others_run(phase: str, info: dict[str, int]) -> None:
        time.sleep(0)

    before = gc.get_threshold()
    gc.callbacks.append(let_others_run)
    gc.set_threshold(20, 2, 2)
    yield
    gc.set_threshold(*before)
    gc.callbacks.remove(let_others_run)


@pytest.mark.usefixtures("switching")
def test_threads_that_parse_at_the_same_time_do_not_disturb_each_other() -> None:
    with ThreadPoolExecutor(8) as pool:
        trees = list(pool.map(parse, [NESTED] * 200))
    assert len({ast.dump(tree) for tree in trees[:20]}) == 1


def test_what_does_not_parse_raises_as_usual_and_lets_the_next_one_in() -> None:
    with pytest.raises(SyntaxError):
        parse("def f(:")
    with pytest.raises(SyntaxError):
        parse_expression("x = 1")
    assert ast.literal_eval(parse_expression("[1, 2]").body) == [1, 2]


def test_code_that_is_too_long_is_not_parsed_but_told(monkeypatch: pytest.MonkeyPatch):
    code = "x = 1\n" * (MOST_CHARACTERS // 6 + 1)
    monkeypatch.setattr(ast, "parse", lambda text: pytest.fail("parsed"))
    assert code_key(code) is None
    assert syntax_error(code).startswith("ValueError: the code has 2,097,1")
