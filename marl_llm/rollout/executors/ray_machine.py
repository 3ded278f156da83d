"""What a machine of a cluster must have in common with the others, and how errors travel."""

from __future__ import annotations

import functools
import socket
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from marl_llm.core.errors import RunFailed, UserError
from marl_llm.environment.cache.keys import versions
from marl_llm.sandbox import kernels_in_use


@dataclass(frozen=True)
class Computes:
    """What predictions depend on besides the candidate: two machines that have all of it in common
    predict the same, bit for bit.

    Attributes
    ----------
    package : str
        Version of this package.
    versions : tuple of (str, str)
        Of Python, of the libraries that compute, and the processor's architecture.
    kernels : tuple of str
        BLAS routines and processor features in use.
    """

    package: str
    versions: tuple[tuple[str, str], ...]
    kernels: tuple[str, ...]

    @classmethod
    @functools.cache
    def here(cls) -> Computes:
        """Of this machine."""
        kernels = kernels_in_use()
        return cls(
            metadata.version("marl_llm"),
            tuple(versions().items()),
            (*kernels.blas, *kernels.simd),
        )

    def require_here(self) -> None:
        """Check this machine.

        Raises
        ------
        UserError
            It computes otherwise: the sentence names the machine and the first difference.
        """
        found = Computes.here()
        if found == self:
            return
        name = socket.gethostname()
        if found.package != self.package:
            what = f"marl_llm {found.package}, this one {self.package}: install one version"
        elif found.versions != self.versions:
            (key, there), here = next(
                (a, b) for a, b in zip(found.versions, self.versions, strict=False) if a != b
            )
            what = f"{key} {there}, this one {' '.join(here)}: install the same packages"
        else:
            what = (
                f"the kernels {', '.join(found.kernels)}, this one {', '.join(self.kernels)}: "
                "set OPENBLAS_CORETYPE and NPY_DISABLE_CPU_FEATURES alike"
            )
        raise UserError(
            f"The machine {name} of the Ray cluster has {what} on all machines, so that every "
            "evaluation is the same wherever it runs."
        )


def portable(error: UserError) -> UserError:
    """A person's error as an answer: raised, Ray would wrap it, and some take more than a
    sentence.
    """
    return (RunFailed if isinstance(error, RunFailed) else UserError)(str(error))


def refused(answer: Any) -> Any:
    """An answer of another process; raises it where it is a person's error."""
    if isinstance(answer, UserError):
        raise answer
    return answer
