"""A machine that was told which BLAS kernels to use: the sandbox computes with the same ones, and
says which.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from marl_llm.sandbox import Fold, Sandbox, SandboxUnavailable, Status, kernels_in_use
from marl_llm.sandbox.kernels import chosen_by
from tests.sandbox.support import mixed_frame

ROOT = Path(__file__).parents[2]
CPU_FLAGS = next(
    line
    for line in Path("/proc/cpuinfo").read_text().splitlines()
    if line.startswith(("flags", "Feat"))
)
needs_avx2 = pytest.mark.skipif(
    "avx2" not in CPU_FLAGS.split(), reason="this processor has no AVX2 (Haswell kernels)"
)
SHOW = """
import os
def build_pipeline():
    ours = ("HOME", "LANG", "PATH", "GLIBC", "MALLOC", "PYTHON", "JOBLIB", "KMP_")
    raise RuntimeError(repr(sorted(name for name in os.environ if not name.startswith(ours))))
"""


@needs_avx2
def test_predictions_are_those_of_this_process_bit_for_bit_where_a_kernel_is_named() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "bit_for_bit"]
    done = subprocess.run(
        [*command, "tests/sandbox/test_evaluate.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OPENBLAS_CORETYPE": "Haswell", "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stdout[-2000:]


@needs_avx2
def test_the_kernels_of_the_sandbox_follow_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    monkeypatch.setenv("OPENBLAS_VERBOSE", "2")  # a BLAS that talks while it starts
    haswell = kernels_in_use()
    assert haswell.chosen["OPENBLAS_CORETYPE"] == "Haswell"
    assert (
        all(one.endswith("Haswell") for one in haswell.blas if one.startswith("openblas"))
        and haswell.blas
    )
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Sandybridge")
    assert kernels_in_use() != haswell


def test_only_variables_that_choose_kernels_reach_a_candidate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in (
        "OPENBLAS_CORETYPE",
        "SECRET_TOKEN",
        "OPENBLAS_DEFAULT_NUM_THREADS",
        "OMP_PLACES",
        "LD_PRELOAD_MKL_",
    ):
        monkeypatch.setenv(name, "Haswell")
    frame = mixed_frame(40)
    with Sandbox(level="none", allow_untrusted=True) as sandbox:
        fold = Fold.prepare(frame, frame.index.to_numpy(float), frame, n_classes=None, seed=0)
        seen = sandbox.evaluate(SHOW, [fold])
    assert seen.status is Status.error
    assert "'OPENBLAS_CORETYPE'" in seen.error and "'OPENBLAS_NUM_THREADS'" in seen.error
    assert not {
        name
        for name in ("SECRET_TOKEN", "DEFAULT_NUM_THREADS", "OMP_PLACES", "LD_")
        if name in seen.error
    }


def test_thread_counts_are_not_the_callers_choice() -> None:
    given = {
        "MKL_CBWR": "AVX2",
        "MKL_NUM_THREADS": "8",
        "MKL_DOMAIN_NUM_THREADS": "8",
        "FLEXIBLAS": "NETLIB",
        "MKLROOT": "/",
    }
    assert chosen_by(given) == {"FLEXIBLAS": "NETLIB", "MKL_CBWR": "AVX2"}


def test_a_variable_under_which_numpy_does_not_start_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NPY_ENABLE_CPU_FEATURES", "AVX2")
    monkeypatch.setenv("NPY_DISABLE_CPU_FEATURES", "AVX2")
    with pytest.raises(
        SandboxUnavailable, match=r"numpy does not start .*\(.*NPY_DISABLE_CPU_FEATURES.* set\): "
    ):
        kernels_in_use()
