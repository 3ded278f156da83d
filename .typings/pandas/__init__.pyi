"""pandas carries annotations in its code but no `py.typed`; these are the same names as stubs."""

import pandas.api as api
import pandas.errors as errors
from _typeshed import Incomplete
from pandas._config import set_option as set_option
from pandas.core.api import *
from pandas.core.reshape.api import *
from pandas.io.api import read_csv as read_csv
from pandas.io.api import read_parquet as read_parquet

__all__ = ["api", "errors"]  # modules that are reached through `pd`

def __getattr__(name: str) -> Incomplete: ...
