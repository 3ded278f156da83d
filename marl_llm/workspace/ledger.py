"""What a working copy of a shared run has in common with the storage: which bundles, by digest.

One line of JSON per change, appended; half a line, which is what a kill leaves, counts as none, and
that bundle is compared again.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

from marl_llm.core.errors import RunFailed, UserError

FILE = ".shared.jsonl"


class Ledger(Mapping[str, str]):
    """Digests of the bundles in the working copy at `root`, by name; made if missing.

    Attributes
    ----------
    machine : str
        Name of the working copy, drawn once.

    Raises
    ------
    UserError
        The working copy is of another address.
    """

    def __init__(self, root: Path, address: str) -> None:
        self._path, self._lock = root / FILE, threading.Lock()
        self._digests: dict[str, str] = {}
        self.machine = ""
        for line in self._lines():
            if "address" in line and line["address"] != address:
                raise UserError(
                    f"{root} is the working copy of {line['address']}, not of {address}: "
                    "delete it, and it is made again."
                )
            self.machine = line.get("machine") or self.machine
            if "bundle" in line:
                self._keep(line["bundle"], line["digest"])
        if not self.machine:
            self.machine = uuid.uuid4().hex[:12]
            self._append({"address": address, "machine": self.machine})

    def __getitem__(self, name: str) -> str:
        return self._digests[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._digests)

    def __len__(self) -> int:
        return len(self._digests)

    def put(self, name: str, digest: str | None) -> None:
        """Note that the bundle is here, or with None that it is not any more."""
        with self._lock:
            self._append({"bundle": name, "digest": digest})
            self._keep(name, digest)

    def _keep(self, name: str, digest: str | None) -> None:
        if digest is None:
            self._digests.pop(name, None)
        else:
            self._digests[name] = digest

    def _append(self, line: dict[str, str | None]) -> None:
        try:
            with self._path.open("ab", buffering=0) as file:
                file.write(b"\n" + json.dumps(line).encode() + b"\n")
        except OSError as error:
            raise RunFailed(
                f"{self._path}: cannot be written ({error.strerror or error}); free some space and "
                "run again."
            ) from None

    def _lines(self) -> Iterator[dict[str, str]]:
        content = self._path.read_bytes() if self._path.is_file() else b""
        for line in content.split(b"\n"):
            try:
                found = json.loads(line)
            except ValueError:  # empty, or cut short
                continue
            if isinstance(found, dict):
                yield found
