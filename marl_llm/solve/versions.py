"""The versions that a fitted model needs, kept in its file in front of the model.

scikit-learn's models can be loaded reliably by the version that fitted them only; with another one
they fail somewhere, or predict something else. So `Needs` stands before the model in
`model.joblib`, and is checked while the file is loaded, by whatever loads it.
"""

from __future__ import annotations

import pickle
import platform
import zlib
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from marl_llm.core.errors import UserError
from marl_llm.proposals import PipelineSpec
from marl_llm.proposals.estimators import ESTIMATORS

_ALWAYS = ("scikit-learn", "pandas", "numpy")
_PYTHON = "python"
_ZLIB = b"x"
_BROKEN = (
    pickle.UnpicklingError,
    zlib.error,
    ValueError,
    EOFError,
    LookupError,
    ImportError,
    AttributeError,
)


def versions_for(spec: PipelineSpec) -> dict[str, str]:
    """Installed versions of what a solution runs on: Python, scikit-learn, pandas, numpy, and the
    boosting libraries that it uses.
    """
    plain = spec.members or (spec,)
    used = {ESTIMATORS[one.estimator].module.split(".")[0] for one in plain} - {"sklearn"}
    return {_PYTHON: platform.python_version()} | {
        name: _installed(name) for name in (*_ALWAYS, *sorted(used))
    }


class Needs(dict[str, str]):
    """Versions by package; they are compared with the installed ones while they are unpickled, by
    which they become a plain dict.
    """

    def __reduce__(self) -> tuple[object, tuple[dict[str, str]]]:
        return checked, (dict(self),)


def checked(needs: Mapping[str, str]) -> dict[str, str]:
    """The same versions.

    Raises
    ------
    UserError
        Another release (the first two numbers of a version) is installed, or none.
    """
    here = {_PYTHON: platform.python_version()}
    here |= {name: _installed(name) for name in needs if name != _PYTHON}
    others = [name for name in needs if _release(needs[name]) != _release(here[name])]
    if not others:
        return dict(needs)
    made = ", ".join(f"{name} {needs[name]}" for name in others)
    found = ", ".join(f"{name} {here[name]}" if here[name] else f"no {name}" for name in others)
    raise UserError(
        f"This model was fitted with {made}, and here is {found}: install what it was fitted with, "
        "or fit it again with the solution.py beside it."
    )


def load_model(path: Path | str) -> dict[str, object]:
    """The content of a `model.joblib`: "model", "columns", "classes", "needs" and more.

    Only load a file from a source you trust: it runs code.

    Raises
    ------
    UserError
        There is none, it holds no model of `solve`, or was fitted with other versions.
    """
    import joblib

    try:
        _check_sum(path)
        content = joblib.load(path)
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror or error}): give a model.joblib."
        ) from None
    except _BROKEN as error:
        raise UserError(f"{path} is no model of marl-llm solve ({error}): give another.") from None
    if not isinstance(content, dict) or "model" not in content:
        raise UserError(f"{path} holds something else than a model: give a model.joblib.")
    return content


def _check_sum(path: Path | str) -> None:
    """Unpack a compressed file to its end, where its check sum is: joblib stops before."""
    packed = Path(path).read_bytes()
    if packed.startswith(_ZLIB):
        zlib.decompress(packed)


def _installed(package: str) -> str:
    """Its version, "" if there is none; xgboost has two distributions."""
    for name in (package, f"{package}-cpu"):
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return ""


def _release(version: str) -> list[str]:
    return version.split(".")[:2]
