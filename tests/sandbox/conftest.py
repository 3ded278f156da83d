"""One warm sandbox of each kind for the whole session. Where bubblewrap is missing, its tests are
skipped.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer

from marl_llm.sandbox import Fold, Sandbox, Status
from tests.sandbox.support import HONEST, noise, prepare, same


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """One slot with full isolation."""
    if shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    with Sandbox() as isolated:
        yield isolated


@pytest.fixture(scope="session")
def open_sandbox() -> Iterator[Sandbox]:
    """One slot without isolation, for positive controls: there an attack must succeed."""
    with Sandbox(level="none", allow_untrusted=True) as unprotected:
        yield unprotected


@pytest.fixture(scope="session")
def cancer() -> tuple[pd.DataFrame, np.ndarray]:
    """A real task."""
    frame, labels = load_breast_cancer(return_X_y=True, as_frame=True)
    return frame.set_axis([f"x{i}" for i in range(frame.shape[1])], axis=1), labels.to_numpy()


@pytest.fixture(scope="session")
def cancer_folds(cancer: tuple[pd.DataFrame, np.ndarray]) -> list[Fold]:
    return prepare(*cancer)


@pytest.fixture(scope="session")
def noise_folds() -> list[Fold]:
    return prepare(*noise())


@pytest.fixture(scope="session")
def check_health(sandbox: Sandbox, cancer_folds: list[Fold]) -> Callable[[], None]:
    """Check that an honest model still gives bit-identical predictions, whatever ran before."""
    reference = sandbox.evaluate(HONEST, cancer_folds[:1])
    assert reference.status is Status.ok

    def check() -> None:
        again = sandbox.evaluate(HONEST, cancer_folds[:1])
        assert again.status is Status.ok, again.error
        assert same(again.predictions, reference.predictions)

    return check
