"""A million rows fit into 4 GB: memory is measured on fewer, where it is quick."""

from __future__ import annotations

from pathlib import Path

import pytest
from large import measure, write_large

ROWS, CELLS_OF_A_MILLION = 60_000, 50_000_000
LIMIT = 4 * 2**30  # bytes for 1,000,000 rows of 50 columns


@pytest.mark.parametrize("shape", ["numbers", "messy"])
def test_a_cell_takes_less_memory_than_four_gigabytes_allow_for_a_million_rows(
    tmp_path: Path, shape: str
):
    path = tmp_path / "large.csv"
    write_large(path, shape, ROWS)
    found = measure(path)
    assert found["columns"] == 49
    grown = (found["peak_mib"] - found["before_mib"]) * 2**20 / (ROWS * 50)
    assert grown < (LIMIT - found["before_mib"] * 2**20) / CELLS_OF_A_MILLION
