"""Adapter directories: what is in them, that they load, that they never leak a path and are never
overwritten.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from marl_llm.core.errors import RunFailed, UserError
from marl_llm.training import adapters
from marl_llm.training.adapters import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    adapter_sha256,
    base_name_of,
    copy_version,
    create_adapter,
    latest_version,
    publish_version,
    save_adapter,
    version_dir,
)


def _weights(directory: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(directory / WEIGHTS_FILE)


def test_a_new_adapter_is_plain_lora_on_the_blocks_and_changes_nothing(
    base_dir: Path, load: Callable, tmp_path: Path
) -> None:
    import torch

    directory = create_adapter(base_dir, tmp_path / "ds-v0", rank=4, alpha=8, seed=0)
    weights = _weights(directory)
    assert len(weights) == 2 * 7 * 2  # A and B, seven linear layers, two blocks
    assert all(".layers." in name and "lora_" in name for name in weights)
    assert not any(tensor.any() for name, tensor in weights.items() if "lora_B" in name)
    model, ids = load(directory), torch.arange(2, 12)[None]
    with torch.no_grad():
        adapted = model(input_ids=ids).logits
        with model.disable_adapter():
            assert torch.equal(adapted, model(input_ids=ids).logits)


def test_the_start_of_a_is_that_of_peft(base_dir: Path, tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
    from transformers import AutoModelForCausalLM

    ours = _weights(create_adapter(base_dir, tmp_path / "ds-v0", rank=16, alpha=8, seed=0))
    config = LoraConfig(r=16, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM")
    theirs = get_peft_model_state_dict(
        get_peft_model(AutoModelForCausalLM.from_pretrained(base_dir), config)
    )
    assert {name: tensor.shape for name, tensor in ours.items()} == {
        n: t.shape for n, t in theirs.items()
    }
    for name in ours:
        assert ours[name].abs().max() <= theirs[name].abs().max() * 1.1
        assert ours[name].std() == pytest.approx(float(theirs[name].std()), rel=0.1)


def test_the_configuration_names_the_base_and_holds_no_path(base_dir: Path, tmp_path: Path) -> None:
    directory = create_adapter(base_dir, tmp_path / "ds-v0", rank=2, alpha=4, seed=0)
    named = create_adapter(
        base_dir, tmp_path / "ds-v1", rank=2, alpha=4, seed=0, base_name="org/model"
    )
    assert base_name_of(directory) == "tiny-base" and base_name_of(named) == "org/model"
    assert sorted(entry.name for entry in directory.iterdir()) == [CONFIG_FILE, WEIGHTS_FILE]
    text = (directory / CONFIG_FILE).read_text()
    assert str(tmp_path) not in text and str(base_dir.parent) not in text
    config = json.loads(text)
    assert (
        config["bias"] == "none"
        and not config["modules_to_save"]
        and "lm_head" not in config["target_modules"]
    )


def test_a_trained_adapter_keeps_the_base_name_and_holds_only_lora(
    base_dir: Path, load: Callable, tiny: Any, tmp_path: Path
) -> None:
    model = load(tiny.adapter_dir)
    model.add_adapter("ref", model.peft_config["default"])
    save_adapter(model, tmp_path / "saved", base_name="org/model")
    assert sorted(entry.name for entry in (tmp_path / "saved").iterdir()) == [
        CONFIG_FILE,
        WEIGHTS_FILE,
    ]
    assert all("lora_" in name for name in _weights(tmp_path / "saved"))
    assert str(base_dir.parent) not in (tmp_path / "saved" / CONFIG_FILE).read_text()
    before, after = _weights(tiny.adapter_dir), _weights(tmp_path / "saved")
    assert before.keys() == after.keys() and all(
        (before[name] == after[name]).all() for name in before
    )


def test_fingerprint_follows_seed_and_content(base_dir: Path, tmp_path: Path) -> None:
    same = [create_adapter(base_dir, tmp_path / f"a{i}", rank=2, alpha=4, seed=0) for i in range(2)]
    other = create_adapter(base_dir, tmp_path / "b", rank=2, alpha=4, seed=1)
    alpha = create_adapter(base_dir, tmp_path / "c", rank=2, alpha=8, seed=0)
    assert adapter_sha256(same[0]) == adapter_sha256(same[1])
    assert len({adapter_sha256(directory) for directory in (same[0], other, alpha)}) == 3
    (same[0] / WEIGHTS_FILE).unlink()
    with pytest.raises(UserError, match=f"{WEIGHTS_FILE} is missing"):
        adapter_sha256(same[0])


@pytest.mark.parametrize("occupant", ["empty directory", "version", "file"])
def test_a_version_is_never_overwritten(tmp_path: Path, occupant: str) -> None:
    staged, final = tmp_path / "staged", tmp_path / "ds-v1"
    staged.mkdir()
    (staged / WEIGHTS_FILE).write_text("new")
    final.write_text("old") if occupant == "file" else final.mkdir()
    if occupant == "version":
        (final / WEIGHTS_FILE).write_text("old")
    with pytest.raises(UserError, match=r"ds-v1 exists already .* choose the next version"):
        publish_version(staged, final)
    assert (staged / WEIGHTS_FILE).read_text() == "new"
    assert occupant != "version" or (final / WEIGHTS_FILE).read_text() == "old"


def test_a_version_that_appears_in_between_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    staged, final = tmp_path / "staged", tmp_path / "ds-v1"
    for directory, text in ((staged, "new"), (final, "old")):
        directory.mkdir()
        (directory / WEIGHTS_FILE).write_text(text)
    monkeypatch.setattr(adapters, "_refuse_existing", lambda _: None)
    with pytest.raises(UserError, match="never overwritten"):
        publish_version(staged, final)
    assert (final / WEIGHTS_FILE).read_text() == "old"


def test_a_full_disk_gives_one_sentence_and_leaves_nothing(
    base_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(RunFailed, match="cannot be written .No space left on device"):
        create_adapter(base_dir, tmp_path / "ds-v0", rank=2, alpha=4, seed=0)
    assert list(tmp_path.iterdir()) == []


def test_copies_are_equal_and_refuse_what_is_no_adapter(tiny: Any, tmp_path: Path) -> None:
    assert adapter_sha256(copy_version(tiny.adapter_dir, tmp_path / "ds-v1")) == tiny.sha256
    with pytest.raises(UserError, match="not an adapter"):
        copy_version(tmp_path, tmp_path / "ds-v2")


def test_latest_version_counts_numbers_and_only_finished_directories(tmp_path: Path) -> None:
    assert latest_version(tmp_path, "ds") is None
    for name in ("ds-v2", "ds-v10", "ds-v11.tmp", ".ds-v12-x", "other-v99"):
        (tmp_path / name).mkdir()
    assert latest_version(tmp_path, "ds") == 10
    assert version_dir(tmp_path, "ds", 11) == tmp_path / "ds-v11"


def test_a_directory_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="config.json is missing"):
        create_adapter(tmp_path, tmp_path / "ds-v0", rank=2, alpha=4, seed=0)
