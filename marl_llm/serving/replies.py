"""What a model server answers, read by one parser: bytes in; a completion, a list of models or a
message out. Pure.

Everything that is logged and trained on is checked here, once: log-probabilities are finite numbers
of at most 0, token ids belong to the vocabulary, there are as many of the ones as of the others and
no more than were asked for, and the completion says why it ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from marl_llm.serving.completion import Completion
from marl_llm.serving.errors import BadReply

_MISSING_LOGPROB = -9999.0
"""What vLLM writes for a token whose log-probability it does not have."""
_ROUNDING = 1e-3
"""A log-probability of 0 may come out of low precision a little above it."""
_LARGEST = 2**31 - 1
_MESSAGE_CHARACTERS = 300


class _Read(BaseModel):
    """Part of an answer; nothing is converted, so a number written as a string is none."""

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)


R = TypeVar("R", bound=_Read)
TokenIds = list[Annotated[int, Field(ge=0, le=_LARGEST)]]


class _Token(_Read):
    logprob: Annotated[float, Field(le=_ROUNDING)]


class _Logprobs(_Read):
    content: list[_Token]


class _Message(_Read):
    content: str | None = None


class _Choice(_Read):
    token_ids: TokenIds
    logprobs: _Logprobs
    message: _Message
    finish_reason: Literal["stop", "length"]


class _Answer(_Read):
    prompt_token_ids: TokenIds
    choices: Annotated[list[_Choice], Field(min_length=1)]


class Card(_Read):
    """An entry of the server's list of models.

    Attributes
    ----------
    id : str
        Name it is served under.
    parent : str or None
        Of an adapter the model it belongs to.
    root : str or None
        Where it was loaded from.
    max_model_len : int or None
        Context, tokens; None for adapters.
    """

    id: str
    parent: str | None = None
    root: str | None = None
    max_model_len: Annotated[int, Field(ge=1, le=_LARGEST)] | None = None


class _Cards(_Read):
    data: list[Card]


class _Error(_Read):
    message: str


class _Refusal(_Read):
    error: _Error


def parse_completion(
    content: bytes, latency_s: float, *, max_tokens: int, vocabulary: int | None
) -> Completion:
    """Read the answer of `/v1/chat/completions` (vLLM, return_token_ids and logprobs on).

    Parameters
    ----------
    content : bytes
        The body.
    latency_s : float
        Seconds that it took.
    max_tokens : int
        Most tokens that were asked for.
    vocabulary : int or None
        Token ids are smaller than this; None where the model is not known.

    Raises
    ------
    BadReply
        It is no such answer, or one that cannot be trained on; the sentence says why.
    """
    answer = _parse(_Answer, content)
    choice = answer.choices[0]
    logprobs = [token.logprob for token in choice.logprobs.content]
    prompt_ids, completion_ids = answer.prompt_token_ids, choice.token_ids
    if not prompt_ids or not completion_ids or len(completion_ids) != len(logprobs):
        raise BadReply(
            f"The model server's answer has {len(prompt_ids)} prompt tokens, "
            f"{len(completion_ids)} completion tokens and {len(logprobs)} log-probabilities: "
            "it cannot be logged."
        )
    if len(completion_ids) > max_tokens:
        raise BadReply(
            f"The model server's answer has {len(completion_ids)} tokens where {max_tokens} were "
            "asked for: it cannot be logged."
        )
    if min(logprobs) <= _MISSING_LOGPROB:
        raise BadReply(
            "The model server's answer lacks the log-probability of a token: start it with "
            "--logprobs-mode processed_logprobs."
        )
    _check_vocabulary((*prompt_ids, *completion_ids), vocabulary)
    text = choice.message.content or ""
    return Completion(text, prompt_ids, completion_ids, logprobs, choice.finish_reason, latency_s)


def parse_models(content: bytes) -> list[Card]:
    """Read the answer of `/v1/models`. Raises BadReply if it is none."""
    return _parse(_Cards, content).data


def refusal_message(content: bytes) -> str:
    """What the server says in an error reply, at most 300 characters on one line."""
    try:
        text = _Refusal.model_validate_json(content).error.message
    except ValidationError:
        text = content[: 4 * _MESSAGE_CHARACTERS].decode("utf-8", "replace")
    return " ".join(text.split())[:_MESSAGE_CHARACTERS]


def _parse(kind: type[R], content: bytes) -> R:
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        if first["type"] == "json_invalid":
            raise BadReply(
                f"The model server's answer is no JSON ({first['msg']}): is a proxy before it?"
            ) from None
        place = ".".join(map(str, first["loc"]))
        raise BadReply(
            f"The model server's answer is none of vLLM 0.22 or newer ({place}: {first['msg']})."
        ) from None


def _check_vocabulary(ids: Sequence[int], vocabulary: int | None) -> None:
    if vocabulary is not None and max(ids) >= vocabulary:
        raise BadReply(
            f"The model server's answer has token {max(ids)}, the model's vocabulary has "
            f"{vocabulary}: it serves another model."
        )
