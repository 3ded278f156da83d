"""`score`: one file of a person, in the sandbox, under the CSV's own column names."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from marl_llm.core.errors import UserError
from marl_llm.sandbox import SandboxUnavailable
from marl_llm.solve import score_file
from marl_llm.solve.score import with_own_names
from marl_llm.tasks import Task, TaskFile
from tests.solve.conftest import CLIENTS, TARGET, Solved

BASELINE = """
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder, StandardScaler

NUMBERS = ["Idade", "Renda mensal (R$)", "Tempo de contrato (meses)", "Chamadas ao suporte",
           "Fatura média (R$)",
           "Satisfação"]
WORDS = ["Região", "Plano", "Método de pagamento"]

def build_pipeline():
    words = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    prep = make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), NUMBERS),
        (make_pipeline(SimpleImputer(strategy="most_frequent"), words), WORDS),
    )
    return make_pipeline(prep, LogisticRegression())
"""


def score(directory: Path, code: str) -> dict:
    path = directory / "candidate.py"
    path.write_text(code, encoding="utf-8")
    return score_file(path, TaskFile(CLIENTS, TARGET))


def test_a_file_under_own_column_names_scores_as_the_same_model_does_in_solve(
    solved: Solved, tmp_path: Path
):
    result = score(tmp_path, BASELINE)
    assert (result["status"], result["error"], result["isolation"]) == ("ok", "", "bubblewrap")
    assert result["code_sha256"] == hashlib.sha256(BASELINE.encode()).hexdigest()
    expected = solved.report.baseline["holdout"]
    assert expected is not None
    assert result["metrics"]["holdout"]["raw"] == pytest.approx(expected["raw"], abs=1e-6)
    assert set(result["metrics"]) == {"cv", "holdout"} and result["seconds"] > 0


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        ("model = 1\n", "error", "does not define a function build_pipeline()"),
        ("def build_pipeline(:\n", "error", "SyntaxError"),
        # The names of the agents' prelude are not there: a person's file brings its own imports.
        (
            "def build_pipeline():\n    return Ridge()\n",
            "error",
            "NameError: name 'Ridge' is not defined (line 2)",
        ),
        ("import ctypes\nctypes.CDLL(None).ptrace(0, 0, 0, 0)\n", "tamper", ""),
    ],
)
def test_a_candidate_that_fails_is_a_result_with_an_error(
    tmp_path: Path, code: str, status: str, error: str
):
    result = score(tmp_path, code)
    assert (result["status"], result["metrics"]) == (status, {})
    assert result["error"] and error in result["error"] and "\n" not in result["error"]


def test_frames_keep_rows_and_types_under_own_names():
    task = Task.from_csv(CLIENTS, target=TARGET)
    named = with_own_names(task)
    assert list(named.holdout.X) == [column.name for column in task.columns]
    assert (named.holdout.X.to_numpy(dtype=str) == task.holdout.X.to_numpy(dtype=str)).all()
    assert list(named.development.X.dtypes) == list(task.development.X.dtypes)


def test_a_missing_file_is_the_users_mistake(tmp_path: Path):
    with pytest.raises(UserError, match="There is no file .*gone.py"):
        score_file(tmp_path / "gone.py", TaskFile(CLIENTS, TARGET))


def test_a_file_that_is_not_text_is_the_users_mistake(tmp_path: Path):
    (tmp_path / "code.py").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not UTF-8 text"):
        score_file(tmp_path / "code.py", TaskFile(CLIENTS, TARGET))


def test_an_unknown_isolation_level_is_the_users_mistake(tmp_path: Path):
    (tmp_path / "code.py").write_text(BASELINE, encoding="utf-8")
    with pytest.raises(SandboxUnavailable, match="choose bubblewrap, landlock"):
        score_file(tmp_path / "code.py", TaskFile(CLIENTS, TARGET), level="chroot")
