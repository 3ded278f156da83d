"""Claims about reading a server's answers and its log: pure functions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from marl_llm.serving import BadReply
from marl_llm.serving.client import parse_completion
from marl_llm.serving.log import last_words


def answer(ids: list[int] | None, logprobs: list[float]) -> dict[str, Any]:
    choice = {
        "token_ids": ids,
        "logprobs": {"content": [{"token": "x", "logprob": value} for value in logprobs]},
        "message": {"content": "hi"},
        "finish_reason": "stop",
    }
    return {"prompt_token_ids": [1, 2, 3], "choices": [choice]}


def test_tokens_and_logprobs_are_read_as_sampled() -> None:
    completion = parse_completion(answer([5, 2], [-0.5, -0.25]), 1.5)
    assert (completion.prompt_ids, completion.completion_ids, completion.logprobs) == (
        [1, 2, 3],
        [5, 2],
        [-0.5, -0.25],
    )
    assert (completion.text, completion.finish_reason, completion.latency_s) == ("hi", "stop", 1.5)


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (answer([5, 2], [-0.5]), "2 completion tokens and 1 log-probabilities"),
        (answer(None, [-0.5]), "0 completion tokens"),
        (answer([], []), "0 completion tokens"),
        (answer([5], [-9999.0]), "lacks the log-probability"),
        ({"choices": []}, "must be vLLM"),
        (
            {
                "choices": [{"token_ids": [1], "logprobs": None, "message": {"content": ""}}],
                "prompt_token_ids": [1],
            },
            "vLLM",
        ),
    ],
)
def test_an_answer_that_cannot_be_trained_on_is_refused(
    reply: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadReply, match=message):
        parse_completion(reply, 0.1)


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
