"""Runs a candidate's text in a child: load, build, describe, predict, and say in one line what went
wrong.

Everything this module returns has passed through memory that the candidate can write. The host
trusts none of it.
"""

from __future__ import annotations

import builtins
import json
import sys
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

CANDIDATE_FILE = "<candidate>"
PRELUDE_FILE = "<prelude>"
_MODULE = "candidate"
_MAX_PARAMETERS = 300
_MAX_PARAMETER_CHARACTERS = 200
_MAX_MESSAGE_CHARACTERS = 2000


class BadPredictions(Exception):
    """The estimator's predictions have the wrong shape or type."""


def load(prelude: str, code: str) -> Callable[[], Any]:
    """Execute prelude and code in one fresh module and return its `build_pipeline`.

    Raises
    ------
    NameError
        When the code does not define `build_pipeline`.
    BaseException
        Whatever the code raises.
    """
    module = types.ModuleType(_MODULE)
    sys.modules[_MODULE] = module
    module.__dict__["__builtins__"] = builtins
    for text, name in ((prelude, PRELUDE_FILE), (code, CANDIDATE_FILE)):
        exec(compile(text, name, "exec", dont_inherit=True), module.__dict__)
    build = module.__dict__.get("build_pipeline")
    if not callable(build):
        raise NameError("the code does not define a function build_pipeline()")
    return build


def describe(estimator: object) -> bytes:
    """JSON with the estimator's class and parameters, forgeable. Values are reprs, but an
    estimator is its class: its own parameters follow, and scikit-learn takes 25 ms to print them.
    """
    content: dict[str, object] = {"class": type(estimator).__name__}
    try:
        content["params"] = _parameters(estimator)
    # A candidate's own __repr__ or get_params may raise anything, and fitting may still work.
    except Exception as error:
        content["error"] = f"{type(error).__name__}: {error}"[:_MAX_PARAMETER_CHARACTERS]
    return json.dumps(content).encode()


def _parameters(estimator: Any) -> dict[str, str]:
    parameters = estimator.get_params() if hasattr(estimator, "get_params") else {}
    chosen = list(parameters.items())[:_MAX_PARAMETERS]
    return {
        str(name)[:_MAX_PARAMETER_CHARACTERS]: _shown(value)[:_MAX_PARAMETER_CHARACTERS]
        for name, value in chosen
    }


def _shown(value: Any) -> str:
    if _is_estimator(value):
        return f"{type(value).__name__}(...)"
    if isinstance(value, list | tuple) and any(  # of steps, say
        isinstance(part, list | tuple) or _is_estimator(part) for part in value
    ):
        return f"[{', '.join(map(_shown, value))}]"
    return repr(value)


def _is_estimator(value: Any) -> bool:
    return hasattr(value, "get_params") and not isinstance(value, type)


def predict(estimator: Any, rows: pd.DataFrame, classes: int | None) -> bytes:
    """Predictions as little-endian bytes.

    Regression: float64, shape (n,). Classification: int64 class index, shape (n,), then float64
    probabilities, shape (n, classes), one-hot where the estimator has no `predict_proba`.
    """
    import numpy as np

    values = _column(np.asarray(estimator.predict(rows)), len(rows))
    if classes is None:
        return values.astype("<f8").tobytes()
    labels = values.astype("<i8")
    if not (labels == values).all() or labels.min() < 0 or labels.max() >= classes:
        raise BadPredictions(f"predict must return class indices 0 to {classes - 1}")
    return labels.tobytes() + _probabilities(estimator, rows, labels, classes).tobytes()


def _column(values: np.ndarray, rows: int) -> np.ndarray:
    if values.shape not in ((rows,), (rows, 1)):
        raise BadPredictions(f"predict returned shape {values.shape} for {rows} rows")
    return values.reshape(rows)


def _probabilities(
    estimator: Any, rows: pd.DataFrame, labels: np.ndarray, classes: int
) -> np.ndarray:
    import numpy as np

    if not hasattr(estimator, "predict_proba"):
        return np.eye(classes, dtype="<f8")[labels]
    given = np.asarray(estimator.predict_proba(rows), dtype="<f8")
    known = np.asarray(
        getattr(estimator, "classes_", range(classes)), dtype=int
    )  # a fold may lack a rare class
    if given.shape != (len(rows), len(known)):
        raise BadPredictions(
            f"predict_proba returned shape {given.shape}, expected {(len(rows), len(known))}"
        )
    full = np.zeros((len(rows), classes), dtype="<f8")
    full[:, known] = given
    return full


def report_failure(error: BaseException) -> bytes:
    """JSON with the kind of failure, the exception's class and message, and the candidate's last
    line on its way.
    """
    kind = "memory" if isinstance(error, MemoryError) else "error"
    if isinstance(error, BadPredictions):
        kind = "bad_predictions"
    message = error.msg if isinstance(error, SyntaxError) else str(error)
    content = {
        "kind": kind,
        "type": type(error).__name__[:100],
        "message": str(message)[:_MAX_MESSAGE_CHARACTERS],
        "line": _line(error),
    }
    return json.dumps(content).encode()


def _line(error: BaseException) -> int | None:
    if isinstance(error, SyntaxError) and error.filename == CANDIDATE_FILE:
        return error.lineno
    line, step = None, error.__traceback__
    while step is not None:
        if step.tb_frame.f_code.co_filename == CANDIDATE_FILE:
            line = step.tb_lineno
        step = step.tb_next
    return line
