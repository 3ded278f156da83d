"""Claims about a server that answers wrongly, endlessly, slowly, or not yet: the turn is sampled
again, waits and memory are bounded, and one sentence says what was wrong.
"""

from __future__ import annotations

import asyncio
import resource
import time
from pathlib import Path

import pytest

from marl_llm.core.errors import UserError
from marl_llm.serving import (
    AdapterError,
    BadReply,
    ChatClient,
    Completion,
    ModelServer,
    ServerBusy,
    ServerDied,
    ServerStalled,
    client,
    connection,
)
from tests.serving.faulty_server import (
    Answer,
    Faulty,
    completion,
    dripping,
    endless,
    hanging_up,
    says,
    serving,
)

GOOD = says(completion())
MODELS = {"data": [{"id": "base", "parent": None, "root": "/model", "max_model_len": 64}]}
MET = {"/health": says(b""), "/v1/models": says(MODELS)}


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_PAUSES_S", (0.0, 0.0))
    monkeypatch.setattr(connection, "_FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(connection, "_BACK_OFF_S", (0.0, 0.0))
    monkeypatch.setattr(connection, "_LOOK_S", 0.2)


def sample(faulty: Faulty, patience_s: float = 30) -> Completion:
    """One completion of a server attached to, of a model with 16 tokens."""
    server = ModelServer(
        faulty.url, base_name="base", max_model_len=64, max_num_seqs=4, seeds=False
    )

    async def use() -> Completion:
        async with ChatClient(server, request_timeout_s=patience_s, vocabulary=16) as asking:
            chat = [{"role": "user", "content": "tune"}]
            return await asking.sample("base", chat, max_tokens=8)

    return asyncio.run(use())


@pytest.mark.parametrize(
    "first",
    [
        says(b"<html>busy</html>"),
        says(completion(finish_reason=...)),
        says(completion(token_ids=[5, 16])),
        says({"error": {"message": "engine hiccup"}}, 500),
        says({}, 429),
        says({}, 503, headers="Retry-After: 0\r\n"),
        says({}, 502),
        hanging_up,
        endless,
    ],
)
def test_a_turn_whose_answer_is_unusable_is_sampled_again_and_that_is_counted(
    first: Answer,
) -> None:
    with serving(Faulty([first, GOOD])) as faulty:
        found = sample(faulty)
    assert (found.completion_ids, found.repeated, faulty.completions) == ([5, 2], 1, 2)


def test_an_answer_at_once_counts_no_repetition() -> None:
    with serving(Faulty([GOOD])) as faulty:
        assert sample(faulty).repeated == 0


def test_unusable_answers_are_borne_twice_and_then_told_with_what_is_wrong() -> None:
    with serving(Faulty([says(completion(finish_reason="abort"))])) as faulty:
        with pytest.raises(BadReply, match=r"choices\.0\.finish_reason: .*'stop' or 'length'"):
            sample(faulty)
        assert faulty.completions == 3


def test_a_refused_request_is_not_sent_again() -> None:
    with serving(Faulty([says({"error": {"message": "no such thing"}}, 400)])) as faulty:
        with pytest.raises(BadReply, match=r"refused a request \(400\): no such thing"):
            sample(faulty)
        assert faulty.completions == 1


def test_an_endless_answer_is_cut_off_after_a_bounded_number_of_bytes() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with serving(Faulty([endless])) as faulty, pytest.raises(BadReply, match="longer than 1 MiB"):
        sample(faulty)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024  # KiB


def test_an_answer_that_has_begun_and_drips_is_cut_off_and_the_key_is_named() -> None:
    busy = says(b'vllm:prompt_tokens_total{a="b"} 1\nvllm:generation_tokens_total{a="b"} 1\n')
    with (
        serving(Faulty([dripping], {"/metrics": busy})) as faulty,
        pytest.raises((BadReply, ServerStalled), match=r"raise serving\.request_timeout_s"),
    ):
        sample(faulty, patience_s=0.4)


@pytest.mark.parametrize("page", [dripping, endless])
def test_a_page_of_counters_without_an_end_holds_nothing_up(page: Answer) -> None:
    def silent(send: object) -> None:
        time.sleep(3)

    with (
        serving(Faulty([silent], {"/metrics": page})) as faulty,
        pytest.raises(ServerStalled, match="answered none of 1 requests"),
    ):
        sample(faulty, patience_s=0.4)


def test_a_server_that_stays_busy_is_told_with_its_words_and_the_key() -> None:
    full = says({"error": {"message": "queue is full"}}, 429)
    with serving(Faulty([full])) as faulty:
        with pytest.raises(
            ServerBusy,
            match=r"status 429: queue is full.*raise serving\.request_timeout_s \(0\.1\)",
        ):
            sample(faulty, patience_s=0.1)
        assert faulty.completions > 2


def test_a_server_that_hangs_up_every_time_is_gone() -> None:
    with (
        serving(Faulty([hanging_up])) as faulty,
        pytest.raises(ServerDied, match="no longer answers"),
    ):
        sample(faulty)


@pytest.mark.parametrize("answer", [endless, dripping, says(b"[" * 100_000), says({"data": [{}]})])
def test_attaching_to_what_answers_wrongly_or_for_ever_ends_with_a_sentence(
    answer: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("marl_llm.serving.introduction.ANSWER_S", 0.3)
    with (
        serving(Faulty([], MET | {"/v1/models": answer})) as faulty,
        pytest.raises(UserError, match="is not a vLLM server|does not answer within 0.3 s"),
    ):
        ModelServer.attach(faulty.url)


def test_a_password_in_the_address_is_used_and_never_shown(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with serving(Faulty([hanging_up], MET)) as faulty:
        secret = faulty.url.replace("//", "//me:hunter2@") + "?key=hunter2"
        server = ModelServer.attach(faulty.url.replace("//", "//me:hunter2@"))
        assert "hunter2" in server.url and server.address == faulty.url
        with pytest.raises(AdapterError) as failed:
            asyncio.run(ChatClient(server).load_adapter("a", Path("/a")))
        told = [str(failed.value), str(server.died("died")), str(server.stalled(1, 1, 1))]
        told.append(caplog.text)
    for url in (secret, "http://me:hunter2@127.0.0.1:1", "me:hunter2@host", "http://a:hunter2@["):
        with pytest.raises(UserError) as refused:
            ModelServer.attach(url)
        told.append(str(refused.value))
    assert not [text for text in told if "hunter2" in text]


def test_a_list_of_models_that_is_none_is_told_when_an_adapter_is_loaded() -> None:
    others = {"/v1/models": says(b"nothing"), "/v1/load_lora_adapter": says({}, 400)}
    with serving(Faulty([], others)) as faulty:
        server = ModelServer(
            faulty.url, base_name="base", max_model_len=64, max_num_seqs=4, seeds=False
        )
        with pytest.raises((AdapterError, BadReply), match="no JSON"):
            asyncio.run(ChatClient(server).load_adapter("a", Path("/a")))
