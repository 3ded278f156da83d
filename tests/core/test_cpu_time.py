"""CPU time of a tree of processes, measured on real ones."""

from __future__ import annotations

import subprocess
import sys

import pytest

from marl_llm.core.cpu_time import tree_cpu_seconds

_BURN = "import time\nwhile time.process_time() < 0.6: pass\n"
_PARENT = f"""
import sys
from subprocess import PIPE, Popen, run
run([sys.executable, "-c", {_BURN!r}])
code = {_BURN!r} + "print('burnt', flush=True)\\ninput()"
living = Popen([sys.executable, "-c", code], stdin=PIPE, stdout=PIPE)
living.stdout.readline()
print("ready", flush=True)
input()
"""


def test_a_living_child_and_one_that_has_ended_both_count():
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", _PARENT], stdin=pipe, stdout=pipe) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        assert tree_cpu_seconds(parent.pid) == pytest.approx(1.3, abs=0.25)
        parent.communicate(b"\n")
    assert tree_cpu_seconds(parent.pid) == 0
