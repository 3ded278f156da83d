"""Adapter directories: made, fingerprinted, saved and published, one directory per version that is
never written again.

A directory holds `adapter_config.json` and `adapter_model.safetensors` and nothing else: plain LoRA
on the linear layers of the transformer blocks, no bias, no head, no embeddings, which is what vLLM
can load. It names its base model and holds no path of this machine.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from marl_llm.core.directory import STAGING
from marl_llm.core.errors import RunFailed, UserError
from marl_llm.training.quiet import quiet_libraries

if TYPE_CHECKING:
    import torch
    from peft import PeftConfig, PeftMixedModel, PeftModel
    from transformers import PreTrainedModel

CONFIG_FILE, WEIGHTS_FILE = "adapter_config.json", "adapter_model.safetensors"


def create_adapter(
    base_dir: Path, out_dir: Path, *, rank: int, alpha: int, seed: int, base_name: str | None = None
) -> Path:
    """Make an adapter that changes nothing yet (B = 0), without loading the base model's weights.

    Parameters
    ----------
    base_dir : Path
        Directory of the base model; only its `config.json` is read.
    out_dir : Path
        The new adapter's directory; must not exist.
    rank, alpha : int
        LoRA rank and scale; the update is `alpha / rank * B @ A`. vLLM's `max_lora_rank` must be at
        least `rank`.
    seed : int
        Of A's initialisation, Kaiming-uniform as in PEFT.
    base_name : str, optional
        Name of the base model written into the configuration; default: the last part of `base_dir`.

    Returns
    -------
    Path
        `out_dir`.

    Raises
    ------
    UserError
        `out_dir` exists, or `base_dir` holds no model.
    """
    quiet_libraries()
    from peft import LoraConfig, get_peft_model

    _refuse_existing(Path(out_dir))
    config = LoraConfig(
        r=rank, lora_alpha=alpha, target_modules="all-linear", bias="none", task_type="CAUSAL_LM"
    )
    model = get_peft_model(_skeleton(Path(base_dir)), config)
    _require_blocks_only(model)
    with staging(Path(out_dir)) as directory:
        _write(
            model.peft_config["default"],
            _initial_weights(model, seed),
            directory,
            base_name or Path(base_dir).name,
        )
        publish_version(directory, Path(out_dir))
    return Path(out_dir)


def adapter_weights(model: PeftModel) -> dict[str, torch.Tensor]:
    """Weights of the adapter called "default", whole and on the CPU, by PEFT's names.

    Where several processes each hold a part of every weight, all of them must call this.
    """
    from peft import get_peft_model_state_dict
    from torch.distributed.tensor import DTensor

    weights = get_peft_model_state_dict(model, adapter_name="default", save_embedding_layers=False)
    return {
        name: (part.full_tensor() if isinstance(part, DTensor) else part).detach().cpu()
        for name, part in weights.items()
    }


def save_adapter(
    model: PeftModel,
    directory: Path,
    *,
    base_name: str,
    weights: dict[str, torch.Tensor] | None = None,
) -> None:
    """Write the adapter called "default" of `model` into `directory`, which is created; other
    adapters are left out. `weights`: its `adapter_weights`, where they are known.
    """
    weights = adapter_weights(model) if weights is None else weights
    _write(model.peft_config["default"], weights, Path(directory), base_name)


def base_name_of(adapter_dir: Path) -> str:
    """Name of the base model an adapter was made for.

    Raises
    ------
    UserError
        The directory holds no adapter.
    """
    path = Path(adapter_dir) / CONFIG_FILE
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["base_model_name_or_path"])
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            f"{adapter_dir}: not an adapter directory ({CONFIG_FILE} is missing or unreadable)."
        ) from error


def adapter_sha256(directory: Path) -> str:
    """SHA-256 over the adapter's two files, in hex: the fingerprint that the rows carry as
    `adapter_sha256`.

    Raises
    ------
    UserError
        One of the files is missing.
    """
    digest = hashlib.sha256()
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        path = Path(directory) / name
        if not path.is_file():
            raise UserError(f"{directory}: not an adapter directory, {name} is missing.")
        digest.update(name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def version_dir(root: Path, role: str, version: int) -> Path:
    """`root/<role>-v<version>`; the last part is also the adapter's name on the server, never used
    twice.
    """
    return Path(root) / f"{role}-v{version}"


def latest_version(root: Path, role: str) -> int | None:
    """The highest published version of a role's adapter below `root`; None if there is none."""
    pattern = re.compile(rf"{re.escape(role)}-v(\d+)")
    found = [
        pattern.fullmatch(path.name) for path in Path(root).glob(f"{role}-v*") if path.is_dir()
    ]
    return max((int(match[1]) for match in found if match), default=None)


def copy_version(adapter_dir: Path, out_dir: Path) -> Path:
    """Publish an unchanged copy of an adapter as a new version.

    Raises
    ------
    UserError
        `out_dir` exists, or `adapter_dir` is no adapter.
    """
    adapter_sha256(adapter_dir)
    _refuse_existing(Path(out_dir))
    with staging(Path(out_dir)) as directory:
        for name in (CONFIG_FILE, WEIGHTS_FILE):
            shutil.copyfile(Path(adapter_dir) / name, directory / name)
        publish_version(directory, Path(out_dir))
    return Path(out_dir)


def publish_version(tmp_dir: Path, final_dir: Path) -> None:
    """Give a finished directory its final name, by one atomic rename: readers see nothing or all of
    it.

    Raises
    ------
    UserError
        `final_dir` exists; versions are never overwritten.
    """
    tmp_dir, final_dir = Path(tmp_dir), Path(final_dir)
    for path in tmp_dir.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    _refuse_existing(final_dir)
    try:
        tmp_dir.rename(final_dir)
    except FileExistsError:
        raise _existing(final_dir) from None
    except OSError as error:
        if final_dir.exists():
            raise _existing(final_dir) from None
        raise RunFailed(
            f"{final_dir}: the adapter cannot be published ({error.strerror or error})."
        ) from error


@contextmanager
def staging(final_dir: Path) -> Iterator[Path]:
    """A hidden directory beside `final_dir`, on the same file system; what is left of it is removed
    at the end.
    """
    final_dir.parent.mkdir(parents=True, exist_ok=True)
    prefix = f"{STAGING}{final_dir.name}-"
    directory = Path(tempfile.mkdtemp(dir=final_dir.parent, prefix=prefix))
    directory.chmod(0o755)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _refuse_existing(directory: Path) -> None:
    if directory.exists():
        raise _existing(directory)


def _existing(directory: Path) -> UserError:
    return UserError(
        f"{directory} exists already and adapter versions are never overwritten; choose the "
        "next version."
    )


def _skeleton(base_dir: Path) -> PreTrainedModel:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    if not (base_dir / "config.json").is_file():
        raise UserError(f"{base_dir}: no model here, config.json is missing.")
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(base_dir))


def _require_blocks_only(model: PeftModel | PeftMixedModel) -> None:
    outside = [name for name in model.targeted_module_names if re.search(r"\.\d+\.", name) is None]
    if outside:
        raise UserError(
            f"this architecture puts linear layers outside its blocks ({outside[0]}), which "
            "vLLM cannot adapt."
        )


def _initial_weights(model: torch.nn.Module, seed: int) -> dict[str, torch.Tensor]:
    import torch
    from peft import get_peft_model_state_dict

    generator = torch.Generator().manual_seed(seed)
    weights: dict[str, torch.Tensor] = {}
    for name, tensor in sorted(
        get_peft_model_state_dict(model, save_embedding_layers=False).items()
    ):
        weights[name] = torch.zeros(tensor.shape)
        if "lora_A" in name:
            bound = tensor.shape[1] ** -0.5  # Kaiming-uniform with a = sqrt(5), PEFT's own start
            weights[name].uniform_(-bound, bound, generator=generator)
    return weights


def _write(
    config: PeftConfig, weights: dict[str, torch.Tensor], directory: Path, base_name: str
) -> None:
    """Write the two files; sets become sorted lists, so that equal adapters have equal
    fingerprints.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    entries = {**config.to_dict(), "base_model_name_or_path": base_name, "inference_mode": True}
    entries = {
        name: sorted(value) if isinstance(value, set) else value for name, value in entries.items()
    }
    try:
        directory.mkdir(parents=True, exist_ok=True)
        text = json.dumps(entries, indent=2, sort_keys=True)
        (directory / CONFIG_FILE).write_text(text + "\n", encoding="utf-8")
        tensors = {
            name: tensor.detach().cpu().contiguous() for name, tensor in sorted(weights.items())
        }
        save_file(tensors, directory / WEIGHTS_FILE, metadata={"format": "pt"})
    except (OSError, SafetensorError) as error:  # the latter where the disk is full
        why = getattr(error, "strerror", None) or str(error).rpartition("I/O error: ")[2]
        raise RunFailed(
            f"{directory}: the adapter cannot be written ({why}); free some space or mend the "
            "directory, then run again."
        ) from error
