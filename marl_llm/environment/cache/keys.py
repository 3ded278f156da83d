"""What an evaluation depends on, as a key: equal keys, equal predictions.

The key of one candidate on one fold is made of the candidate's syntax tree, the prelude, the fold's
content (rows, labels, order), seeds, limits, isolation, the versions of everything that computes,
and the kernels it computes with: a run that moves to another processor compares nothing with what
was predicted on the one before. Keys are computed in the trusted process only.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import json
import platform
from importlib import metadata

from marl_llm.core.syntax import parse
from marl_llm.sandbox import Fold, Limits, kernels_in_use

_MEANING = 2
"""Count up when the same candidate on the same fold may give other predictions, because the sandbox
changed.
"""
_LIBRARIES = ("numpy", "pandas", "scikit-learn", "scipy", "lightgbm", "xgboost", "catboost")


def code_key(code: str) -> str | None:
    """The code's syntax tree as text, so that layout and comments do not count; None where it does
    not parse.
    """
    try:
        return ast.dump(parse(code))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def same_code(a: str, b: str) -> bool:
    """True if two codes differ at most in layout and comments.

    >>> same_code("est = SVC(C = 1)  # as before", "est = SVC(C=1)"), same_code("SVC(", "SVC(")
    (True, False)
    """
    return code_key(a) is not None and code_key(a) == code_key(b)


@functools.cache
def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that compute predictions, and the processor's
    architecture.
    """
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def fold_key(fold: Fold) -> str:
    """Digest of all that a fold tells the sandbox and of how its predictions are put back into
    order.
    """
    digest = hashlib.blake2b(str(fold.n_classes).encode(), digest_size=16)
    for block in (fold.train, fold.valid, fold.probe):
        digest.update(json.dumps(block.layout._asdict()).encode())
        digest.update(block.content)
    digest.update(fold.valid_order.tobytes())
    return digest.hexdigest()


def run_key(
    tree: str,
    prelude: str,
    fold: str,
    *,
    seed: int,
    limits: Limits,
    level: str,
    describe: bool,
    probe: bool,
) -> str:
    """Key of one candidate on one fold.

    Parameters
    ----------
    tree : str
        Of the candidate: `code_key`.
    prelude : str
        Trusted text that runs before it.
    fold : str
        `fold_key`.
    seed : int
        Of numpy and random in the sandbox.
    limits, level
        Of the sandbox.
    describe, probe : bool
        Whether the estimator is described, and the consistency of predictions checked: part of what
        is stored.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    depends_on = {
        "meaning": _MEANING,
        "tree": tree,
        "prelude": prelude,
        "fold": fold,
        "seed": seed,
        "limits": vars(limits),
        "level": level,
        "describe": describe,
        "probe": probe,
        "versions": versions(),
        "kernels": kernels_in_use(),
    }
    return hashlib.sha256(json.dumps(depends_on, sort_keys=True).encode()).hexdigest()
