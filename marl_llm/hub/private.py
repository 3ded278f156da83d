"""What may not leave this machine: local paths and credentials, looked for in every file of a
publication.

In: files by name. Out: nothing, or one sentence that names file and finding; of a credential it
shows only the beginning.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from marl_llm.core.errors import UserError

_WEIGHTS = ".safetensors"
_VOCABULARY = ("tokenizer.json", "chat_template.jinja")
"""Files in which a slash is as good a token as any."""
_BEFORE = rb"(?<![\w.:/<>\\-])"
_HOME = re.compile(_BEFORE + rb"(?:/home/|/Users/|/root/|[A-Z]:\\\\?Users\\)[\w./\\-]*")
_UNIX, _DRIVE = rb"~?(?:/[\w.@+-]+){2,}", rb"[A-Za-z]:(?:\\\\?|/)[\w.-][\w./\\-]*"
_SHARE = rb"\\\\\\?\\?[\w.-]+\\[\w.\\-]+"
_ABSOLUTE = re.compile(_BEFORE + b"(?:" + b"|".join((_UNIX, _DRIVE, _SHARE)) + b")")
_CREDENTIALS = {
    "access token of the Hugging Face Hub": rb"\bhf_[A-Za-z0-9]{20,}",
    "API key": rb"\bsk-[A-Za-z0-9_-]{20,}",
    "access token of GitHub": rb"\b(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{30,})",
    "access token of GitLab": rb"\bglpat-[\w-]{20,}",
    "access key of AWS": rb"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
    "key of Google": rb"\bAIza[\w-]{35}",
    "token of Slack": rb"\bxox[abeprs]-[\w-]{10,}",
    "private key": rb"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "password in an address": rb"\b[a-z][a-z0-9+.-]*://[^\s/:@\"']*:[^\s/@\"']+@",
}
_FOUND = {what: re.compile(pattern) for what, pattern in _CREDENTIALS.items()}


def refuse_private(
    what: str, files: Mapping[str, bytes], secrets: Iterable[Path], token: str | None = None
) -> None:
    """Look through the files of one repository.

    Parameters
    ----------
    what : str
        The repository, in words.
    files : mapping of str to bytes
        By name. Of weights only the header is text.
    secrets : iterable of Path
        Paths that no file may contain; text files may contain no absolute path at all.
    token : str, optional
        The credential in use, which no file may contain either.

    Raises
    ------
    UserError
        A file has such a path or credential.
    """
    forms = {str(form) for path in secrets for form in (path.absolute(), path.resolve())}
    spellings = sorted(forms - {"/"}, reverse=True)
    for name, content in files.items():
        text = _header(content) if name.endswith(_WEIGHTS) else content
        path = _path(name, text, spellings)
        if path is not None:
            raise UserError(
                f"{name} of {what} would publish the local path {path}: replace it by a public "
                "name or a relative path first."
            )
        credential = _credential(text, token)
        if credential is not None:
            raise UserError(
                f"{name} of {what} would publish a credential ({credential}): take it out, and "
                "replace it where it is in use."
            )


def _path(name: str, text: bytes, spellings: Iterable[str]) -> str | None:
    known = next((path for path in spellings if _names(text, path)), None)
    if known is not None or name.endswith(_WEIGHTS):
        return known
    found = (_HOME if name in _VOCABULARY else _ABSOLUTE).search(text) or _HOME.search(text)
    return found.group().decode("utf-8", "replace") if found else None


def _credential(text: bytes, token: str | None) -> str | None:
    if token and token.encode() in text:
        return "the access token that you publish with"
    for what, pattern in _FOUND.items():
        if found := pattern.search(text):
            return f"{what}, {found.group()[:7].decode('ascii', 'replace')}..."
    return None


def _header(weights: bytes) -> bytes:
    """The JSON at the beginning of a safetensors file."""
    return weights[8 : 8 + int.from_bytes(weights[:8], "little")]


def _names(content: bytes, path: str) -> bool:
    """Tell whether `content` has `path` as a path of its own, not as a part of another ("/work" in
    "/workers").
    """
    return (
        re.search(rb"(?<![\w.-])" + re.escape(path.encode()) + rb"(?![\w-])", content) is not None
    )
