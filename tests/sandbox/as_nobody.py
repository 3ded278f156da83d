"""Evaluate at one level and print what came of it: `python -m tests.sandbox.as_nobody LEVEL`. What
the tests of an unprivileged user start.
"""

from __future__ import annotations

import json
import os
import sys

from marl_llm.sandbox import Fold, Sandbox, SandboxUnavailable
from marl_llm.sandbox.selftest import check_slot
from tests.sandbox.support import ESTIMATOR, HONEST, noise

_READS_THE_HOST = ESTIMATOR.replace(
    "    def fit(self, X, y):", "    def fit(self, X, y):\n        open('/etc/passwd').read()"
)


def main(level: str) -> None:
    """Print a JSON object: who evaluates, and what happened, or why nothing did."""
    frame, labels = noise()
    fold = Fold.prepare(frame, labels, frame, n_classes=2, seed=0)
    found: dict[str, object] = {"uid": os.getuid()}
    try:
        with Sandbox(level=level) as sandbox:
            check = check_slot(sandbox._slots[0], sandbox._level)
            found["failed"] = [name for name, passed, _ in check.checks if not passed]
            for name, code in (("honest", HONEST), ("reads the host", _READS_THE_HOST)):
                found[name] = sandbox.evaluate(code, [fold]).status
            found["isolation"] = sandbox.level
    except SandboxUnavailable as reason:
        found["refused"] = str(reason)
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
