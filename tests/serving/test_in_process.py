"""Claims about the model in this process, against transformers and PEFT; `test_in_process_vllm.py`
has the server.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from marl_llm.core.errors import UserError
from marl_llm.core.roles import DATA_SCIENTIST, ML_ENGINEER, ROLES
from marl_llm.serving import AdapterError, Completion, PromptTooLong
from marl_llm.serving.in_process import InProcessClient, InProcessModel, suits_in_process
from marl_llm.serving.in_process.sampling import draw
from tests.tiny_model import make_adapter, make_model

SHORT = [{"role": "user", "content": "tune max_depth=5"}]
LONG = [
    {"role": "system", "content": "build_pipeline " * 6},
    {"role": "user", "content": "est = SVC(C=0.3)\n" * 30},
]
TURNS = [
    *LONG,
    {"role": "assistant", "content": "tune C=0.1"},
    {"role": "user", "content": "failed: größer als π\n"},
]
CHATS = [SHORT, LONG, TURNS]

T = TypeVar("T")


@pytest.fixture(scope="module", params=["embedded", "grouped heads, untied"])
def base(
    request: pytest.FixtureRequest, tiny_base: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    if request.param == "embedded":
        return tiny_base
    return make_model(tmp_path_factory.mktemp("grouped") / "base")


@pytest.fixture(scope="module")
def adapters(base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    directory = tmp_path_factory.mktemp("adapters")
    return {role: make_adapter(base, directory / role, seed) for seed, role in enumerate(ROLES)}


@pytest.fixture(scope="module")
def peft_model(base: Path, adapters: dict[str, Path]) -> PeftModel:
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    model = PeftModel.from_pretrained(model, adapters[DATA_SCIENTIST], adapter_name=DATA_SCIENTIST)
    model.load_adapter(adapters[ML_ENGINEER], adapter_name=ML_ENGINEER)
    return model.eval()


def with_model(model: InProcessModel, use: Callable[[InProcessClient], Awaitable[T]]) -> T:
    async def run() -> T:
        async with InProcessClient(model) as client:
            return await use(client)

    return asyncio.run(run())


def ask(model: InProcessModel, name: str, chat: list[dict[str, str]], **how: Any) -> Completion:
    return with_model(model, lambda client: client.sample(name, chat, **({"max_tokens": 24} | how)))


def logprobs_of(model: PeftModel, name: str, ids: list[int]) -> torch.Tensor:
    """Log-probabilities by transformers and PEFT after each of the ids: shape (T, vocabulary)."""
    with torch.no_grad():
        if name == "base":
            with model.disable_adapter():
                return model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
        model.set_adapter(name)
        return model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)


@pytest.mark.parametrize("name", ["base", DATA_SCIENTIST, ML_ENGINEER])
def test_greedy_tokens_and_logprobs_are_those_of_transformers_and_peft(
    base: Path, adapters: dict[str, Path], peft_model: PeftModel, name: str
) -> None:
    model = InProcessModel(base, 1024)
    for role, path in adapters.items():
        model.load_adapter(role, path)
    for chat in [*CHATS, *CHATS]:  # the second time with their keys and values kept
        got = ask(model, name, chat, temperature=0)
        expected = logprobs_of(peft_model, name, got.prompt_ids + got.completion_ids)[
            len(got.prompt_ids) - 1 : -1
        ]
        assert got.completion_ids == expected.argmax(-1).tolist()
        assert (expected.max(-1).values - torch.tensor(got.logprobs)).abs().max() < 1e-4


@pytest.mark.parametrize("chat", CHATS)
def test_the_prompt_is_rendered_as_transformers_renders_it(
    base: Path, chat: list[dict[str, str]]
) -> None:
    rendered = AutoTokenizer.from_pretrained(base).apply_chat_template(
        chat, add_generation_prompt=True
    )
    assert ask(InProcessModel(base, 1024), "base", chat).prompt_ids == rendered["input_ids"]


def test_a_template_in_the_tokenizer_s_settings_is_read_too(base: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(base, tmp_path / "base"))
    template = (copy / "chat_template.jinja").read_text()
    (copy / "chat_template.jinja").unlink()
    settings = json.loads((copy / "tokenizer_config.json").read_text())
    (copy / "tokenizer_config.json").write_text(json.dumps(settings | {"chat_template": template}))
    assert (
        ask(InProcessModel(copy, 1024), "base", TURNS).prompt_ids
        == ask(InProcessModel(base, 1024), "base", TURNS).prompt_ids
    )


def test_a_sample_depends_on_its_prompt_and_seed_only(tiny_base: Path) -> None:
    asks = [(chat, seed) for seed in (7, 8) for chat in CHATS]

    async def at_once(client: InProcessClient) -> list[Completion]:
        return await asyncio.gather(
            *(client.sample("base", c, max_tokens=24, seed=s) for c, s in asks)
        )

    together = [got.completion_ids for got in with_model(InProcessModel(tiny_base, 1024), at_once)]
    alone = [
        ask(InProcessModel(tiny_base, 1024), "base", c, seed=s).completion_ids for c, s in asks
    ]
    assert together == alone
    assert together[:3] != together[3:]


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_tokens_are_drawn_with_the_probabilities_that_are_logged(temperature: float) -> None:
    logits = np.array([0.3, -1.0, 2.0, 0.0, -30.0], np.float32)
    rng, n = np.random.default_rng(0), 20_000
    drawn = [draw(logits, temperature, rng) for _ in range(n)]
    probabilities = np.exp(logits / temperature) / np.exp(logits / temperature).sum()
    counts = np.bincount([token for token, _ in drawn], minlength=5)
    assert np.abs(counts / n - probabilities).max() < 0.015  # four standard deviations
    for token, logprob in drawn[:100]:
        assert logprob == pytest.approx(np.log(probabilities[token]), abs=1e-5)


def test_a_completion_says_how_it_ended_and_is_decoded_without_its_end_token(
    tiny_base: Path,
) -> None:
    model = InProcessModel(tiny_base, 1024)
    got = [ask(model, "base", LONG, seed=seed, max_tokens=64) for seed in range(8)]
    ended = [one for one in got if one.finish_reason == "stop"]
    assert ended and all(
        one.completion_ids[-1] in model.chat.ends and "<|" not in one.text for one in ended
    )
    cut = ask(model, "base", LONG, max_tokens=2, seed=0)
    assert (cut.finish_reason, len(cut.completion_ids), len(cut.logprobs)) == ("length", 2, 2)


def test_a_character_cut_in_the_middle_is_left_out_of_the_text(tmp_path: Path) -> None:
    base = make_model(tmp_path / "base")
    tokenizer = AutoTokenizer.from_pretrained(base)
    ids = tokenizer("tune π", add_special_tokens=False)["input_ids"]
    chat = InProcessModel(base, 1024).chat
    assert (chat.text(ids), chat.text(ids[:-1])) == ("tune π", "tune ")


def test_a_prompt_fits_exactly_or_is_refused(tiny_base: Path) -> None:
    model = InProcessModel(tiny_base, 1024)
    room = 1024 - len(ask(model, "base", LONG).prompt_ids)
    assert ask(model, "base", LONG, max_tokens=room, seed=0).completion_ids
    with pytest.raises(PromptTooLong, match="into the 1024 tokens") as caught:
        ask(model, "base", LONG, max_tokens=room + 1)
    assert (caught.value.max_model_len, caught.value.max_tokens) == (1024, room + 1)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_weights_of_half_precision_and_in_shards_are_read(
    tiny_base: Path, tmp_path: Path, dtype: torch.dtype
) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_base, dtype=dtype)
    model.save_pretrained(tmp_path / "half", max_shard_size="1MB")
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(tiny_base / name, tmp_path / "half" / name)
    assert len(list((tmp_path / "half").glob("model-*.safetensors"))) > 1
    got = ask(InProcessModel(tmp_path / "half", 1024), "base", LONG, temperature=0)
    with torch.no_grad():
        logits = model.float()(
            input_ids=torch.tensor([got.prompt_ids + got.completion_ids])
        ).logits[0]
    assert got.completion_ids == logits[len(got.prompt_ids) - 1 : -1].argmax(-1).tolist()


def test_small_models_of_a_known_kind_suit(tiny_base: Path, tmp_path: Path) -> None:
    count = sum(p.numel() for p in AutoModelForCausalLM.from_pretrained(tiny_base).parameters())
    assert suits_in_process(tiny_base, count)
    assert not suits_in_process(tiny_base, count - 1)
    assert not suits_in_process(tiny_base, 0)
    other = altered(tiny_base, tmp_path, lambda config: config | {"model_type": "llama"})
    assert not suits_in_process(other, count)
    scaled = altered(
        tiny_base, tmp_path, lambda config: config | {"rope_parameters": {"rope_type": "yarn"}}
    )
    assert not suits_in_process(scaled, count)


def altered(
    base: Path, directory: Path, change: Callable[[dict[str, Any]], dict[str, Any]]
) -> Path:
    copy = Path(shutil.copytree(base, directory / "altered", dirs_exist_ok=True))
    config = json.loads((base / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(change(config)))
    return copy


@pytest.mark.parametrize(
    ("file", "content", "sentence"),
    [
        (
            "model.safetensors",
            None,
            r"holds no weights \(model\.safetensors\): get the model again\.$",
        ),
        (
            "model.safetensors",
            b"half a file",
            r"model\.safetensors cannot be read as weights \(.*\): get it again\.$",
        ),
        (
            "tokenizer.json",
            None,
            r"tokenizer\.json cannot be read \(No such file or directory\): get it again\.$",
        ),
        ("tokenizer.json", b"{", r"tokenizer\.json cannot be read \(.*\): get it again\.$"),
        (
            "chat_template.jinja",
            None,
            r"has no chat template \(chat_template\.jinja\): get the model again\.$",
        ),
        (
            "config.json",
            None,
            r"config\.json cannot be read \(No such file or directory\): get it again\.$",
        ),
        (
            "config.json",
            b'{"model_type": "llama"}',
            r"cannot be played in this process, its architecture is 'llama'",
        ),
        (
            "config.json",
            b'{"model_type": "qwen3", "hidden_act": "silu"}',
            r"config\.json has no 'num_hidden_layers'",
        ),
    ],
)
def test_a_dead_model_directory_is_one_sentence(
    tiny_base: Path, tmp_path: Path, file: str, content: bytes | None, sentence: str
) -> None:
    copy = Path(shutil.copytree(tiny_base, tmp_path / "base"))
    (copy / file).unlink()
    if content is not None:
        (copy / file).write_bytes(content)
    with pytest.raises(UserError, match=sentence):
        InProcessModel(copy, 1024)


def test_a_missing_weight_and_a_context_too_long_are_one_sentence(
    tiny_base: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(tiny_base, tmp_path / "base"))
    weights = load_file(copy / "model.safetensors")
    del weights["model.norm.weight"]
    save_file(weights, copy / "model.safetensors")
    with pytest.raises(
        UserError, match=r"files hold no model\.norm\.weight: get the model again\.$"
    ):
        InProcessModel(copy, 1024)
    with pytest.raises(
        UserError, match=r"^serving\.max_model_len is 4096, .* has 2048 positions: lower it\.$"
    ):
        InProcessModel(tiny_base, 4096)


def changed_adapter(adapter: Path, directory: Path, **changes: Any) -> Path:
    copy = Path(shutil.copytree(adapter, directory / "changed", dirs_exist_ok=True))
    config = json.loads((adapter / "adapter_config.json").read_text())
    (copy / "adapter_config.json").write_text(json.dumps(config | changes))
    return copy


def test_an_adapter_that_does_not_fit_is_one_sentence(
    tiny_base: Path, tiny_adapters: dict[str, Path], tmp_path: Path
) -> None:
    model, adapter = InProcessModel(tiny_base, 1024), tiny_adapters[DATA_SCIENTIST]
    other = make_adapter(make_model(tmp_path / "tiny"), tmp_path / "other", seed=0)
    renamed = changed_adapter(other, tmp_path, base_model_name_or_path=tiny_base.name)
    with pytest.raises(
        AdapterError, match=r"does not fit the base model at model\.layers\.0\..*: it was made for"
    ):
        model.load_adapter("shape", renamed)
    foreign = changed_adapter(adapter, tmp_path, base_model_name_or_path="user/giant")
    with pytest.raises(
        AdapterError, match=r"was made for the base model 'giant', this one is '.*': name the"
    ):
        model.load_adapter("foreign", foreign)
    for changes in (
        {"use_rslora": True},
        {"use_dora": True},
        {"bias": "all"},
        {"peft_type": "IA3"},
    ):
        with pytest.raises(
            AdapterError,
            match=rf"is no plain LoRA \({next(iter(changes))} in adapter_config\.json\)",
        ):
            model.load_adapter("kind", changed_adapter(adapter, tmp_path, **changes))
    with pytest.raises(
        AdapterError, match=r"cannot be loaded: .*adapter_config\.json cannot be read"
    ):
        model.load_adapter("gone", tmp_path / "nowhere")
    assert "shape" not in model and "gone" not in model


def test_the_base_model_may_also_go_by_the_recipe_s_name(
    tiny_base: Path, tiny_adapters: dict[str, Path], tmp_path: Path
) -> None:
    named = changed_adapter(
        tiny_adapters[DATA_SCIENTIST], tmp_path, base_model_name_or_path="user/small"
    )
    model = InProcessModel(tiny_base, 1024, "user/small")
    model.load_adapter("v0", named)
    assert "v0" in model


def test_an_adapter_s_name_is_never_used_twice_and_must_be_loaded(
    tiny_base: Path, tiny_adapters: dict[str, Path]
) -> None:
    model = InProcessModel(tiny_base, 1024)
    model.load_adapter("v0", tiny_adapters[DATA_SCIENTIST])
    model.load_adapter("v0", tiny_adapters[DATA_SCIENTIST])  # idempotent
    with pytest.raises(ValueError, match="adapter name 'v0' is taken, .* needs a name of its own"):
        model.load_adapter("v0", tiny_adapters[ML_ENGINEER])
    with pytest.raises(
        AdapterError, match="No model 'v1' is loaded in this process: load its adapter first"
    ):
        ask(model, "v1", SHORT)
