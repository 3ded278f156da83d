"""The model in this process against the real server: the same prompts, tokens and
log-probabilities.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from marl_llm.core.roles import DATA_SCIENTIST, ML_ENGINEER
from marl_llm.serving import ChatClient, Completion, ModelServer, PromptTooLong, Sampler
from marl_llm.serving.in_process import InProcessClient, InProcessModel
from tests.serving.test_in_process import CHATS, SHORT

pytestmark = pytest.mark.vllm


def by_both(
    server: ModelServer, base: Path, adapters: dict[str, Path], name: str, **how: float
) -> list[list]:
    """What the server and this process answer to every chat; a `PromptTooLong` is an answer too."""

    async def answers(client: Sampler) -> list[Completion | type]:
        got: list[Completion | type] = []
        async with client:
            for role, path in adapters.items():
                await client.load_adapter(role, path)
            for chat in CHATS:
                try:
                    got.append(
                        await client.sample(
                            name, chat, temperature=0, max_tokens=int(how["max_tokens"])
                        )
                    )
                except PromptTooLong as error:
                    got.append(type(error))
        return got

    both = (
        ChatClient(server, request_timeout_s=60),
        InProcessClient(InProcessModel(base, server.max_model_len)),
    )
    return [asyncio.run(answers(client)) for client in both]


@pytest.mark.parametrize("name", ["base", DATA_SCIENTIST, ML_ENGINEER])
def test_greedy_completions_are_the_server_s_token_for_token(
    tiny_server: ModelServer, tiny_base: Path, tiny_adapters: dict[str, Path], name: str
) -> None:
    server, here = by_both(tiny_server, tiny_base, tiny_adapters, name, max_tokens=96)
    assert len(server) == len(CHATS)
    for theirs, ours in zip(server, here, strict=True):
        assert ours.prompt_ids == theirs.prompt_ids
        assert ours.completion_ids == theirs.completion_ids
        assert (ours.text, ours.finish_reason) == (theirs.text, theirs.finish_reason)
        assert ours.logprobs == pytest.approx(theirs.logprobs, abs=1e-4)


def test_sampled_text_is_decoded_as_the_server_decodes_it(
    tiny_server: ModelServer, tiny_base: Path
) -> None:
    chat = InProcessModel(tiny_base, 1024).chat

    async def wild() -> list[Completion]:
        async with ChatClient(tiny_server) as client:
            asks = (
                client.sample("base", SHORT, temperature=2.0, max_tokens=60, seed=seed)
                for seed in range(24)
            )
            return await asyncio.gather(*asks)

    completions = asyncio.run(wild())
    assert [chat.text(one.completion_ids) for one in completions] == [
        one.text for one in completions
    ]
    assert len({one.text for one in completions}) > 12


@pytest.mark.parametrize("spare", [0, -1])
def test_the_same_prompts_fit(tiny_server: ModelServer, tiny_base: Path, spare: int) -> None:
    longest = max(len(InProcessModel(tiny_base, 1024).chat.prompt_ids(chat)) for chat in CHATS)
    server, here = by_both(tiny_server, tiny_base, {}, "base", max_tokens=1024 - longest - spare)
    assert [isinstance(one, Completion) for one in server] == [
        isinstance(one, Completion) for one in here
    ]
    assert (PromptTooLong in here) == (spare < 0)


def test_an_attached_server_gets_seeds_and_repeats_its_samples(tiny_server: ModelServer) -> None:
    async def samples() -> list[list[int]]:
        async with ChatClient(ModelServer.attach(tiny_server.url)) as client:
            seeds = (7, 7, 8)
            got = [
                await client.sample("base", SHORT, temperature=2.0, max_tokens=24, seed=seed)
                for seed in seeds
            ]
            return [one.completion_ids for one in got]

    first, again, other = asyncio.run(samples())
    assert first == again != other
