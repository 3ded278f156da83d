"""The short program of a plain CSV: numbers and categories, commas, UTF-8, decimal points.

It is written if every column is one of these, and if on the CSV itself its `read()` finds exactly
what the model was fitted on; otherwise there is none. `build_pipeline()` names the CSV's own
columns, instead of aliases. Other files, in another delimiter, encoding or decimal mark, are read
right or refused: a cell that is no number ends the program, where the long one takes it as missing.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from marl_llm.proposals import PipelineSpec, compile, generate_code
from marl_llm.solve import plain_program
from marl_llm.solve.composing import Program, Source
from marl_llm.solve.formatting import WIDTH, constant, joined, quoted
from marl_llm.solve.pipeline_code import comment, needed, pipeline_source
from marl_llm.solve.whole import WholeTable
from marl_llm.tasks import Task

_MOST_BYTES = 20_000_000
"""Of the CSV, which is read once more to see that the program reads it right."""

_NUMBERS = "        has = table[NUM]"
_TARGET_TOO = "        numeric = [name for name in (*NUM, ANSWER) if name in table]\n"
_RETURN = "        return table"
_SEED = "        np.random.seed(0)\n"
_SHARES = (
    '        answers[[f"probability {name}" for name in CLASSES]] = model.predict_proba(rows)\n'
)
_DRAW_NOTHING = ("LogisticRegression", "Ridge")
"""Their other solvers do: the catalogue leaves the solver alone."""


@dataclass(frozen=True)
class Plain:
    """What is written into the short program.

    Attributes
    ----------
    source : Path
        The CSV.
    answer : str
        Name of its target.
    classes : tuple of str
        () for a number.
    columns : mapping of alias to name
    numbers : collection of str
        The aliases that are numbers.
    missing : sequence of str
        Words that mean missing.
    seed, rows : int
        Of numpy; how many rows the model is fitted on.
    remarks : list of str
        Lines for people.
    """

    source: Path
    answer: str
    classes: tuple[str, ...]
    columns: Mapping[str, str]
    numbers: frozenset[str]
    missing: list[str]
    seed: int
    rows: int
    remarks: list[str]

    @classmethod
    def of(
        cls,
        task: Task,
        columns: Mapping[str, Sequence[object]],
        missing: list[str],
        seed: int,
        remarks: list[str],
    ) -> Plain | None:
        """A CSV that may be plain, None if it is not.

        Parameters
        ----------
        columns : mapping of alias to (name, reading, what that reading takes)
        """
        assert task.source is not None and task.dialect is not None
        dialect, source = task.dialect, Path(task.source)
        written = (dialect.delimiter, dialect.decimal, dialect.encoding[:5])
        plain = written == (",", ".", "utf-8") and source.stat().st_size <= _MOST_BYTES
        for alias, (_, reading, *how) in columns.items():
            known = reading in ("number", "text") and all(one in ("", ".") for one in how)
            plain = plain and known and alias[0] == "x"
        if not plain:
            return None
        return cls(
            source=source,
            answer=task.target,
            classes=task.classes,
            columns={alias: str(name) for alias, (name, *_) in columns.items()},
            numbers=frozenset(
                alias for alias, (_, kind, *_) in columns.items() if kind == "number"
            ),
            missing=missing,
            seed=seed,
            rows=len(task.development) + len(task.holdout) + len(task.test),
            remarks=remarks,
        )

    def program(self, spec: PipelineSpec) -> str | None:
        """The program; None where members of a blend leave out different columns, or all."""
        drops = {frozenset(one.drop) for one in spec.members or (spec,)}
        if len(drops) > 1:
            return None
        kept = [alias for alias in self.columns if alias not in next(iter(drops))]
        lists = {
            "NUM": [self.columns[alias] for alias in kept if alias in self.numbers],
            "CAT": [self.columns[alias] for alias in kept if alias not in self.numbers],
        }
        lists = {name: names for name, names in lists.items() if names}
        if not lists:
            return None
        pipeline = pipeline_source(self._code(spec, lists))
        program = Program(dict.fromkeys(lists, ""), {})
        program.take(pipeline, "build_pipeline")
        program.add_imports("sys", "pandas as pd", *(["numpy as np"] if _draws(spec) else []))
        constants = [*self._constants(), *_listed(lists)]
        rest = [self._reading(lists), self._running(spec, lists)]
        body = joined([*constants, program.definitions(pipeline), *rest])
        return f"{self._header(spec)}{program.imports(())}\n\n{body}\n"

    def reads(self, program: str, table: WholeTable) -> bool:
        """Whether the program finds in the CSV what the model is fitted on, bit for bit."""
        space: dict[str, Any] = {"__name__": "solution"}
        exec(program, space)
        try:
            found = space["read"](self.source, [self.answer, *self.columns.values()])
            answers = (found := found.dropna(subset=self.answer))[self.answer]
            y = answers.map(self.classes.index) if self.classes else answers
        except ValueError:
            return False
        return np.array_equal(y, table.y) and all(
            found[name].reset_index(drop=True).equals(table.X[alias])
            for alias, name in self.columns.items()
            if name in space.get("NUM", []) or name in space.get("CAT", [])
        )

    def _header(self, spec: PipelineSpec) -> str:
        said = f"Predicts {self.answer} as in {self.source.name}: python solution.py "
        said = " ".join((said + "TRAIN.csv NEW.csv PREDICTIONS.csv").split())
        found = f"Found by marl-llm on {self.rows} rows, with {needed(spec)}"
        remarks = ["; ".join([found, *self.remarks[-1:]])]
        marks = '"' * 3
        doc = f"{marks}{said}{marks}"
        if len(doc) > WIDTH or quoted(said) != f'"{said}"':
            doc = f"{marks}python solution.py TRAIN.csv NEW.csv PREDICTIONS.csv{marks}"
            remarks.insert(0, f"Predicts {self.answer} as in {self.source.name}.")
        return f"{doc}\n\n{comment(remarks)}"

    def _code(self, spec: PipelineSpec, lists: Collection[str]) -> str:
        """The code of the spec on the CSV's own columns, without steps for columns that it has
        not.
        """
        members = tuple(one.model_copy(update={"drop": ()}) for one in spec.members)
        code = generate_code(spec.model_copy(update={"drop": (), "members": members}))
        for columns, step in (("NUM", "num"), ("CAT", "cat")):
            if columns not in lists:
                code = re.sub(rf"    {step} = .*\n|        \({step}, {columns}\),\n", "", code)
        tree = ast.parse(code)
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and node.value in self.columns:
                node.value = self.columns[str(node.value)]
        return ast.unparse(tree)

    def _constants(self) -> list[str]:
        answer = quoted(self.answer)
        classes = constant("CLASSES", list(self.classes)).removeprefix("CLASSES = ")
        first = f"ANSWER, CLASSES = {answer}, {classes}"
        if not self.classes:
            first = f"ANSWER = {answer}"
        elif len(first) > WIDTH or "\n" in first:
            first = f"ANSWER = {answer}\nCLASSES = {classes}"
        return [first, constant("NA_WORDS", self.missing)]

    def _reading(self, lists: Mapping[str, list[str]]) -> str:
        source = Source.of(plain_program.__name__)
        read = source.lines(source.definitions["read"])
        before, rest = read.split(_NUMBERS)
        numbers, end = rest.split(_RETURN)
        numbers, after = f"{_NUMBERS}{numbers}", f"{_RETURN}{end}"
        if self.classes:
            return before + (numbers if "NUM" in lists else "") + after
        target = _TARGET_TOO if "NUM" in lists else _TARGET_TOO.replace("*NUM, ANSWER", "ANSWER,")
        return before + target + numbers.replace("[NUM]", "[numeric]") + after

    def _running(self, spec: PipelineSpec, lists: Mapping[str, list[str]]) -> str:
        source = Source.of(plain_program.__name__)
        run = source.lines(source.tree.body[-1])
        changes = {_SEED: _SEED.replace("0", str(self.seed)) if _draws(spec) else ""}
        if len(lists) == 1:
            (name,) = lists
            changes |= {"*NUM, *CAT": f"*{name}", "NUM + CAT": name}
        if not hasattr(compile(spec), "predict_proba"):
            changes[_SHARES] = ""
        if not self.classes:
            changes |= {".map(CLASSES.index)": ""}
            changes |= {"[CLASSES[i] for i in model.predict(rows).ravel()]": "model.predict(rows)"}
        for text, other in changes.items():
            assert text in run, text
            run = run.replace(text, other)
        return run


def _draws(spec: PipelineSpec) -> bool:
    """Whether the fit may draw from numpy's random numbers."""
    if spec.members:
        return any(map(_draws, spec.members))
    params = compile(spec).get_params()  # pyright: ignore[reportAttributeAccessIssue]
    seeds = (key for key, value in params.items() if key.endswith("random_state") and value is None)
    owners = (type(params.get(key.removesuffix("__random_state"))).__name__ for key in seeds)
    return any(owner not in _DRAW_NOTHING for owner in owners)


def _listed(lists: Mapping[str, list[str]]) -> list[str]:
    """The lists of columns, on one line where they fit."""
    separate = [constant(name, names) for name, names in lists.items()]
    values = [text.removeprefix(f"{name} = ") for name, text in zip(lists, separate, strict=True)]
    together = f"{', '.join(lists)} = {', '.join(values)}"
    return [together] if len(together) <= WIDTH and "\n" not in together else separate
