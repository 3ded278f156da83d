"""`model.joblib` names the versions it needs, and says which other ones are there."""

from __future__ import annotations

import platform
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn

from marl_llm.core.errors import UserError
from marl_llm.proposals import PipelineSpec
from marl_llm.proposals.spec import BLEND
from marl_llm.solve import load_model
from marl_llm.solve.versions import Needs, versions_for
from tests.solve.conftest import Solved

PLAIN = PipelineSpec(estimator="LogisticRegression")
BOOSTED = PipelineSpec(
    estimator=BLEND,
    weights=(1, 1),
    members=(PLAIN, PipelineSpec(estimator="XGBClassifier")),
)


class Trap:
    """Fails as a model of another version does: while it is loaded."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return int, ("no number",)


def test_the_versions_are_those_of_what_the_solution_uses():
    assert versions_for(PLAIN) == {
        "python": platform.python_version(),
        "scikit-learn": sklearn.__version__,
        "pandas": pd.__version__,
        "numpy": np.__version__,
    }
    pytest.importorskip("xgboost")
    assert list(versions_for(BOOSTED))[-1] == "xgboost" and versions_for(BOOSTED)["xgboost"]


def test_the_delivered_model_names_its_versions_and_loads(solved: Solved):
    content = load_model(solved.out / "model.joblib")
    spec = PipelineSpec.model_validate(solved.report.spec)
    assert content["needs"] == versions_for(spec) and type(content["needs"]) is dict
    assert {"model", "columns", "classes", "target"} <= content.keys()


@pytest.mark.parametrize("load", [load_model, joblib.load])
@pytest.mark.parametrize(
    ("package", "version"), [("scikit-learn", "0.24.2"), ("python", "3.8.1"), ("lightgbm", "1.0")]
)
def test_another_version_is_said_in_one_sentence_before_the_model_is_touched(
    tmp_path: Path, load, package: str, version: str
):
    path = tmp_path / "model.joblib"
    needs = versions_for(PLAIN) | {package: version}
    joblib.dump({"needs": Needs(needs), "model": Trap()}, path, compress=3)
    with pytest.raises(UserError) as caught:
        load(path)
    said = str(caught.value)
    assert said.startswith(f"This model was fitted with {package} {version}, and here is ")
    assert "\n" not in said and said.count(".py") == 1


def test_a_package_that_is_not_there_is_named(tmp_path: Path):
    path = tmp_path / "model.joblib"
    joblib.dump({"needs": Needs({"no-such-package": "1.0"}), "model": Trap()}, path)
    with pytest.raises(UserError, match="here is no no-such-package"):
        load_model(path)


def test_a_corrected_version_of_the_same_release_loads(tmp_path: Path):
    path = tmp_path / "model.joblib"
    release = ".".join(sklearn.__version__.split(".")[:2])
    joblib.dump({"needs": Needs({"scikit-learn": f"{release}.99"}), "model": 1}, path)
    assert load_model(path)["model"] == 1


@pytest.mark.parametrize("content", [b"", b"no model", b"\x80\x04."])
def test_a_file_that_is_no_model_is_said_so(tmp_path: Path, content: bytes):
    (tmp_path / "model.joblib").write_bytes(content)
    with pytest.raises(UserError, match=r"model\.joblib is no model"):
        load_model(tmp_path / "model.joblib")
    with pytest.raises(UserError, match="cannot be read"):
        load_model(tmp_path / "gone.joblib")


def test_a_damaged_byte_is_said_so(tmp_path: Path):
    """Wherever it is: what is packed has a check sum."""
    path = tmp_path / "model.joblib"
    joblib.dump({"model": np.arange(500) ** 2}, path, compress=3)
    whole = path.read_bytes()
    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0xFF]) + whole[position + 1 :])
        with pytest.raises(UserError, match=r"model\.joblib (is no model|cannot be read)"):
            load_model(path)
