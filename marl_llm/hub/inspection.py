"""What may not be published: paths of this machine, access tokens, weights that are none. Every
file is searched before anything leaves the machine; what is found is named, a token never shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from marl_llm.core.errors import UserError

_ROOTS = (
    "home|Users|root|mnt|media|data|srv|scratch|work|workspace|opt|tmp|var|private|Volumes|nfs|"
    "gpfs|lustre|project|projects|storage|shared|etc|usr"
)
_PATHS = re.compile(
    rb"(?<![\w.:/<-])/(?:" + _ROOTS.encode() + rb")/[\w./-]+|\b[A-Za-z]:\\{1,2}[\w.]+\\[\w.\\ -]*"
)
"""Absolute paths that begin as those of machines do."""
_TOKENS = {
    "an access token of the Hugging Face Hub": rb"\bhf_[A-Za-z0-9]{20,}",
    "an access token of GitHub": rb"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,})",
    "an API key": rb"\b(?:sk|pk|rk)-[A-Za-z0-9_-]{20,}|\bAIza[\w-]{35}|\bxox[abpr]-[\w-]{10,}",
    "an access key of AWS": rb"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "a private key": rb"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "a password in an address": rb"://[^/\s:@\"']+:[^/\s@\"']+@",
}
_HEADER_BYTES = 8


def refuse_private(
    what: str, files: Mapping[str, bytes], paths: Iterable[Path], token: str | None
) -> None:
    """Search files for what may not leave this machine.

    Parameters
    ----------
    what : str
        Whose files they are, for the sentence.
    files : mapping of str to bytes
        Content by path in the repository. Of weights everything is searched for `paths`, and the
        header for the rest.
    paths : iterable of Path
        Paths of this machine.
    token : str or None
        The access token in use.

    Raises
    ------
    UserError
        A file contains one of the paths, another absolute path, or a token; file and kind are
        named.
    """
    spellings = {str(form) for path in paths for form in (path.absolute(), path.resolve())} - {"/"}
    for name, content in files.items():
        text = _header(content) if name.endswith(".safetensors") else content
        named = (path for path in sorted(spellings, reverse=True) if _names(content, path))
        found = next(named, None) or _first_path(text)
        if found is not None:
            raise UserError(
                f"{name} of {what} would publish the local path {found}: replace it by a public "
                "name or a relative path first."
            )
        secret = next((kind for kind, form in _TOKENS.items() if re.search(form, text)), None)
        if token and token.encode() in content:
            secret = "the access token that you publish with"
        if secret is not None:
            raise UserError(f"{name} of {what} would publish {secret}: take it out, and renew it.")


def refuse_damaged_weights(path: Path) -> None:
    """Raise UserError unless a file holds tensors of finite numbers, at least one."""
    import torch
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            names = list(file.keys())
            wrong = [
                name for name in names if not bool(torch.isfinite(file.get_tensor(name)).all())
            ]
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(
            f"{path} holds no weights ({' '.join(str(error).split())[:160]}): train again, or name "
            "another run."
        ) from None
    if not names or wrong:
        reason = f"{wrong[0]} is not finite" if wrong else "it has no tensors"
        raise UserError(f"{path} cannot be published ({reason}): train again, or name another run.")


def _header(weights: bytes) -> bytes:
    length = int.from_bytes(weights[:_HEADER_BYTES], "little")
    return weights[_HEADER_BYTES : _HEADER_BYTES + length]


def _first_path(content: bytes) -> str | None:
    found = _PATHS.search(content)
    return found.group().decode("utf-8", "replace") if found else None


def _names(content: bytes, path: str) -> bool:
    """Tell whether `content` has `path` as a path of its own, not as a part of another ("/work" in
    "/workers").
    """
    return (
        re.search(rb"(?<![\w.-])" + re.escape(path.encode()) + rb"(?![\w-])", content) is not None
    )
