"""Classes of the user's own, named by their import path."""

from __future__ import annotations

import importlib


def import_object(path: str) -> object:
    """What `path`, "package.module:Name", names.

    Raises
    ------
    ValueError
        It cannot be imported; the message continues a sentence that begins with the path.
    """
    module, _, name = path.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise ValueError(
            f"cannot be imported ({error}): write module:Class, and install the module, or put its "
            "directory on PYTHONPATH"
        ) from None
