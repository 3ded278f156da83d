"""Where a base model lies: a directory as it is, or a name on the Hub as the directory of its downloaded snapshot."""

from __future__ import annotations

from pathlib import Path

from marl_llm.errors import UserError


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
        raise UserError(f"{name}: no model here (no config.json); name a model directory or user/name on the Hub.")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, ignore_patterns=["*.bin", "*.pth", "*.gguf", "original/*"]))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = " ".join(str(error).split())[:160]
        raise UserError(f"{name}: neither a model directory nor to be had from the Hub ({reason}).") from None
