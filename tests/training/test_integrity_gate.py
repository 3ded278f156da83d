"""The integrity gate stops wrong training, and says what the data can tell about the cause."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from marl_llm.algorithms import GRPO
from marl_llm.training.adapters import adapter_sha256, create_adapter
from marl_llm.training.config import GATE_TOLERANCE
from marl_llm.training.data import ReplayRow, replay_rows
from marl_llm.training.diagnosis import foreign_template, one_sided, recorded_causes
from marl_llm.training.gate import IntegrityError, check_integrity, measure, only_old_kept
from marl_llm.training.train_role import train_role


@pytest.fixture
def refusal(tiny: Any, tmp_path: Path) -> Callable[..., str]:
    """The gate's message for these rows, with the proof that no version was published."""

    def _refusal(
        rows: pd.DataFrame,
        *,
        adapter_dir: Path | None = None,
        base_dir: Path | None = None,
        **config: Any,
    ) -> str:
        with pytest.raises(IntegrityError) as caught:
            train_role(
                rows,
                base_dir=base_dir or tiny.base_dir,
                adapter_dir=adapter_dir or tiny.adapter_dir,
                out_dir=tmp_path / "ds-v1",
                algorithm=GRPO(**config),
                workdir=tmp_path / "work",
                seed=0,
            )
        assert not (tmp_path / "ds-v1").exists() and caught.value.exit_code == 1
        return str(caught.value)

    return _refusal


@pytest.fixture(scope="module")
def other_adapter(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return create_adapter(
        tiny.base_dir, tmp_path_factory.mktemp("other") / "ds-v9", rank=4, alpha=8, seed=9
    )


def test_a_fingerprint_of_another_adapter_is_named(
    refusal: Callable, logged: pd.DataFrame, tiny: Any, other_adapter: Path
) -> None:
    message = refusal(logged.assign(adapter_sha256=tiny.sha256), adapter_dir=other_adapter)
    assert f"another adapter ({tiny.sha256[:12]})" in message
    assert adapter_sha256(other_adapter)[:12] in message


def test_another_adapter_without_a_fingerprint_is_still_caught(
    refusal: Callable, logged: pd.DataFrame, other_adapter: Path
) -> None:
    message = refusal(logged, adapter_dir=other_adapter)
    assert "mean importance ratio" in message and "another base model or adapter" in message


def test_rows_sampled_from_the_base_are_recognised(
    refusal: Callable, sample: Callable, load: Callable, tiny: Any
) -> None:
    model = load(tiny.adapter_dir).unload()
    assert "base model without any adapter" in refusal(sample(tiny.adapter_dir, model=model))


def test_a_recorded_temperature_that_differs_is_named(
    refusal: Callable, sample: Callable, tiny: Any
) -> None:
    rows = sample(tiny.adapter_dir, temperature=0.7).assign(
        sampling='{"temperature": 0.7, "top_p": 1.0, "top_k": -1}'
    )
    assert "sampled at temperature 0.7, training is set to 1" in refusal(rows)


def test_an_unrecorded_temperature_is_fitted(
    refusal: Callable, sample: Callable, tiny: Any
) -> None:
    rows = sample(tiny.adapter_dir, temperature=0.7)
    message = refusal(rows)
    assert (
        "fit temperature 0.7, training is set to 1" in message and "processed_logprobs" in message
    )


def test_training_at_the_sampling_temperature_passes(
    sample: Callable, tiny: Any, tmp_path: Path
) -> None:
    metrics = train_role(
        sample(tiny.adapter_dir, temperature=0.7),
        base_dir=tiny.base_dir,
        adapter_dir=tiny.adapter_dir,
        out_dir=tmp_path / "ds-v1",
        algorithm=GRPO(temperature=0.7),
        workdir=tmp_path / "work",
        seed=0,
    )
    assert metrics["ratio0"] == pytest.approx(1, abs=1e-3)


def test_truncated_sampling_shows_in_the_sign_of_the_differences(
    refusal: Callable, sample: Callable, tiny: Any
) -> None:
    rows = sample(tiny.adapter_dir, top_k=5)
    assert "the mark of truncated sampling" in refusal(rows)
    assert "top_k" in refusal(rows.assign(sampling='{"temperature": 1.0, "top_k": 5}'))


def test_nucleus_sampling_is_recognised_with_and_without_a_record(
    refusal: Callable, sample: Callable, tiny: Any
) -> None:
    rows = sample(tiny.adapter_dir, top_p=0.5)
    assert "the mark of truncated sampling" in refusal(rows)
    assert "sampled with top_p below 1" in refusal(
        rows.assign(sampling='{"temperature": 1.0, "top_p": 0.5}')
    )


OURS = "{% for m in messages %}<|im_end|>{{ m['role'] }}: {{ m['content'] }}{% endfor %}"
OURS += "{% if add_generation_prompt %}<|im_end|>reply:{% endif %}"


@pytest.fixture(scope="module")
def chat_base(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny base with a chat template."""
    directory = tmp_path_factory.mktemp("chat") / "tiny-base"
    shutil.copytree(tiny.base_dir, directory)
    (directory / "chat_template.jinja").write_text(OURS)
    return directory


def _prompts(base: Path, template: str) -> list[np.ndarray]:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    chats = [
        [{"role": "user", "content": text}]
        for text in ("scale depth", "drop column", "tune boost", "fold rate")
    ]
    ids = [
        tokenizer.encode(
            tokenizer.apply_chat_template(
                chat, chat_template=template, add_generation_prompt=True, tokenize=False
            )
        )
        for chat in chats
    ]
    return [np.array(line, np.int32) for line in ids]


def test_prompts_of_another_chat_template_are_named(
    refusal: Callable, sample: Callable, tiny: Any, chat_base: Path, other_adapter: Path
) -> None:
    rows = sample(tiny.adapter_dir, prompts=_prompts(chat_base, OURS))
    theirs = _prompts(chat_base, OURS.replace("<|im_end|>reply:", "### answer"))
    changed = rows.assign(prompt_ids=[theirs[int(episode[1:])] for episode in rows["episode"]])
    message = refusal(changed, base_dir=chat_base)
    assert "'<|im_end|>reply:'" in message and "rendered with another chat template" in message
    wrong_adapter = refusal(rows, base_dir=chat_base, adapter_dir=other_adapter)
    assert "another base model or adapter" in wrong_adapter and "were rendered" not in wrong_adapter


def test_a_template_that_adds_an_option_behind_its_mark_is_not_another_one(
    sample: Callable, tiny: Any, chat_base: Path
) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(chat_base)
    rows, _ = replay_rows(sample(tiny.adapter_dir, prompts=_prompts(chat_base, OURS), size=1))
    for row in rows:
        row.prompt_ids = np.append(row.prompt_ids, [5, 6, 7])
    assert foreign_template(rows, tokenizer) == []
    for row in rows:
        row.prompt_ids = np.append(row.prompt_ids, np.full(30, 5))
    assert len(foreign_template(rows, tokenizer)) == 1


def test_a_history_that_was_tokenised_again_spoils_the_later_calls_and_not_the_first(
    refusal: Callable, sample: Callable, tiny: Any
) -> None:
    """The second call's prompt holds the first reply as sampled; put together from its text it has
    other tokens.
    """
    from transformers import AutoTokenizer

    first = sample(tiny.adapter_dir, groups=8, size=1)
    histories = [
        np.concatenate([p, c, [5]])
        for p, c in zip(first["prompt_ids"], first["completion_ids"], strict=True)
    ]
    second = sample(tiny.adapter_dir, prompts=histories, size=1, seed=1).assign(call=1)
    tokenizer = AutoTokenizer.from_pretrained(tiny.base_dir)
    again = [np.array(tokenizer.encode(tokenizer.decode(ids)), np.int32) for ids in histories]
    assert all(len(new) != len(old) for new, old in zip(again, histories, strict=True))
    message = refusal(pd.concat([first, second.assign(prompt_ids=again)], ignore_index=True))
    assert (
        "8 of 16 rows agree" in message
        and "re-tokenised after sampling (first: episode e0, branch 1.d0, call 1)" in message
    )


def test_the_bound_is_1e_3_in_float32_and_2e_2_in_bfloat16(
    refusal: Callable, logged: pd.DataFrame, tiny: Any, tmp_path: Path
) -> None:
    assert (GRPO().tolerance("float32"), GRPO().tolerance("bfloat16")) == (1e-3, 2e-2)
    settings: dict[str, Any] = {
        "base_dir": tiny.base_dir,
        "adapter_dir": tiny.adapter_dir,
        "seed": 0,
    }
    done = train_role(
        logged,
        **settings,
        out_dir=tmp_path / "ds-v2",
        workdir=tmp_path,
        algorithm=GRPO(precision="bfloat16"),
    )
    assert 1e-3 < done["gate"]["abs_log_ratio"] < 0.1 and abs(done["ratio0"] - 1) < 2e-2, (
        "rounding, and no more"
    )
    message = refusal(logged, precision="bfloat16", gate_tolerance=GATE_TOLERANCE["float32"])
    assert "must be 1 +- 0.001" in message
    float32 = train_role(
        logged, **settings, out_dir=tmp_path / "ds-v3", workdir=tmp_path, algorithm=GRPO()
    )
    assert abs(float32["ratio0"] - 1) < 1e-4 and float32["gate"]["abs_log_ratio"] < 1e-4


def test_old_rows_alone_cannot_pass_as_fresh_ones() -> None:
    rows = [ReplayRow("r", *[np.zeros(1)] * 4, adapter_sha256="older")]
    assert only_old_kept(rows, ["older", "now"], "now"), (
        "fresh rows were collected, and credit dropped them"
    )
    assert not only_old_kept(rows, ["older"], "now"), (
        "nothing was sampled by the adapter: the gate must refuse"
    )
    assert not only_old_kept(
        [*rows, replace(rows[0], adapter_sha256="now")], ["older", "now"], "now"
    )
    assert not only_old_kept([], ["older", "now"], "now")


def test_some_re_tokenised_prompts_are_told_from_a_wrong_model(
    refusal: Callable, logged: pd.DataFrame
) -> None:
    rows = logged.copy()
    rows.loc[:4, "prompt_ids"] = rows.loc[:4, "prompt_ids"].map(
        lambda ids: np.append(ids[:-1], [7, 9]).astype(np.int32)
    )
    message = refusal(rows)
    assert "19 of 24 rows agree" in message
    assert "prompt or completion ids of the other 5 were altered" in message
    assert "first: episode e0, branch 1.d0, call 0" in message


def test_all_prompts_re_tokenised_are_caught(refusal: Callable, logged: pd.DataFrame) -> None:
    rows = logged.assign(
        prompt_ids=logged["prompt_ids"].map(lambda ids: np.append(ids, 7).astype(np.int32))
    )
    assert "prompts re-tokenised" in refusal(rows)


def test_rows_of_older_adapters_are_off_policy_by_right(logged: pd.DataFrame) -> None:
    frame = logged.assign(adapter_sha256=["now"] * 20 + ["older"] * 4)
    rows, _ = replay_rows(frame)
    seen: list[str] = []

    def score(asked: Any) -> list[np.ndarray]:
        seen.extend(row.adapter_sha256 for row in asked)
        return [row.logged_logprobs for row in asked]

    options: dict[str, Any] = {"adapter_sha256": "now", "tolerance": 1e-3, "seed": 0}
    report = check_integrity(rows, score, _never, max_rows=99, **options)
    assert report.passed and report.rows == 20 and set(seen) == {"now"}
    assert check_integrity(rows, score, _never, max_rows=5, **options).rows == 5


def _never(*_: Any) -> list[str]:
    raise AssertionError("a passed gate explains nothing")


def test_a_mean_ratio_of_one_is_not_enough() -> None:
    """Under the sampler the expected ratio is 1 for any policy, so the gate also reads the mean
    |log-ratio|.
    """
    ratios = np.array([0.5, 1.5] * 100)
    report = measure([np.log(ratios)], tolerance=1e-3)
    assert report.ratio_mean == pytest.approx(1) and not report.passed


def test_some_rows_that_are_off_do_not_vanish_in_the_mean() -> None:
    """A tenth of the rows re-tokenised at 0.04 nats: the mean over all tokens is within the
    bound.
    """
    report = measure(
        [np.full(10, 0.0 if number % 10 else 0.04) for number in range(60)], tolerance=1e-2
    )
    assert abs(report.ratio_mean - 1) < 1e-2 and report.abs_log_ratio < 5e-2 and report.passed
    report = measure(
        [np.full(10, 0.0 if number % 10 else 0.04 * (-1) ** number) for number in range(60)], 1e-3
    )
    assert report.abs_log_ratio < 5e-3 and report.rows_agreeing == 54 and not report.passed


def test_what_the_rows_record_closes_the_gate_whatever_the_numbers_say(
    refusal: Callable, logged: pd.DataFrame
) -> None:
    assert "top_p below 1" in refusal(
        logged.assign(sampling='{"temperature": 1.0, "top_p": 0.99}'), gate_tolerance=9.0
    )


def test_recorded_parameters_that_cut_the_distribution_are_named(logged: pd.DataFrame) -> None:
    def causes(sampling: str) -> str:
        return " ".join(
            recorded_causes(replay_rows(logged.iloc[:1].assign(sampling=sampling))[0], 1.0)
        )

    assert "top_p" in causes('{"top_p": 0.9}') and "min_p" in causes('{"min_p": 0.1}')
    assert causes('{"temperature": 1.0, "top_p": 1.0, "top_k": -1, "min_p": 0.0}') == ""


def test_few_tokens_are_no_evidence_of_truncation() -> None:
    assert not one_sided([np.full(10, -1.0)], 1e-3)
    assert one_sided([np.full(100, -1.0)], 1e-3)
