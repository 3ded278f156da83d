"""scikit-learn's bundled data sets as real CSV files with a suite file.

`python -m marl_llm.tasks.bundled DIR` writes iris, wine, breast_cancer and diabetes and
`suite.yaml`; `--all` adds digits (500 KB, not committed). Nothing is downloaded.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import yaml

from marl_llm.core.kind import Kind
from marl_llm.core.metrics.names import default_metrics
from marl_llm.tasks.suite import SUITE_FILE


@dataclass(frozen=True)
class Bundled:
    """A data set of `sklearn.datasets`: its loader is `load_<name>`; `target` is our name for the
    target column.
    """

    name: str
    target: str
    kind: Kind
    small: bool = True


DATA_SETS = (
    Bundled("iris", "species", Kind.multiclass),
    Bundled("wine", "cultivar", Kind.multiclass),
    Bundled("breast_cancer", "diagnosis", Kind.binary),
    Bundled("diabetes", "progression", Kind.regression),
    Bundled("digits", "digit", Kind.multiclass, small=False),
)


def bundled_frame(data_set: Bundled) -> pd.DataFrame:
    """Features under scikit-learn's names, in their original units, then the target; classes by
    name.
    """
    from sklearn import datasets  # slow, and only needed here

    options = {"scaled": False} if data_set.name == "diabetes" else {}
    bunch = getattr(datasets, f"load_{data_set.name}")(as_frame=True, **options)
    target = bunch.target
    if data_set.kind.is_classification:
        target = target.map(lambda code: str(bunch.target_names[code]))
    return bunch.data.assign(**{data_set.target: target})


def write_bundled(directory: Path | str, include_large: bool = False) -> list[Path]:
    """Write the CSVs and `suite.yaml`; returns the paths of the CSVs. Same files each time, byte
    for byte.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    chosen = [data_set for data_set in DATA_SETS if data_set.small or include_large]
    paths = [directory / f"{data_set.name}.csv" for data_set in chosen]
    for data_set, path in zip(chosen, paths, strict=True):
        bundled_frame(data_set).to_csv(path, index=False, lineterminator="\n")
    entries = [
        {
            "csv": path.name,
            "target": data_set.target,
            "kind": str(data_set.kind),
            "metrics": default_metrics(data_set.kind),
        }
        for data_set, path in zip(chosen, paths, strict=True)
    ]
    header = (
        "# Written by `python -m marl_llm.tasks.bundled`. Metrics are scikit-learn scorer names "
        "with weights.\n"
    )
    text = header + yaml.safe_dump(entries, sort_keys=False, default_flow_style=None, width=200)
    (directory / SUITE_FILE).write_text(text, encoding="utf-8")
    return paths


def main(arguments: list[str] | None = None) -> int:
    """Command line: write the files and name them."""
    parser = argparse.ArgumentParser(
        prog="python -m marl_llm.tasks.bundled",
        description="Write scikit-learn's bundled data sets as CSV files.",
    )
    parser.add_argument("directory", type=Path)
    parser.add_argument("--all", action="store_true", help="digits as well (500 KB)")
    options = parser.parse_args(arguments)
    for path in write_bundled(options.directory, include_large=options.all):
        sys.stdout.write(f"{path}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
