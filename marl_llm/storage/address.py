"""Where a shared run lies, as a person writes it."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from marl_llm.core.errors import UserError

_URL = re.compile(r"(?P<protocol>[a-z][a-z0-9+.-]*)://(?P<rest>.*)", re.IGNORECASE | re.DOTALL)
_SECRET = re.compile(r"[^/@]*:[^/@]*@")


@dataclass(frozen=True)
class RunAddress:
    """A URL that fsspec opens, without a slash at its end: "s3://bucket/runs/mine"."""

    url: str

    @classmethod
    def parse(cls, text: str) -> RunAddress | None:
        """The address; None if `text` is an ordinary path.

        Raises
        ------
        UserError
            It names no place behind the protocol, or holds a password.

        >>> RunAddress.parse("s3://bucket/run/")
        RunAddress(url='s3://bucket/run')
        >>> RunAddress.parse("runs/demo") is None
        True
        """
        found = _URL.fullmatch(text)
        if found is None:
            return None
        protocol, rest = found["protocol"].lower(), found["rest"].rstrip("/")
        if _SECRET.match(rest):
            raise UserError(
                f"the {protocol}:// address holds a password: leave it out, and set credentials "
                "where the storage's own client looks for them (environment or its files)."
            )
        if not rest:
            raise UserError(f"{text}: name a place behind {protocol}://, e.g. s3://bucket/run.")
        return cls(f"{protocol}://{rest}")

    @property
    def protocol(self) -> str:
        """What stands before "://"."""
        return self.url.partition("://")[0]

    @property
    def short_name(self) -> str:
        """A file name for it, as unique as eight hexadecimal digits of its hash."""
        last = re.sub(r"[^A-Za-z0-9_.-]", "_", self.url.rpartition("/")[2]).lstrip(".")
        return f"{last or 'run'}-{hashlib.sha256(self.url.encode()).hexdigest()[:8]}"

    def __str__(self) -> str:
        return self.url
