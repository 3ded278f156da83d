"""A LoRA adapter merged into a copy of the weights: W + alpha / rank * B A, PEFT's formula for
plain LoRA.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from marl_llm.core.errors import UserError
from marl_llm.serving.errors import AdapterError
from marl_llm.serving.in_process.config import read_json
from marl_llm.serving.in_process.weights import Weights, read_weights

_PREFIX, _A, _B = "base_model.model.", ".lora_A.weight", ".lora_B.weight"
_OTHER_KINDS = (
    "use_rslora",
    "use_dora",
    "fan_in_fan_out",
    "modules_to_save",
    "rank_pattern",
    "alpha_pattern",
)


def merged(base: Weights, base_names: frozenset[str], directory: Path) -> Weights:
    """The weights with an adapter in them; what it does not change is shared with `base`.

    Parameters
    ----------
    base : dict of str to float32 array
        Weights of the base model.
    base_names : set of str
        Names the base model goes by.
    directory : Path
        Holds `adapter_config.json` and `adapter_model.safetensors`.

    Raises
    ------
    AdapterError
        The files are missing or damaged, the adapter is no plain LoRA, or it was made for another
        base model.
    """
    try:
        config = read_json(directory / "adapter_config.json")
        tensors = read_weights(directory / "adapter_model.safetensors")
    except UserError as error:
        raise AdapterError(f"The adapter in {directory} cannot be loaded: {error}") from None
    _require_plain(config, directory)
    _require_base(config, base_names, directory)
    scale = np.float32(config["lora_alpha"] / config["r"])
    changed = dict(base)
    for name in sorted(tensors):
        if name.endswith(_A):
            module = name.removesuffix(_A)
            target = f"{module.removeprefix(_PREFIX)}.weight"
            a, b = tensors[name], tensors.get(module + _B)
            if target not in base or b is None or (b.shape[0], a.shape[1]) != base[target].shape:
                raise AdapterError(
                    f"The adapter in {directory} does not fit the base model at {target}: it "
                    "was made for another one."
                )
            changed[target] = np.add(base[target], scale * (b @ a), dtype=np.float32)
    return changed


def _require_plain(config: Mapping[str, object], directory: Path) -> None:
    other = [name for name in _OTHER_KINDS if config.get(name)]
    other += ["bias"] if config.get("bias", "none") != "none" else []
    other += (
        []
        if config.get("peft_type") == "LORA" and config.get("r") and config.get("lora_alpha")
        else ["peft_type"]
    )
    if other:
        raise AdapterError(
            f"The adapter in {directory} is no plain LoRA ({other[0]} in adapter_config.json): use "
            "a model server, serving.in_process_parameters 0."
        )


def _require_base(
    config: Mapping[str, object], base_names: frozenset[str], directory: Path
) -> None:
    named = Path(str(config.get("base_model_name_or_path") or "")).name
    if named and named not in base_names:
        raise AdapterError(
            f"The adapter in {directory} was made for the base model '{named}', this one is "
            f"'{sorted(base_names)[0]}': name the adapter's own base model."
        )
