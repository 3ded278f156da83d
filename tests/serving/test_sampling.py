"""Claims about sampling from a real vLLM server: what comes back can be trained on."""

from __future__ import annotations

import asyncio
import itertools
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from marl_llm.core.roles import DATA_SCIENTIST, ML_ENGINEER, ROLES
from marl_llm.serving import AdapterError, ChatClient, Completion, ModelServer, PromptTooLong
from marl_llm.workspace.open_run import policies
from marl_llm.workspace.run import RunDirectory

pytestmark = pytest.mark.vllm

SHORT = [{"role": "user", "content": "tune max_depth=5"}]
LONG = [
    {"role": "system", "content": "build_pipeline " * 6},
    {"role": "user", "content": "est = SVC(C=0.3)\n" * 12},
]
CHATS = [SHORT, LONG]


T = TypeVar("T")


def with_client(
    server: ModelServer, use: Callable[[ChatClient], Awaitable[T]], adapters: dict[str, Path]
) -> T:
    async def run() -> T:
        async with ChatClient(server, request_timeout_s=60) as client:
            for name, path in adapters.items():
                await client.load_adapter(name, path)
            return await use(client)

    return asyncio.run(run())


def distributions_by_transformers(
    model: PeftModel, name: str, completion: Completion, temperature: float = 1.0
) -> torch.Tensor:
    """Log-probabilities of every token at each place of the completion, by transformers and PEFT:
    shape (T, V).
    """
    ids = torch.tensor([completion.prompt_ids + completion.completion_ids])
    with torch.no_grad():
        if name == "base":
            with model.disable_adapter():
                logits = model(input_ids=ids).logits[0]
        else:
            model.set_adapter(name)
            logits = model(input_ids=ids).logits[0]
    return (logits[len(completion.prompt_ids) - 1 : -1] / temperature).log_softmax(-1)


def logprobs_by_transformers(
    model: PeftModel, name: str, completion: Completion, temperature: float
) -> torch.Tensor:
    """The completion's log-probabilities by transformers and PEFT: shape (T,)."""
    every = distributions_by_transformers(model, name, completion, temperature)
    return every.gather(1, torch.tensor(completion.completion_ids)[:, None])[:, 0]


@pytest.fixture(scope="module")
def peft_model(tiny_base: Path, tiny_adapters: dict[str, Path]) -> PeftModel:
    base = AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.float32)
    model = PeftModel.from_pretrained(
        base, tiny_adapters[DATA_SCIENTIST], adapter_name=DATA_SCIENTIST
    )
    model.load_adapter(tiny_adapters[ML_ENGINEER], adapter_name=ML_ENGINEER)
    return model.eval()


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("name", ["base", DATA_SCIENTIST, ML_ENGINEER])
def test_logged_logprobs_agree_with_transformers_and_peft(
    tiny_server: ModelServer,
    tiny_adapters: dict[str, Path],
    peft_model: PeftModel,
    name: str,
    temperature: float,
) -> None:
    async def use(client: ChatClient) -> list[Completion]:
        return [
            await client.sample(name, chat, temperature=temperature, max_tokens=48, seed=seed)
            for seed, chat in enumerate(CHATS)
        ]

    for completion in with_client(tiny_server, use, tiny_adapters):
        expected = logprobs_by_transformers(peft_model, name, completion, temperature)
        assert (expected - torch.tensor(completion.logprobs)).abs().max() < 1e-4


def test_prompt_ids_are_the_rendered_chat(tiny_server: ModelServer, tiny_base: Path) -> None:
    completion = with_client(
        tiny_server, lambda client: client.sample("base", LONG, max_tokens=1), {}
    )
    rendered = AutoTokenizer.from_pretrained(tiny_base).apply_chat_template(
        LONG, add_generation_prompt=True
    )
    assert completion.prompt_ids == rendered["input_ids"]


def test_a_completion_that_ends_by_itself_includes_its_end_token_and_its_logprob(
    tiny_server: ModelServer, tiny_base: Path
) -> None:
    async def use(client: ChatClient) -> list[Completion]:
        return await asyncio.gather(
            *(
                client.sample("base", SHORT, temperature=2.0, max_tokens=900, seed=seed)
                for seed in range(8)
            )
        )

    end = AutoTokenizer.from_pretrained(tiny_base).eos_token_id
    ended = [
        completion
        for completion in with_client(tiny_server, use, {})
        if completion.finish_reason == "stop"
    ]
    assert ended
    for completion in ended:
        assert completion.completion_ids[-1] == end
        assert len(completion.completion_ids) == len(completion.logprobs)


def test_sixteen_requests_at_once_keep_base_and_adapters_apart(
    tiny_server: ModelServer, tiny_adapters: dict[str, Path], peft_model: PeftModel
) -> None:
    names = [("base", *ROLES)[i % 3] for i in range(16)]

    async def use(client: ChatClient) -> list[Completion]:
        return await asyncio.gather(
            *(
                client.sample(name, CHATS[i // 8], temperature=1.5, max_tokens=24, seed=i)
                for i, name in enumerate(names)
            )
        )

    completions = with_client(tiny_server, use, tiny_adapters)
    assert len({tuple(completion.completion_ids) for completion in completions}) > 8
    for name, completion in zip(names, completions, strict=True):
        expected = logprobs_by_transformers(peft_model, name, completion, 1.5)
        assert (expected - torch.tensor(completion.logprobs)).abs().max() < 1e-4


@pytest.mark.parametrize("order", itertools.permutations(["base", *ROLES]), ids=", ".join)
def test_base_and_both_adapters_in_one_batch_each_answer_as_transformers_and_peft_do(
    tiny_server: ModelServer,
    tiny_adapters: dict[str, Path],
    peft_model: PeftModel,
    order: tuple[str, ...],
) -> None:
    asked = [(name, chat) for chat in CHATS for name in order]

    async def use(client: ChatClient) -> list[Completion]:
        calls = (client.sample(name, chat, temperature=0, max_tokens=24) for name, chat in asked)
        return await asyncio.gather(*calls)

    completions = with_client(tiny_server, use, tiny_adapters)
    assert len({tuple(completion.completion_ids) for completion in completions}) > len(order)
    for (name, _), completion in zip(asked, completions, strict=True):
        every = distributions_by_transformers(peft_model, name, completion)
        chosen = every.gather(1, torch.tensor(completion.completion_ids)[:, None])[:, 0]
        assert (every.amax(1) - chosen).max() < 1e-4, (
            f"{name} chose a token that is not the most probable one"
        )
        assert (chosen - torch.tensor(completion.logprobs)).abs().max() < 1e-4


def test_the_same_seed_gives_the_same_tokens_and_another_seed_others(
    tiny_server: ModelServer,
) -> None:
    async def use(client: ChatClient) -> list[list[int]]:
        samples = [
            await client.sample("base", SHORT, temperature=2.0, max_tokens=24, seed=seed)
            for seed in (7, 7, 8)
        ]
        return [sample.completion_ids for sample in samples]

    first, again, other = with_client(tiny_server, use, {})
    assert first == again != other


def test_a_new_adapter_version_is_served_while_the_server_runs(
    tiny_server: ModelServer, tiny_adapters: dict[str, Path], tiny_base: Path, tmp_path: Path
) -> None:
    from tests.tiny_model import make_adapter

    versions = {
        "hot-v0": tiny_adapters[DATA_SCIENTIST],
        "hot-v1": make_adapter(tiny_base, tmp_path / "v1", seed=99),
    }

    async def use(client: ChatClient) -> list[list[float]]:
        samples = [await client.sample(name, SHORT, max_tokens=4, seed=1) for name in versions]
        for name, path in versions.items():
            await client.load_adapter(name, path)  # idempotent
            await client.unload_adapter(name)
        return [sample.logprobs for sample in samples]

    old, new = with_client(tiny_server, use, versions)
    assert old[0] != new[0]


def test_an_adapter_the_server_has_forgotten_is_loaded_once_more(
    tiny_server: ModelServer, tiny_adapters: dict[str, Path]
) -> None:
    path = tiny_adapters[DATA_SCIENTIST]

    async def use(client: ChatClient) -> Completion:
        async with ChatClient(tiny_server) as other:
            await other.unload_adapter("forgotten")
        return await client.sample("forgotten", SHORT, max_tokens=4)

    assert with_client(tiny_server, use, {"forgotten": path}).completion_ids


def test_an_unknown_adapter_is_a_clear_error(tiny_server: ModelServer) -> None:
    with pytest.raises(AdapterError, match="serves no model 'nobody-v3': load its adapter first"):
        with_client(tiny_server, lambda client: client.sample("nobody-v3", SHORT, max_tokens=4), {})


def test_an_adapter_directory_that_does_not_exist_is_a_clear_error(
    tiny_server: ModelServer, tmp_path: Path
) -> None:
    with pytest.raises(AdapterError, match=r"could not load adapter 'gone' from .*nowhere"):
        with_client(
            tiny_server, lambda client: client.load_adapter("gone", tmp_path / "nowhere"), {}
        )


def test_other_weights_under_a_name_the_server_knows_are_refused(
    tiny_server: ModelServer, tiny_adapters: dict[str, Path]
) -> None:
    with_client(
        tiny_server, lambda client: client.load_adapter("taken", tiny_adapters[DATA_SCIENTIST]), {}
    )
    with pytest.raises(AdapterError, match="already has other weights under the name 'taken'"):
        with_client(
            tiny_server, lambda client: client.load_adapter("taken", tiny_adapters[ML_ENGINEER]), {}
        )


@pytest.mark.parametrize("repeats", [300, 20_000])
def test_a_prompt_that_does_not_fit_is_typed_and_the_server_goes_on(
    tiny_server: ModelServer, repeats: int
) -> None:
    async def use(client: ChatClient) -> Completion:
        with pytest.raises(PromptTooLong, match="into the 1024 tokens") as caught:
            await client.sample(
                "base", [{"role": "user", "content": "zq 9\n" * repeats}], max_tokens=200
            )
        assert (caught.value.max_model_len, caught.value.max_tokens) == (1024, 200)
        return await client.sample("base", SHORT, max_tokens=4)

    assert with_client(tiny_server, use, {}).completion_ids


def test_one_can_attach_to_a_running_server(tiny_server: ModelServer) -> None:
    with ModelServer.attach(tiny_server.url + "/v1/") as attached:
        assert (attached.base_name, attached.max_model_len, attached.owned) == ("base", 1024, False)
        assert with_client(
            attached, lambda client: client.sample("base", SHORT, max_tokens=4), {}
        ).completion_ids
    assert tiny_server.alive()


def test_a_remade_run_directory_is_never_played_with_the_weights_a_server_knows_of_it(
    tiny_server: ModelServer, tiny_base: Path, tmp_path: Path
) -> None:
    from tests.tiny_model import make_adapter

    run = RunDirectory(tmp_path)
    place = run.adapter(DATA_SCIENTIST, 0)

    def played(seed: int) -> tuple[str, list[float], list[float]]:
        """Served name of remade weights, and log-probabilities under it and under a name that does
        not tell the weights.
        """
        shutil.rmtree(place, ignore_errors=True)
        make_adapter(tiny_base, place, seed)
        policy = policies("remade", run, {DATA_SCIENTIST: 0})[DATA_SCIENTIST]
        names = {policy.info.name: place, "remade-untold": place}

        async def use(client: ChatClient) -> list[list[float]]:
            return [
                (await client.sample(name, SHORT, max_tokens=4, temperature=0)).logprobs
                for name in names
            ]

        named, untold = with_client(tiny_server, use, names)
        return policy.info.name, named, untold

    old, new = played(21), played(22)
    assert old[0] != new[0] and old[1] != new[1]
    assert old[2] == new[2] == old[1]  # the fault that the name prevents
