"""Runs untrusted pipeline code; labels stay outside.

`Sandbox.evaluate(code, folds)` gives raw predictions and nothing else that could be believed;
`Sandbox.analyze(code, frame, labels)` gives the text that a pandas snippet prints. Covered: files,
network, other processes and evaluations, memory, CPU and wall time, row order, forged results. Not
covered: bugs of the kernel (put the whole program into a virtual machine against determined
strangers), timing channels between slots that run at the same time, and candidates that know a
public data set by heart.

The same candidate on the same fold gives the same predictions, bit for bit, under the same seed,
package versions and kernels (`kernels_in_use()`: which BLAS routines and numpy loops compute): in
every slot and level, and in a process with the same environment and one thread. Other kernels, as
on another processor, differ in the last bits; the evaluation cache keeps them apart.
"""

from __future__ import annotations

from marl_llm.sandbox.fold import Fold
from marl_llm.sandbox.kernels import Kernels, kernels_in_use
from marl_llm.sandbox.pool import SandboxPool
from marl_llm.sandbox.results import (
    Evaluation,
    Level,
    Limits,
    Probe,
    SandboxUnavailable,
    Stage,
    Status,
)
from marl_llm.sandbox.sandbox import Sandbox
from marl_llm.sandbox.selftest import SelfTest, self_test
from marl_llm.sandbox.snippets import SnippetResult

__all__ = [
    "Evaluation",
    "Fold",
    "Kernels",
    "Level",
    "Limits",
    "Probe",
    "Sandbox",
    "SandboxPool",
    "SandboxUnavailable",
    "SelfTest",
    "SnippetResult",
    "Stage",
    "Status",
    "kernels_in_use",
    "self_test",
]
