"""The parquet schema of a trajectory, derived from `Row`: types, nullability, and per column its
description and unit as field metadata, so that a part file explains itself.
"""

from __future__ import annotations

from typing import get_args, get_type_hints

import pyarrow as pa

from marl_llm.trajectories.row import SCHEMA_VERSION, Doc, Row


def _field(name: str, annotation: object) -> pa.Field:
    base, *extras = get_args(annotation)
    kind = next(extra for extra in extras if isinstance(extra, pa.DataType))
    doc = next(extra for extra in extras if isinstance(extra, Doc))
    metadata = {
        "description": doc.text,
        "unit": doc.unit,
        "format": "json" if "json" in extras else "",
    }
    return pa.field(name, kind, nullable=type(None) in get_args(base), metadata=metadata)


def _schema() -> pa.Schema:
    hints = get_type_hints(Row, include_extras=True)
    columns = [_field(name, annotation) for name, annotation in hints.items()]
    return pa.schema(columns, metadata={"marl_llm_schema_version": str(SCHEMA_VERSION)})


SCHEMA = _schema()
"""pyarrow schema of a part file. Field metadata: description, unit, format ("json" for JSON text).
"""
