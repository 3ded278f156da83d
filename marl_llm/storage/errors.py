"""Errors of storage clients as sentences: no such bucket, no permission, no package, no network."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from marl_llm.core.errors import RunFailed, UserError
from marl_llm.storage.address import RunAddress

_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}
"""Protocol, and the extra of this package that brings its client."""
_CLIENT_ERRORS = {
    "botocore.exceptions": ("BotoCoreError", "ClientError"),
    "aiohttp": ("ClientError",),
    "google.auth.exceptions": ("GoogleAuthError",),
    "gcsfs.retry": ("HttpError",),
}
"""What clients raise besides OSError, by module."""
_NO_CREDENTIALS = {"NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError"}


def client_errors() -> tuple[type[Exception], ...]:
    """Classes of errors that the storage clients loaded in this process raise."""
    found: list[type[Exception]] = [OSError]
    for module, names in _CLIENT_ERRORS.items():
        if module in sys.modules:
            loaded = importlib.import_module(module)
            found += [getattr(loaded, name) for name in names]
    return tuple(found)


@contextmanager
def told(address: RunAddress, doing: str) -> Iterator[None]:
    """Run a block that asks the storage; `doing` says what for, e.g. "written".

    Raises
    ------
    UserError
        There is no such bucket, or no permission, or there are no credentials.
    RunFailed
        The storage cannot be reached or refuses otherwise; the same command goes on.
    """
    try:
        yield
    except FileExistsError:
        raise
    except FileNotFoundError as error:
        raise UserError(
            f"{address}: there is no such bucket or directory ({_reason(error)}); make it, or "
            "name another."
        ) from error
    except PermissionError as error:
        raise UserError(
            f"{address} may not be {doing} with these credentials ({_reason(error)}); use others, "
            "or have the permission granted."
        ) from error
    except client_errors() as error:
        if type(error).__name__ in _NO_CREDENTIALS:
            raise UserError(
                f"{address}: there are no credentials ({_reason(error)}); set them where the "
                "storage's own client looks for them (environment or its files)."
            ) from error
        raise RunFailed(
            f"{address} cannot be {doing} ({_reason(error)}); what is finished is kept, the same "
            "command goes on from there."
        ) from error


def missing_package(address: RunAddress, error: ImportError) -> UserError:
    """The sentence for a client that is not installed; it names the extra where there is one."""
    extra = _EXTRAS.get(address.protocol)
    if extra:
        return UserError(
            f"{address} needs a package that is not installed: pip install 'marl_llm[{extra}]'."
        )
    return UserError(f"{address} needs a package that is not installed: {error}.")


def _reason(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())[:200].rstrip(".")
