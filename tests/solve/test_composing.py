"""A delivered file is composed of the definitions that it reaches."""

from __future__ import annotations

import ast

import pytest

from marl_llm.proposals import PipelineSpec, generate_code
from marl_llm.solve.composing import Program, Source
from marl_llm.solve.formatting import constant, formatted, import_lines, joined, quoted
from marl_llm.solve.pipeline_code import pipeline_source
from marl_llm.tasks.columns import dates

MODULE = '''
"""A module."""

import re
from collections.abc import Callable, Sequence
from math import floor as down, pi
import numpy as np

WIDTH = 2
FORMS = tuple(re.compile(form) for form in ("a", "b"))
UNUSED = pi


def unused():
    return FORMS


@np.vectorize
def numbers_of(cells: Sequence[str], mark: str) -> list[float]:  # of cells
    width = 3
    return [float(cell) * width for cell in cells]


def dates_of(cells, unused=None):
    return [pattern for pattern in FORMS for cell in cells if pattern.match(cell)]


READINGS: dict[str, Callable[..., object]] = {
    "number": numbers_of,
    "date": dates_of,
}


def main(kind):
    return READINGS[kind]([WIDTH, down(GIVEN)], ".")


GIVEN = 3
'''


def composed(*readings: str) -> tuple[str, str, str]:
    program = Program({"GIVEN": "GIVEN = 7"}, {}, readings)
    program.take(Source("module", MODULE), "main")
    return program.imports(()), program.constants(), program.definitions()


def test_only_what_is_reached_is_taken_and_readings_of_a_table_only_if_they_occur():
    imports, constants, text = composed("number")
    assert constants == "GIVEN = 7"
    assert imports == (
        "from collections.abc import Sequence\nfrom math import floor as down\n\nimport numpy as np"
    )
    names = [getattr(n, "name", None) or n.targets[0].id for n in ast.parse(text).body]
    assert names == ["WIDTH", "numbers_of", "READINGS", "main"]
    assert '\n\n\nREADINGS = {"number": numbers_of}\n\n\ndef main' in text
    assert "@np.vectorize\ndef numbers_of" in text and "# of cells" in text
    assert "dates_of" in composed("number", "date")[2] and "FORMS" in composed("date")[2]


def test_a_name_without_definition_and_a_name_with_two_are_noticed():
    with pytest.raises(AssertionError, match="does not define other"):
        Program({}, {}).take(Source("m", "def main():\n    return other()"), "main")
    program = Program({}, {})
    program.take(Source("one", "def main():\n    return 1"), "main")
    with pytest.raises(AssertionError, match="main is defined in two and in"):
        program.take(Source("two", "def main():\n    return 2"), "main")


def test_a_function_brings_what_it_needs_from_other_modules_of_the_package():
    program = Program({}, {})
    program.take(Source("m", f"from {dates.__name__} import date_of\n\nX = date_of"), "X")
    space: dict = {}
    exec(f"{program.imports()}\n{program.definitions()}", space)
    assert space["date_of"]("3/4/2020", "day first") == dates.date_of("3/4/2020", "day first")
    assert "dates_of" not in space and "days_since_1970" not in space


def test_a_pipeline_brings_the_imports_that_it_uses():
    program = Program({}, {})
    spec = PipelineSpec(estimator="Ridge", scale="none")
    program.take(pipeline_source(generate_code(spec)), "build_pipeline")
    names = {a.asname or a.name for n in ast.parse(program.imports()).body for a in n.names}
    assert {"Ridge", "SimpleImputer", "OrdinalEncoder"} <= names
    assert not names & {"StandardScaler", "Lasso", "OneHotEncoder", "LogisticRegression"}


def test_statements_are_written_as_ruff_leaves_them():
    assert formatted("x = f(a, 'b',\n  c)") == 'x = f(a, "b", c)'
    long = formatted(f"x = make(first='{'a' * 60}', second=['{'b' * 40}'], third=(1,))")
    assert long.splitlines()[1:3] == [f'    first="{"a" * 60}",', f'    second=["{"b" * 40}"],']
    assert constant("NAMES", ("it's", 'the "one"')) == 'NAMES = ("it\'s", \'the "one"\')'
    assert ast.literal_eval(quoted("both ' and \" and \\")) == "both ' and \" and \\"
    assert joined(["a = 1", "b = 2", "def f():\n    pass", "c = 3"]).count("\n") == 8
    assert import_lines({"sklearn.svm": ["LinearSVC", "SVC"], "re": ["sub"]}, ["sys"]) == (
        "import sys\nfrom re import sub\n\nfrom sklearn.svm import SVC, LinearSVC"
    )


FLAGGED = """
def main(rows):
    if MERGED:  # labels
        rows = merged(rows)
    if not REGULAR:
        return odd(rows)
    return rows


def merged(rows):
    return [row.lower() for row in rows]


def odd(rows):
    return rows[::2]
"""


@pytest.mark.parametrize(
    ("merged", "regular", "made"),
    [(True, True, ["a", "b"]), (False, True, ["A", "b"]), (True, False, ["a"])],
)
def test_what_a_flag_keeps_from_being_executed_is_left_out(merged, regular, made):
    flags = {"MERGED": merged, "REGULAR": regular}
    program = Program(dict.fromkeys(flags, ""), {}, flags=flags)
    program.take(Source("m", FLAGGED), "main")
    text, space = program.definitions(), {}
    exec(text, space)
    assert space["main"](["A", "b"]) == made
    assert ("merged" in space, "odd" in space) == (merged, not regular)
    assert "MERGED" not in text and program.constants() == "" and formatted(text) == text
