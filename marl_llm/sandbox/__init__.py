"""Runs untrusted pipeline code; labels stay outside.

`Sandbox.evaluate(code, folds)` gives raw predictions and nothing else that could be believed; `Sandbox.analyze(code,
frame, labels)` gives the text that a pandas snippet prints. Covered: files, network, other processes and evaluations,
memory, CPU and wall time, row order, forged results. Not covered: bugs of the kernel (put the whole program into a
virtual machine against determined strangers), timing channels between slots that run at the same time, and candidates
that know a public data set by heart.
"""

from __future__ import annotations

from marl_llm.sandbox.fold import Fold
from marl_llm.sandbox.results import Evaluation, Level, Limits, Probe, SandboxUnavailable, Stage, Status
from marl_llm.sandbox.sandbox import Sandbox
from marl_llm.sandbox.selftest import SelfTest, self_test
from marl_llm.sandbox.snippets import SnippetResult

__all__ = [
    "Evaluation",
    "Fold",
    "Level",
    "Limits",
    "Probe",
    "Sandbox",
    "SandboxUnavailable",
    "SelfTest",
    "SnippetResult",
    "Stage",
    "Status",
    "self_test",
]
