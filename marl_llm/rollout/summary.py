"""One line about each finished episode, beside the parquet parts: what progress and reports
read.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from marl_llm.core.errors import RunFailed

SUMMARIES = "episodes.jsonl"


@dataclass(frozen=True)
class EpisodeSummary:
    """One line about a finished episode.

    Scores are on the hold-out (skill); tokens count all calls of the episode, sampled and prompt.
    `cpu_s` and `wall_s` are what it took, seconds (the sandbox's processes and a share of this one
    and of the server); `solution` is the `PipelineSpec` it ended with. These three are None in
    older files. `repeated` counts requests to the model server that had to be sent again.
    """

    episode: str
    task: str
    baseline: float
    final: float
    steps: int
    accepted: int
    finished_early: bool
    tokens: int
    calls: int
    evaluations: int
    cpu_s: float | None = None
    wall_s: float | None = None
    solution: dict[str, object] | None = None
    repeated: int = 0

    @property
    def gain(self) -> float:
        """Hold-out score gained over the baseline."""
        return self.final - self.baseline


def read_summaries(directory: Path) -> list[EpisodeSummary]:
    """Summaries of the finished episodes of a directory, by episode name; of repeated ones the
    last.

    Half a line is what a killed process leaves; its episode is played again, so the line is
    skipped.
    """
    path = directory / SUMMARIES
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    latest = {one.episode: one for one in map(_read, lines) if one is not None}
    return [latest[name] for name in sorted(latest)]


def _read(line: str) -> EpisodeSummary | None:
    try:
        content = json.loads(line)
    except json.JSONDecodeError:
        return None
    return EpisodeSummary(**content) if content else None


def append_summary(directory: Path, summary: EpisodeSummary) -> None:
    """Add one line, after whatever a killed process left. Raises RunFailed if the disk refuses
    it.
    """
    path = directory / SUMMARIES
    try:
        cut = path.is_file() and not path.read_bytes().endswith(b"\n")
        with path.open("a", encoding="utf-8") as file:
            file.write("\n" * cut + json.dumps(asdict(summary)) + "\n")
    except OSError as error:
        raise RunFailed(
            f"{path}: cannot be written ({error.strerror or error}); free some space, run again."
        ) from None
