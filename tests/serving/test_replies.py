"""Claims about reading a server's answers and its log: pure functions."""

from __future__ import annotations

import contextlib
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marl_llm.serving import BadReply, Completion
from marl_llm.serving.log import last_words
from marl_llm.serving.replies import parse_completion, refusal_message
from tests.serving.faulty_server import completion


def answer(ids: list[Any], *logprobs: object) -> dict[str, Any]:
    content = [{"token": "x", "logprob": value} for value in logprobs]
    return completion(token_ids=ids, logprobs={"content": content})


def read(reply: object) -> Completion:
    content = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
    return parse_completion(content, 1.5, max_tokens=4, vocabulary=16)


def test_tokens_and_logprobs_are_read_as_sampled() -> None:
    found = read(answer([5, 2], -0.5, 0))
    assert (found.prompt_ids, found.completion_ids, found.logprobs) == (
        [1, 2, 3],
        [5, 2],
        [-0.5, 0],
    )
    assert (found.text, found.finish_reason, found.latency_s) == ("hi", "stop", 1.5)


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (answer([5, 2], -0.5), "2 completion tokens and 1 log-probabilities"),
        (answer([]), "0 completion tokens"),
        (answer([5], -9999.0), "lacks the log-probability"),
        (answer([5], math.nan), "logprob.*finite"),
        (answer([5], -math.inf), "logprob.*finite"),
        (answer([5], 0.5), "logprob.*less than or equal to 0.001"),
        (answer([5], "-0.5"), "logprob.*valid number"),
        (answer([5], None), "logprob.*valid number"),
        (answer([16], -0.5), "token 16, the model's vocabulary has 16: it serves another model"),
        (answer([-1], -0.5), "token_ids.0: "),
        (answer([2**70], -0.5), "token_ids.0: "),
        (answer([1.5], -0.5), "token_ids.0: "),
        (answer([1] * 5, *[-0.5] * 5), "5 tokens where 4 were asked for"),
        (answer([5], -0.5) | {"prompt_token_ids": [99]}, "token 99"),
        (answer([5], -0.5) | {"prompt_token_ids": []}, "0 prompt tokens"),
        (completion(token_ids=None), "choices.0.token_ids"),
        (completion(logprobs=None), "choices.0.logprobs"),
        (completion(finish_reason=...), "choices.0.finish_reason: Field required"),
        (completion(finish_reason="abort"), "'stop' or 'length'"),
        (completion(message={"content": 7}), "message.content"),
        ({"choices": []}, "vLLM 0.22 or newer"),
        ([], "vLLM 0.22 or newer"),
        (b"", "is no JSON"),
        (b"\xff\xfe", "is no JSON"),
        (b"[" * 100_000, "is no JSON"),
        (b'{"prompt_token_ids": [' + b"9" * 5000 + b"]}", "prompt_token_ids|is no JSON"),
    ],
)
def test_an_answer_that_cannot_be_trained_on_is_refused(reply: object, message: str) -> None:
    with pytest.raises(BadReply, match=message):
        read(reply)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=4) | st.integers(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "choices",
                        "prompt_token_ids",
                        "token_ids",
                        "logprobs",
                        "content",
                        "logprob",
                        "message",
                        "finish_reason",
                    ]
                ),
                inner,
                max_size=5,
            )
        ),
        max_leaves=12,
    )
)
def test_whatever_the_json_is_it_is_a_completion_or_refused(content: object) -> None:
    with contextlib.suppress(BadReply):
        read(content)


def test_the_message_of_a_refusal_is_short_and_on_one_line_whatever_the_body_is() -> None:
    assert refusal_message(b'{"error": {"message": "too\\nlong"}}') == "too long"
    assert refusal_message(b'{"error": 7}') == '{"error": 7}'
    assert len(refusal_message(b"\xff" * 10**6)) == 300


LOG = """\
(APIServer pid=9) WARNING 11-22 16:05:13 [utils.py:302] Found ulimit of 20000. This can cause \
`OSError: [Errno 24]`
(EngineCore pid=9) ERROR 11-22 16:05:23 [core.py:1433] Traceback (most recent call last):
(EngineCore pid=9) ERROR 11-22 16:05:23 [core.py:1433]   File "loader.py", line 349, in load
(EngineCore pid=9) ERROR 11-22 16:05:23 [core.py:1433] safetensors.SafetensorError: header too small
safetensors.SafetensorError: header too small
RuntimeError: Engine core initialization failed.
nanobind: leaked 4 instances!
"""


def test_last_words_are_the_errors_not_the_stack_or_the_noise_after_them(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(LOG)
    expected = (
        "safetensors.SafetensorError: header too small | RuntimeError: Engine core "
        "initialization failed."
    )
    assert last_words(tmp_path / "log") == expected


def test_last_words_of_a_log_without_errors_are_its_last_lines(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("one\ntwo\nthree\n\nfour\n")
    assert last_words(tmp_path / "log") == "two | three | four"
    assert last_words(tmp_path / "missing") == "(no log)"
