"""Whether a delivered `solution.py` predicts new rows as the model in the run does.

`python recipes/studies/delivered.py` writes a program for every estimator of the catalogue in every
kind of target, with every operation: six mixes of operations per estimator, in which each of them
occurs, and blends. All programs run in fresh processes that cannot import this package, on new rows
in another order of rows and columns, with a column more, values that were never seen, missing
values, and mostly another delimiter, decimal mark and encoding than the training file. What they
predict is compared with the model that is fitted here. `--mix 2` runs one of the mixes.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from marl_llm.core.kind import Kind
from marl_llm.proposals import Extra, PipelineSpec, baseline
from marl_llm.proposals.applying import can_vote
from marl_llm.proposals.estimators import ESTIMATORS, estimators_for
from marl_llm.proposals.features import Reduction
from marl_llm.proposals.ops import FEATURES
from marl_llm.proposals.spec import BLEND, Calibration
from marl_llm.solve.solution import solution_text
from marl_llm.solve.solve import fit_model
from marl_llm.solve.whole import WholeTable, whole_table
from marl_llm.tasks import Task

MIXES, ROWS, SEED = 6, 96, 5
TARGET = "outcome"
SMALL = {
    "n_estimators": 10,
    "max_iter": 50,
    "iterations": 10,
    "hidden_layer_sizes": 5,
    "n_restarts_optimizer": 0,
    "nu": 0.1,
    "reg_param": 0.1,
}
"""Parameters that keep a fit short."""
DIALECTS = (
    (",", ".", "utf-8"),
    (";", ",", "cp1252"),
    ("\t", ",", "utf-16"),
    ("|", ".", "utf-8-sig"),
    (";", ".", "utf-8"),
    (",", ",", "utf-8"),
    ("\t", ".", "cp1252"),
)
MESSY = (";", ",", "latin-1")
_SCALES = ("none", "standard", "robust", "minmax", "power", "quantile")
_ENCODES = ("ordinal", "one_hot", "target")
_CALIBRATIONS: dict[int, Calibration] = {1: "sigmoid", 4: "isotonic"}
_RUNNER = """
import contextlib, io, json, runpy, sys, warnings
sys.modules["marl_llm"] = None
warnings.simplefilter("ignore")
done = []
for arguments in json.load(open(sys.argv[1])):
    sys.argv, said, code = arguments, io.StringIO(), 0
    with contextlib.redirect_stderr(said):
        try:
            runpy.run_path(arguments[0], run_name="__main__")
        except SystemExit as end:
            code = end.code
        except Exception as error:
            said.write(repr(error))
            code = 1
    done.append([code, said.getvalue()])
print(json.dumps(done))
"""


@dataclass(frozen=True)
class Trained:
    """A CSV, its task and its rows."""

    kind: Kind
    plain: bool
    path: Path
    task: Task
    table: WholeTable

    @classmethod
    def write(cls, kind: Kind, plain: bool, directory: Path) -> Trained:
        """Write a CSV with numbers and categories; if it is not plain, with money, dates, text and
        truth values too, semicolons, decimal commas and latin-1.
        """
        path = directory / f"{kind}-{'plain' if plain else 'messy'}.csv"
        delimiter, mark, encoding = DIALECTS[0] if plain else MESSY
        cells = _cells(kind, plain)
        _write(path, cells.map(lambda cell: cell.replace("_", mark)), delimiter, encoding)
        task = Task.from_csv(path, target=TARGET, kind=kind)
        return cls(kind, plain, path, task, whole_table(task))

    def aliases(self, *kinds: str) -> list[str]:
        """Aliases of the columns of these kinds."""
        return [column.alias for column in self.task.columns if column.kind in kinds]


@dataclass(frozen=True)
class Case:
    """A solution for a CSV, and the new rows it is tried on."""

    name: str
    trained: Trained
    spec: PipelineSpec
    dialect: tuple[str, str, str]


def mixed(trained: Trained, estimator: str, mix: int) -> PipelineSpec:
    """One of six pipelines that hold all operations between them."""
    features = [name for name in FEATURES if trained.plain is False or name not in _MESSY_ONLY]
    names = [name for name in features if list(FEATURES).index(name) % MIXES == mix]
    extra = tuple(Extra(op=name, columns=_columns(trained, name)) for name in names)
    classifier = trained.kind is not Kind.regression
    spec = PipelineSpec(
        estimator=estimator,
        impute=("mean", "median")[mix % 2],
        scale=_SCALES[mix],
        encode=_ENCODES[mix % 3],
        extra=extra,
        reduce=(Reduction(op="select", amount=5), Reduction(op="pca", amount=0.9), None)[mix % 3],
        drop=tuple(trained.aliases("categorical")[-1:]) if mix in (2, 4) else (),
        calibration=_CALIBRATIONS.get(mix) if classifier else None,
        threshold="balanced_accuracy" if mix == 5 and trained.kind is Kind.binary else None,
    )
    return cheap(spec)


_MESSY_ONLY = ("dates", "tfidf")


def cheap(spec: PipelineSpec) -> PipelineSpec:
    """The same solution with few trees and iterations."""
    names = {param.name for param in ESTIMATORS[spec.estimator].params} & SMALL.keys()
    return spec.with_params({name: SMALL[name] for name in names})


def blended(trained: Trained, estimator: str, mix: int) -> PipelineSpec | None:
    """A blend, vote or stack in which the estimator takes part; None if it can't."""
    member, other = mixed(trained, estimator, mix), baseline(trained.kind)
    if not can_vote(member) and mix % 3 != 2:
        return None
    members = (member, other.model_copy(update={"drop": member.drop, "encode": "one_hot"}))
    if mix % 3 == 0:
        power = 0.0 if trained.kind is Kind.regression else 0.75
        return PipelineSpec(estimator=BLEND, members=members, weights=(3, 1), power=power)
    return PipelineSpec(estimator=("Voting", "Stacking")[mix % 3 - 1], members=members)


def cases(tables: Sequence[Trained], mixes: Iterable[int], blends: bool = True) -> list[Case]:
    """Every estimator of every kind, in these mixes; dialects and kinds of CSV take turns."""
    found: list[Case] = []
    for kind in Kind:
        plain, messy = sorted((t for t in tables if t.kind is kind), key=lambda t: not t.plain)
        for number, info in enumerate(estimators_for(kind)):
            for mix in ((mix + number) % MIXES for mix in mixes):
                needs_messy = mix in {list(FEATURES).index(name) % MIXES for name in _MESSY_ONLY}
                trained = messy if needs_messy or (number + mix) % 3 == 0 else plain
                dialect = DIALECTS[(number + mix) % len(DIALECTS)]
                name = f"{kind}-{info.name}-{mix}"
                found.append(Case(name, trained, mixed(trained, info.name, mix), dialect))
                spec = blended(trained, info.name, mix) if blends else None
                found += [Case(f"{name}-blend", trained, spec, dialect)] if spec else []
    return found


def differences(chosen: Sequence[Case], directory: Path) -> tuple[dict[str, str], list[str]]:
    """Run the programs of cases in one fresh process; what they predict otherwise, by case, and
    the cases that cannot be fitted here.
    """
    models, unfit = {}, []
    for case in chosen:
        try:
            models[case.name] = fit_model(case.spec, case.trained.table, SEED)
        except Exception as error:
            unfit.append(f"{case.name}: {error!r:.100}")
    tried = [case for case in chosen if case.name in models]
    expected, jobs = {}, []
    for number, case in enumerate(tried):
        trained, new = case.trained, directory / f"new-{number}.csv"
        X = _new_rows(trained, new, case.dialect, number)
        expected[case.name] = _answers(models[case.name], X, trained.task)
        script = directory / f"solution_{number}.py"
        text = solution_text(trained.task, trained.table, case.spec, {}, SEED)
        script.write_text(text, encoding="utf-8")
        jobs.append([str(script), str(trained.path), str(new), str(directory / f"{number}.csv")])
    (directory / "jobs.json").write_text(json.dumps(jobs))
    command = [sys.executable, "-I", "-c", _RUNNER, str(directory / "jobs.json")]
    run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=directory)
    wrong: dict[str, str] = {}
    for case, job, (code, said) in zip(tried, jobs, json.loads(run.stdout), strict=True):
        if code != 0:
            wrong[case.name] = f"ended with {code}: {said}"
        elif problem := _difference(expected[case.name], Path(job[3]), case.trained):
            wrong[case.name] = problem
    return wrong, unfit


def _difference(expected: pd.DataFrame, path: Path, trained: Trained) -> str:
    delimiter, mark, encoding = DIALECTS[0] if trained.plain else MESSY
    found = pd.read_csv(
        path,
        sep=delimiter,
        decimal=mark,
        encoding=encoding,
        dtype={TARGET: str} if trained.task.classes else {},
        float_precision="round_trip",
    )
    try:
        same = found.astype(expected.dtypes)  # some models predict in float32
        pd.testing.assert_frame_equal(same, expected, rtol=1e-9, atol=1e-12)
    except AssertionError as error:
        return " ".join(str(error).split())
    return ""


def _answers(model: object, X: pd.DataFrame, task: Task) -> pd.DataFrame:
    predicted = model.predict(X)  # pyright: ignore[reportAttributeAccessIssue]
    if not task.classes:
        return pd.DataFrame({TARGET: predicted})
    labels = pd.DataFrame({TARGET: [task.classes[i] for i in predicted.ravel()]})
    if not hasattr(model, "predict_proba"):
        return labels
    shares = model.predict_proba(X)  # pyright: ignore[reportAttributeAccessIssue]
    return labels.join(pd.DataFrame(shares, columns=[f"probability {c}" for c in task.classes]))


def _new_rows(
    trained: Trained, path: Path, dialect: tuple[str, str, str], seed: int
) -> pd.DataFrame:
    """Write new rows, and return them as the model takes them."""
    rng = np.random.default_rng(seed)
    rows = rng.permutation(ROWS)[:24]
    cells = _cells(trained.kind, trained.plain).iloc[rows].reset_index(drop=True)
    X = trained.table.X.iloc[rows].reset_index(drop=True)
    alias = {reading.name: alias for alias, reading in trained.table.readings.items()}
    for row, (name, cell, value) in enumerate(
        [
            ("colour", "never seen", "never seen"),
            ("size", "NA", np.nan),
            ("shape", "", np.nan),
            ("gap", "?", np.nan),
            ("colour", "N/A", np.nan),
        ]
    ):
        cells.loc[row, name], X.loc[row, alias[name]] = cell, value
    delimiter, mark, encoding = dialect
    other = str.maketrans(".,", ",.") if mark == "." and not trained.plain else {}
    written = cells.copy()
    for name in cells:
        if name in ("size", "gap", "price", TARGET):
            written[name] = cells[name].str.translate(other).str.replace("_", mark)
    written = written.drop(columns=TARGET) if seed % 2 else written
    written.insert(0, "one more", [f"nothing{mark} {i}" for i in range(len(rows))])
    _write(path, written.iloc[:, ::-1], delimiter, encoding)
    return X


def _cells(kind: Kind, plain: bool) -> pd.DataFrame:
    """The cells of a CSV as text, `_` for the decimal mark."""
    rng = np.random.default_rng(0)
    size, gap = np.exp(rng.normal(size=ROWS)), rng.normal(size=ROWS)
    colour, shape = rng.choice(["red", "grün", "blue"], ROWS), rng.choice(["round", "flat"], ROWS)
    truth = 2 + np.tanh(size) + 0.4 * gap + (colour == "red") + 0.2 * rng.normal(size=ROWS)
    levels = np.quantile(truth, [0.5] if kind is Kind.binary else [0.3, 0.7])
    classes = np.array(["low", "mid", "high"])[np.searchsorted(levels, truth)]
    outcome = [f"{abs(x) + 0.1:.3f}" for x in truth] if kind is Kind.regression else classes
    table = {
        "size": [f"{x:.4f}" for x in size],
        "colour": colour,
        "gap": ["" if i % 11 == 0 else f"{x:.3f}" for i, x in enumerate(gap)],
        "shape": ["" if i % 13 == 0 else x for i, x in enumerate(shape)],
        "count": rng.integers(0, 9, ROWS).astype(str),
        TARGET: outcome,
    }
    if not plain:
        days = [f"{1 + i % 28:02}/{1 + i % 12:02}/{2019 + i % 4}" for i in range(ROWS)]
        pick = random.Random(0)
        words = ["parcel", "late", "broken", "thanks", "quick", "refund", "again", "courier"]
        table |= {
            "bought on": days,
            "price": [f"R$ {i % 7 + 1}.{(i * 37) % 1000:03}_{i % 100:02}" for i in range(ROWS)],
            "paid": ["TRUE" if x else "false" for x in rng.random(ROWS) < 0.5],
            "remark": [" ".join(pick.choices(words, k=4)) for _ in range(ROWS)],
        }
    frame = pd.DataFrame(table).astype(str)
    numbers = ["size", "gap", *([TARGET] if kind is Kind.regression else [])]
    return frame.assign(**{name: frame[name].str.replace(".", "_") for name in numbers})


def _columns(trained: Trained, feature: str) -> tuple[str, ...]:
    """Columns for a feature: as few as may be, two where they are alike."""
    takes = FEATURES[feature].takes
    first = trained.aliases(*takes.allowed(0))[0]
    rest = [alias for alias in trained.aliases(*takes.kinds) if alias != first]
    return takes.arranged((first, *rest)[: min(max(takes.least, 2), takes.most)])


def _write(path: Path, cells: pd.DataFrame, delimiter: str, encoding: str) -> None:
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerows([list(cells), *cells.to_numpy().tolist()])


def tables(directory: Path) -> list[Trained]:
    """A plain CSV and another one of each kind of target."""
    return [Trained.write(kind, plain, directory) for kind in Kind for plain in (True, False)]


def main() -> None:
    """Run all mixes, or one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mix", type=int, choices=range(MIXES))
    chosen = parser.parse_args().mix
    warnings.simplefilter("ignore")
    tried, wrong, unfit = 0, {}, []
    for mix in range(MIXES) if chosen is None else [chosen]:
        with tempfile.TemporaryDirectory() as name:
            directory = Path(name)
            part = cases(tables(directory), [mix])
            found, failed = differences(part, directory)
        tried, wrong, unfit = tried + len(part), wrong | found, unfit + failed
        print(f"mix {mix}: {len(part)} programs, {len(found)} predict otherwise", flush=True)
    print(f"{tried} programs, {len(unfit)} that cannot be fitted on these rows, {len(wrong)} wrong")
    print("\n".join([*unfit, *(f"{name}: {said}" for name, said in wrong.items())]))


if __name__ == "__main__":
    main()
