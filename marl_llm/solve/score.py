"""`score`: one Python file that defines `build_pipeline()`, evaluated in the sandbox as the agents'
candidates are.

The file brings its own imports and sees the CSV's own column names. A file that fails is a result,
not an error.
"""

from __future__ import annotations

import hashlib
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TypedDict

from marl_llm.core.errors import UserError
from marl_llm.core.syntax import MOST_CHARACTERS
from marl_llm.environment import Evaluated, Evaluator
from marl_llm.sandbox import Sandbox
from marl_llm.solve.report import PartScores, scores_dict
from marl_llm.tasks import Part, Task, TaskFile


class FileScore(TypedDict):
    """What came of a file.

    `status` is "ok" or another of the sandbox's `Status`; `metrics` are by part, "cv" and
    "holdout", empty unless ok; `error` is "" if ok.
    """

    status: str
    metrics: dict[str, PartScores | None]
    error: str
    isolation: str
    seconds: float
    code_sha256: str


def score_file(
    code_path: Path,
    entry: TaskFile,
    *,
    level: str = "bubblewrap",
) -> FileScore:
    """Evaluate one file.

    Parameters
    ----------
    code_path : Path
        Untrusted Python text, UTF-8.
    entry : TaskFile
        CSV, target and how they are read.
    level : str
        Isolation: "bubblewrap" or "landlock".

    Raises
    ------
    UserError
        A file is missing or unreadable, the columns or metrics do not fit, or the sandbox is not
        available.
    """
    code = _read_code(code_path)
    task = with_own_names(entry.load())
    with (
        Sandbox(level=level) as sandbox,
        closing(Evaluator(task, sandbox, seed=entry.seed, prelude="")) as evaluator,
    ):
        return _result(evaluator.evaluate(code), code, sandbox.level)


def with_own_names(task: Task) -> Task:
    """The same task with frames whose columns carry the CSV's own names instead of aliases."""
    names = [column.name for column in task.columns]
    parts = {part: getattr(task, part) for part in ("development", "holdout", "test")}
    return replace(
        task, **{part: Part(rows.X.set_axis(names, axis=1), rows.y) for part, rows in parts.items()}
    )


def _read_code(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MOST_CHARACTERS + 1)
        if len(content) > MOST_CHARACTERS:
            raise UserError(
                f"{path} has more than {MOST_CHARACTERS // 2**20} MiB: give the Python file that "
                "defines build_pipeline()."
            )
        return content.decode("utf-8-sig")
    except FileNotFoundError:
        raise UserError(
            f"There is no file {path}: give the Python file that defines build_pipeline()."
        ) from None
    except UnicodeDecodeError:
        raise UserError(
            f"{path} is not UTF-8 text: give the Python file that defines build_pipeline()."
        ) from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): give a Python file.") from None


def _result(evaluated: Evaluated, code: str, isolation: str) -> FileScore:
    parts = {"cv": evaluated.cv, "holdout": evaluated.holdout} if evaluated.ok else {}
    return {
        "status": str(evaluated.status),
        "metrics": {part: scores_dict(scores) for part, scores in parts.items()},
        "error": "" if evaluated.ok else evaluated.error or str(evaluated.status).replace("_", " "),
        "isolation": isolation,
        "seconds": round(evaluated.seconds, 3),
        "code_sha256": hashlib.sha256(code.encode()).hexdigest(),
    }
