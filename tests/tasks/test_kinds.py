"""What was detected in a CSV is shown, can be changed, and can be written down so that it loads
back the same.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from marl_llm.core.errors import UserError
from marl_llm.core.kind import Kind
from marl_llm.tasks import Task, load_suite
from marl_llm.tasks.detected import detected, task_file
from marl_llm.tasks.examples import write_examples

HEADER = "código;[a] <b>: {c};when;opinião;bom;;preço;preço;vazio;y"
N = 90


def nasty_csv(directory: Path, no_date: str = "sem data") -> Path:
    """Latin-1, semicolons, decimal commas, currency, ambiguous dates, reviews, booleans, odd and
    repeated names.
    """
    rng = np.random.default_rng(3)
    lines = ["sep=;", HEADER]
    for i in range(N):
        price = (
            f"R$ {rng.uniform(1000, 9000):,.2f}".translate(str.maketrans(",.", ".,"))
            if i % 9
            else "?"
        )
        when = (
            f"{rng.integers(1, 13):02}/{rng.integers(1, 13):02}/{rng.integers(2015, 2024)}"
            if i % 7
            else no_date
        )
        review = (
            f'"a entrega {rng.choice(["rápida", "lenta", "normal"])};\nproduto '
            f'{rng.integers(99)} muito bom"'
        )
        answer, bom = "sim" if rng.random() < 0.5 else "não", rng.choice(["true", "FALSE"])
        lines.append(
            f"{i * 3 + 1000};{f'{rng.normal():.3f}'.replace('.', ',')};{when};{review};{bom};"
            f"{rng.choice(['A', 'B', 'NA'])};{price};{rng.integers(9)},{rng.integers(9)} "
            f"%;;{answer}"
        )
    path = directory / "nasty.csv"
    path.write_bytes("\r\n".join(lines).encode("latin-1"))
    return path


@pytest.fixture(scope="module")
def nasty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return nasty_csv(tmp_path_factory.mktemp("nasty"))


def test_aliases_share_one_numbering_and_tell_text_from_the_rest(nasty: Path):
    task = Task.from_csv(nasty, target="y", missing=["sem data"])
    assert [(column.alias, column.name, column.kind) for column in task.columns] == [
        ("x0", "[a] <b>: {c}", "numeric"),
        ("x1", "when", "date"),
        ("t2", "opinião", "text"),
        ("x3", "bom", "categorical"),
        ("x4", "column_6", "categorical"),
        ("x5", "preço", "numeric"),
        ("x6", "preço_2", "numeric"),
    ]
    X = task.development.X
    assert [X[c.alias].dtype == np.float64 for c in task.columns] == [
        c.kind in ("numeric", "date") for c in task.columns
    ]
    assert {type(value) for value in X.filter(like="t").to_numpy().ravel()} == {str}


def test_what_was_detected_is_shown(nasty: Path):
    lines = detected(Task.from_csv(nasty, target="y", missing=["sem data"]))
    assert (
        lines[0] == "read as latin-1, semicolon separated, decimal comma; missing as well: sem data"
    )
    rows = {line.split("  ")[0]: line for line in lines[1:]}
    assert (
        "day-first date" in rows["x1"] and "can be read in two ways: read day first" in rows["x1"]
    )
    assert (
        "R$" in rows["x5"]
        and "'R$' beside its numbers left out" in rows["x5"]
        and "11.1%" in rows["x5"]
    )
    assert "left out: whole numbers, all different, named like an id" in "\n".join(lines)
    assert "left out: it is empty" in "\n".join(lines)
    assert all("\n" not in line for line in lines)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"missing": ["sem data"], "positive": "não", "seed": 3},
        {"features": ["preço_2", "opinião", "código"], "metrics": {"f1": 1.0, "roc_auc": 2.0}},
        {
            "kinds": {"when": "month-first date", "bom": "ignore", "código": "categorical"},
            "decimal": ".",
        },
        {"target": "preço_2", "kind": "regression", "missing": ["sem data"]},
    ],
)
def test_the_task_file_spells_it_all_out_and_loads_back_to_the_same_task(
    nasty: Path, options: dict[str, Any]
):
    task = Task.from_csv(nasty, **({"target": "y"} | options))
    path = nasty.parent / "task.yaml"
    path.write_text(task_file(task, nasty.name), encoding="utf-8")
    (loaded,) = (file.load() for file in load_suite(path))
    assert loaded.key == task.key
    assert (loaded.classes, loaded.columns, loaded.dialect) == (
        task.classes,
        task.columns,
        task.dialect,
    )
    for part in ("development", "holdout", "test"):
        pd.testing.assert_frame_equal(getattr(loaded, part).X, getattr(task, part).X)


def test_the_task_file_of_the_example_is_readable(tmp_path: Path):
    csv = write_examples(tmp_path)
    content = yaml.safe_load(task_file(Task.from_csv(csv, target="Cancelou"), csv.name))
    assert (
        content["csv"] == "clientes.csv"
        and content["delimiter"] == "semicolon"
        and content["decimal"] == ","
    )
    assert content["columns"]["Renda mensal (R$)"] == "numeric" and content["positive"] == "Sim"
    assert "Código do cliente" not in content["columns"]


def test_a_task_of_a_frame_has_no_task_file():
    frame = pd.DataFrame({"a": np.arange(60) * 0.5, "y": ["u", "v"] * 30})
    with pytest.raises(UserError, match="was made of a DataFrame"):
        task_file(Task.from_frame(frame, target="y"), "t.csv")


def frame(**columns: object) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    base = {
        "a": rng.normal(size=60),
        "b": rng.choice(["u", "v"], 60),
        "code": [f"{i:03}" for i in range(60)],
    }
    return pd.DataFrame(base | {"y": ["no", "yes"] * 30} | columns)


def named_classes(task: Task) -> dict[float, str]:
    """Class name of each row, by its value in column `a`."""
    parts = (task.development, task.holdout, task.test)
    return {a: task.classes[y] for part in parts for a, y in zip(part.X["x0"], part.y, strict=True)}


def test_the_named_positive_class_has_index_1():
    usual = Task.from_frame(frame(), target="y")
    turned = Task.from_frame(frame(), target="y", positive="no")
    assert (usual.classes, turned.classes) == (("no", "yes"), ("yes", "no"))
    assert named_classes(turned) == named_classes(usual)
    assert usual.key != turned.key
    assert Task.from_frame(frame(y=[0, 1] * 30), target="y", positive="0").classes == ("1", "0")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"positive": "maybe"},
            "The target 'y' has no class 'maybe': the positive class is 'no' or 'yes'",
        ),
        (
            {"target": "a", "positive": "1"},
            "The target 'a' is a number, so it has no positive class",
        ),
        ({"kinds": {"bb": "text"}}, "The column 'bb' is not a column: did you mean 'b'"),
        ({"kinds": {"b": "words"}}, "Column 'b' can't be 'words': choose numeric, .* or ignore"),
        ({"kinds": {"b": "numeric"}}, "Column 'b' can't be numeric: No value is a number"),
        ({"kinds": {"b": "date"}}, "Column 'b' can't be date: No value is a date"),
        (
            {"kinds": {"y": "text"}},
            "The target 'y' can't be 'text': choose numeric, categorical or date",
        ),
        ({"kinds": {"y": "ignore"}}, "The target 'y' can't be 'ignore'"),
        ({"kinds": {"a": "ignore", "b": "ignore", "code": "ignore"}}, "No feature is left"),
    ],
)
def test_an_override_that_does_not_fit_gives_one_clear_sentence(
    options: dict[str, Any], message: str
):
    with pytest.raises(UserError, match=message) as caught:
        Task.from_frame(frame(), **({"target": "y"} | options))
    assert "\n" not in str(caught.value)


def test_three_classes_have_no_positive_one():
    with pytest.raises(UserError, match="has 3 classes, so none is positive"):
        Task.from_frame(frame(y=["a", "b", "c"] * 20), target="y", positive="a")


def test_a_named_kind_keeps_a_column_that_looks_like_an_id():
    names = [
        column.name
        for column in Task.from_frame(frame(), target="y", kinds={"code": "categorical"}).columns
    ]
    assert names == ["a", "b", "code"]
    kept = Task.from_frame(frame(), target="y", kinds={"b": "ignore"}).columns
    assert "b" not in [column.name for column in kept]


def test_the_kind_of_the_target_can_be_named():
    numbers = frame(y=[1, 2, 3] * 20)
    assert Task.from_frame(numbers, target="y", kinds={"y": "categorical"}).classes == (
        "1",
        "2",
        "3",
    )
    dates = Task.from_frame(frame(y=pd.date_range("2020-01-01", periods=60)), target="y")
    assert dates.kind is Kind.regression and dates.development.y.min() >= 18262
    assert "target 'y' holds dates: predicted are days since 1970-01-01" in dates.notes


def test_a_target_of_sentences_is_classes():
    sentences = [f"this is the {word} kind of answer" for word in ("first", "second")] * 30
    assert Task.from_frame(frame(y=sentences), target="y").kind is Kind.binary
