"""The directory that `solve` leaves. It is claimed for one CSV; lines are appended as they happen,
files written whole.

solution.py     runs by itself
model.joblib    the fitted pipeline with its columns and classes
history.jsonl   a line a step, as they happened
memory.json     what was suggested and what became of it: `--memory` of a later run
report.json     the whole outcome; while `solve` works, only which CSV it is for
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from marl_llm.core.atomic import write_json, write_text
from marl_llm.core.directory import LOCK_FILE, held
from marl_llm.core.errors import RunFailed, UserError
from marl_llm.environment import Memory
from marl_llm.solve.report import SolveReport


@dataclass(frozen=True)
class SolveDirectory:
    """Files of one `solve`."""

    root: Path

    @property
    def solution(self) -> Path:
        """The delivered code."""
        return self.root / "solution.py"

    @property
    def model(self) -> Path:
        """The fitted model."""
        return self.root / "model.joblib"

    @property
    def history(self) -> Path:
        """A JSON line a step."""
        return self.root / "history.jsonl"

    @property
    def memory(self) -> Path:
        """Suggestions and what became of them."""
        return self.root / "memory.json"

    @property
    def report(self) -> Path:
        """The outcome."""
        return self.root / "report.json"

    @contextmanager
    def claimed(self, csv: Path, sha256: str) -> Iterator[None]:
        """Keep the directory for this process and this CSV until the block ends; it is made if need
        be.

        Raises
        ------
        UserError
            It cannot be written, holds something else than results for the same CSV, or another
            process is at work in it.
        """
        with held(self.root):
            self._claim(csv, sha256)
            yield

    def _claim(self, csv: Path, sha256: str) -> None:
        try:
            empty = all(path.name == LOCK_FILE for path in self.root.iterdir())
            if empty:
                self.report.write_text(
                    json.dumps({"status": "running", "csv": str(csv), "csv_sha256": sha256}) + "\n"
                )
        except OSError as error:
            raise UserError(
                f"{self.root} cannot be written ({error.strerror}): name another directory."
            ) from None
        if not empty and self._made_for() != sha256:
            raise UserError(
                f"{self.root} holds other files than results for {csv}: name a new or empty "
                "directory."
            )

    def _made_for(self) -> str | None:
        try:
            return json.loads(self.report.read_text(encoding="utf-8")).get("csv_sha256")
        except (OSError, ValueError, AttributeError):
            return None

    def delivered_since(self, moment: float) -> bool:
        """Whether code was delivered after `moment`, seconds since 1970."""
        try:
            return self.solution.stat().st_mtime >= moment
        except OSError:
            return False

    def start_history(self) -> None:
        """Begin an empty history."""
        write_text(self.history, "")

    def write_memory(self, memory: Memory) -> None:
        """Write the memory whole."""
        write_text(self.memory, memory.to_json())

    def append(self, line: Mapping[str, object]) -> None:
        """Add one step to the history, at once. Raises RunFailed if the disk refuses it."""
        try:
            with self.history.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
        except OSError as error:
            raise _full(self.history, error) from None

    def write_model(self, content: Mapping[str, object]) -> None:
        """Write the fitted model whole or not at all."""
        import joblib

        temporary = self.root / ".model.joblib.tmp"
        try:
            joblib.dump(content, temporary, compress=3)
            temporary.replace(self.model)
        except OSError as error:
            raise _full(self.model, error) from None

    def write_report(self, report: SolveReport) -> None:
        """Write the outcome."""
        write_json(self.report, report.to_dict())


def read_memory(path: Path) -> Memory:
    """The memory of an earlier run: its directory, or its memory.json.

    Raises
    ------
    UserError
        There is none, or the file holds something else.
    """
    file = path / "memory.json" if path.is_dir() else path
    try:
        return Memory.from_json(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(
            f"{file} cannot be read ({error.strerror}): name the directory of an earlier solve."
        ) from None
    except ValueError as error:
        raise UserError(
            f"{file} is no memory of an earlier solve ({error}): name its directory."
        ) from None


def _full(path: Path, error: OSError) -> RunFailed:
    return RunFailed(f"{path} cannot be written ({error.strerror}): free some space and run again.")
