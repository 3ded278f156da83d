"""The text of `solution.py`: one file that fits and predicts without this package, written for one
CSV and one spec.

A plain CSV gets the short program of `plain`; all others what `standalone.main` reaches.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from marl_llm.metrics import Scores
from marl_llm.proposals import PipelineSpec, generate_code
from marl_llm.solve import standalone
from marl_llm.solve.composing import Program, Source
from marl_llm.solve.formatting import constant, joined
from marl_llm.solve.pipeline_code import comment, needed, pipeline_source
from marl_llm.solve.plain import Plain
from marl_llm.solve.whole import Reading, WholeTable
from marl_llm.tasks import Task
from marl_llm.tasks.columns import MISSING_WORDS

_RUN = 'if __name__ == "__main__":\n    main(sys.argv[1:])'
_MEANING = "alias: name in the CSV, how it is read, and what that reading takes"
_NEVER_PLAIN = ("OWN_MISSING_WORDS", "MERGED_LABELS", "ROW_NAMES", "HEADER", "NO_DATA")
PARTS = {"cv": "cross-validation", "holdout": "hold-out", "test": "test"}


def solution_text(
    task: Task, table: WholeTable, spec: PipelineSpec, scores: dict[str, Scores | None], seed: int
) -> str:
    """Write a solution.

    Parameters
    ----------
    task, table
        The CSV, and how its columns are read.
    spec : PipelineSpec
        The solution; its code is `generate_code(spec)`.
    scores : dict of part to Scores
        Shown in the header; None where a part was not scored.
    seed : int
        numpy and random are seeded with it before `build_pipeline()`, as in the sandbox.
    """
    shown = [f"{PARTS[part]}: {_metrics(one)}" for part, one in scores.items() if one is not None]
    columns = {alias: _entry(reading) for alias, reading in table.readings.items()}
    values = _values(task, table, seed) | {"COLUMNS": columns}
    plain = Plain.of(task, columns, _words(task), seed, shown)
    if any(values[name] for name in _NEVER_PLAIN) or not values["REGULAR"]:
        plain = None
    program = plain.program(spec) if plain else None
    if plain and program and plain.reads(program, table):
        return program
    pipeline = pipeline_source(generate_code(spec))
    header = _header(task, table, spec, shown)
    return f"{header}\n{long_program(values, pipeline)}"


def long_program(values: Mapping[str, object], pipeline: Source) -> str:
    """What `standalone.main` reaches, with these constants and this pipeline."""
    columns = values["COLUMNS"]
    assert isinstance(columns, dict)
    decided = [how for _, *how in columns.values()]
    decided += [value for name, value in values.items() if name.startswith("TARGET_")]
    given = {name: constant(name, value) for name, value in values.items()}
    given["COLUMNS"] = comment([_MEANING]) + given["COLUMNS"]
    program = Program(
        given=given,
        elsewhere={"build_pipeline": pipeline},
        readings=set(_texts(decided)),
        flags={name: value for name, value in values.items() if isinstance(value, bool)},
    )
    program.take(Source.of(standalone.__name__), "main")
    parts = [program.constants(), program.definitions(pipeline), program.definitions(), _RUN]
    return f"{program.imports()}\n\n{joined(parts)}\n"


def _values(task: Task, table: WholeTable, seed: int) -> dict[str, object]:
    """The constants of a CSV, by the names that `standalone` has for them."""
    assert task.dialect is not None
    target, dialect = table.target, task.dialect
    return {
        "ENCODING": dialect.encoding,
        "DELIMITER": dialect.delimiter,
        "DECIMAL": dialect.decimal,
        "MISSING_WORDS": _words(task),
        "TARGET_NAME": target.name,
        "TARGET_READING": _entry(target)[1:],
        "CLASSES": task.classes,
        "SEED": seed,
        "OWN_MISSING_WORDS": _own_words(table, set(_words(task))),
        "MERGED_LABELS": task.merged_labels,
        "REGULAR": dialect.regular,
        "SKIP": dialect.skipped,
        "ROW_NAMES": dialect.row_names,
        "HEADER": dialect.header or (),
        "NO_DATA": dialect.marks,
    }


def _words(task: Task) -> list[str]:
    """All that means missing."""
    assert task.dialect is not None
    return sorted(MISSING_WORDS | set(task.dialect.missing))


def _own_words(table: WholeTable, words: set[str]) -> dict[str, list[str]]:
    """Words for missing of the columns that have other ones than the file, by alias; of the target
    under "".
    """
    readings = {**table.readings, "": table.target}
    own = {
        alias: sorted((words | set(reading.decision.missing)) - set(reading.decision.keep))
        for alias, reading in readings.items()
    }
    return {alias: found for alias, found in own.items() if found != sorted(words)}


def _entry(reading: Reading) -> tuple[object, ...]:
    """Name in the CSV, how it is read, and what that reading takes."""
    return (reading.name, reading.decision.reading, *reading.decision.parameters)


def _texts(value: object) -> Iterator[str]:
    """All text inside of a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from _texts(list(value.values()))
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _texts(one)


def _header(task: Task, table: WholeTable, spec: PipelineSpec, scores: list[str]) -> str:
    name = Path(task.source or task.name).name
    what = "the class" if task.classes else "the number"
    lines = [
        f"Predicts {what} {task.target!r} of {name!r}; found and tested by marl-llm on "
        f"{len(table.y)} rows.",
        "",
        "    python solution.py TRAIN.csv NEW.csv PREDICTIONS.csv",
        "",
        "fits on TRAIN.csv, predicts the rows of NEW.csv (the same columns, with or without the "
        "target, in any delimiter, encoding and decimal mark) and writes them in the same order. "
        "The CSV it was made for:",
        *(f"- {note}" for note in task.notes),
        "",
        f"Needs {needed(spec)}. In Python: `model = fit(frame)`, `predict(model, frame)`, with "
        "frames under the CSV's own column names.",
        "",
        *scores,
        *([""] if scores else []),
        "model.joblib beside this file holds the same pipeline fitted on all rows, with its "
        "columns and classes: "
        '`joblib.load("model.joblib")["model"]`. Loading that file needs the marl_llm '
        "package; this file does not.",
    ]
    return comment(lines)


def _metrics(scores: Scores) -> str:
    return ", ".join(
        [
            *(f"{name} {value:.4f}" for name, value in scores.raw.items()),
            f"score {scores.score:.4f}",
        ]
    )
