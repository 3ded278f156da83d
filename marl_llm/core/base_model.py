"""Base models: where one lies (a directory as it is, or a name on the Hub as the directory of its
snapshot), whether it is the embedded one, and a fingerprint of its weights. Weights are read as
bytes; nothing is computed with them.
"""

from __future__ import annotations

import functools
import hashlib
import json
import mmap
from collections.abc import Iterator
from pathlib import Path

from marl_llm.core.errors import UserError

PROJECT = Path(__file__).resolve().parents[2]
EMBEDDED = PROJECT / "data" / "models" / "tiny"
"""The embedded model, where the repository is checked out."""
_NO_PICKLES = ["*.bin", "*.pt", "*.pth", "*.gguf", "original/*"]


def local_model(name: str) -> Path:
    """Directory of a base model; a name on the Hub is downloaded once into the Hub's own cache.

    Parameters
    ----------
    name : str
        A directory with config.json, or "user/name".

    Raises
    ------
    UserError
        It is neither a model directory nor to be had from the Hub.
    """
    path = Path(name)
    if (path / "config.json").is_file():
        return path
    if path.exists() or path.is_absolute() or name.count("/") != 1:
        raise UserError(
            f"{name}: no model here (no config.json); name a model directory or user/name on "
            "the Hub."
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, ignore_patterns=_NO_PICKLES))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = " ".join(str(error).split())[:160]
        raise UserError(
            f"{name}: neither a model directory nor to be had from the Hub ({reason})."
        ) from None


def model_at_hand(name: str) -> Path | None:
    """Directory of a base model as `local_model` has it, None if it would have to be downloaded."""
    if (Path(name) / "config.json").is_file():
        return Path(name)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, ignore_patterns=_NO_PICKLES, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        return None


def vocabulary_size(directory: Path) -> int | None:
    """Rows of a model's table of token embeddings: every token id is smaller. None where its
    config.json does not say.
    """
    try:
        config = json.loads((directory / "config.json").read_bytes())
    except (OSError, ValueError):
        return None
    for part in (config, config.get("text_config")) if isinstance(config, dict) else ():
        size = part.get("vocab_size") if isinstance(part, dict) else None
        if isinstance(size, int) and size > 0:
            return size
    return None


def is_embedded(path: str) -> bool:
    """Tell whether a recipe's `model.path` is the embedded model; relative paths also count from
    the project.
    """
    return EMBEDDED in (Path(path).resolve(), (PROJECT / path).resolve())


def weights_sha256(directory: Path) -> str:
    """SHA-256 over the names, types, shapes and bytes of all tensors of a model, in hex.

    How they are spread over files does not matter, so a model that was saved again has the same.
    Read once a process, one to three seconds per gigabyte.

    Raises
    ------
    UserError
        There are no safetensors, or they are damaged.
    """
    files = sorted(directory.glob("model*.safetensors"))
    if not files:
        raise UserError(f"{directory} holds no weights (model.safetensors): get the model again.")
    return _sha256_of(tuple((path, path.stat().st_size, path.stat().st_mtime_ns) for path in files))


@functools.cache
def _sha256_of(files: tuple[tuple[Path, int, int], ...]) -> str:
    tensors = sorted(tensor for path, _, _ in files for tensor in _tensors(path))
    return hashlib.sha256("\n".join(tensors).encode()).hexdigest()


def _tensors(path: Path) -> Iterator[str]:
    """One line for each tensor of a file: name, type, shape, hash."""
    try:
        with (
            path.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
        ):
            begin = 8 + int.from_bytes(content[:8], "little")
            header = json.loads(content[8:begin])
            with memoryview(content) as view:
                for name, about in header.items():
                    if name != "__metadata__":
                        low, high = (begin + offset for offset in about["data_offsets"])
                        with view[low:high] as data:
                            digest = hashlib.sha256(data).hexdigest()
                        yield json.dumps([name, about["dtype"], about["shape"], digest])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path} cannot be read as weights ({error}): get the model again."
        ) from None
