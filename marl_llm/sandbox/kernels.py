"""Which kernels compute: BLAS routines and numpy loops are chosen for the processor when a process
starts, and two choices give results that differ in the last bits.

In: the environment of this process, and a look into a fresh one that has the sandbox's environment.
Out: the variables that a sandbox is given, and what is computed with them there. Threads are none
of its business: they stay at one.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import NamedTuple

from marl_llm.sandbox.results import SandboxUnavailable

PREFIXES = (
    "OPENBLAS_",
    "MKL_",
    "BLIS_",
    "ARMPL_",
    "NVPL_",
    "FLEXIBLAS",  # the variable itself names the library
    "NPY_DISABLE_CPU_FEATURES",
    "NPY_ENABLE_CPU_FEATURES",
)
"""Variables that choose kernels begin so: those of the BLAS libraries that threadpoolctl knows, or
are used on ARM, and of numpy's own loops. No other variable of the caller reaches a sandbox.
"""
_OF_THREADS = "NUM_THREADS"
_LOOK = """
import json, numpy, scipy.linalg, threadpoolctl
blas = [one for one in threadpoolctl.threadpool_info() if one["user_api"] == "blas"]
simd = numpy.show_config(mode="dicts").get("SIMD Extensions", {})
print(json.dumps([blas, simd.get("found", [])]))
"""


class Kernels(NamedTuple):
    """What computes in a sandbox.

    Attributes
    ----------
    blas : tuple of str
        Library, version and architecture of the BLAS that numpy and scipy have, as "openblas 0.3.30
        Haswell".
    simd : tuple of str
        Processor features that numpy's loops use beyond those it was built for.
    chosen : dict of str to str
        Variables that chose them.
    """

    blas: tuple[str, ...]
    simd: tuple[str, ...]
    chosen: dict[str, str]


def chosen_by(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables of an environment that choose kernels, by name."""
    return {
        name: value
        for name, value in sorted(environment.items())
        if name.startswith(PREFIXES) and _OF_THREADS not in name
    }


def kernels_in_use() -> Kernels:
    """What a sandbox of this process computes with. The first call starts a process, for a third of
    a second.

    Raises
    ------
    SandboxUnavailable
        numpy and scipy do not start under the variables.
    """
    chosen = chosen_by(os.environ)
    blas, simd = _loaded(tuple(chosen.items()))
    return Kernels(blas, simd, chosen)


@functools.cache
def _loaded(chosen: tuple[tuple[str, str], ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """A fresh process is asked, because this one may have loaded the BLAS of torch as well, and
    before the variables were set; inside bubblewrap threadpoolctl finds nothing
    (`bubblewrap.CONSTANTS`).
    """
    python = [sys.executable, "-s", "-B", "-P", "-c", _LOOK]
    done = subprocess.run(
        python, env=dict(chosen), cwd="/", capture_output=True, text=True, check=False
    )
    if done.returncode:
        words = (done.stderr.strip() or f"exit status {done.returncode}").splitlines()[-1]
        names = ", ".join(name for name, _ in chosen) or "no variable"
        raise SandboxUnavailable(f"numpy does not start in a fresh process ({names} set): {words}")
    blas, simd = json.loads(done.stdout.splitlines()[-1])
    named = (
        f"{one['internal_api']} {one['version']} {one.get('architecture') or ''}".strip()
        for one in blas
    )
    return tuple(sorted(set(named))), tuple(sorted(simd))
