"""The data card: what a directory of trajectories holds and what each column means, in Markdown.

Everything about columns comes from the schema's metadata; a dataset page on the Hugging Face Hub
shows it as it is.
"""

from __future__ import annotations

import pyarrow as pa

from marl_llm.trajectories.row import SCHEMA_VERSION
from marl_llm.trajectories.schema import SCHEMA
from marl_llm.trajectories.store import Manifest

_HEAD = """---
pretty_name: marl_llm trajectories
configs:
  - config_name: default
    data_files: "part-*.parquet"
---

# Trajectories of two language model agents

One row per model call of a Data Scientist and an ML Engineer that improve a scikit-learn pipeline
on a CSV together. Tokens are stored as they were sampled, with the log-probability each had when it
was sampled. Gains rest on hold-out rows that no agent has seen. Rows hold facts; rewards follow
from them by weights of your choice (`marl-llm credit --rewards`). Read it with
`datasets.load_dataset("parquet", data_files="part-*.parquet")`.
"""


def data_card(manifest: Manifest | None = None) -> str:
    """Return the card as Markdown; `manifest` (from `write_manifest`) adds the counts and package
    versions.
    """
    title = f"## Columns (schema {SCHEMA_VERSION})\n"
    sections = [_HEAD, *([_counts(manifest)] if manifest else []), title, columns_table()]
    return "\n".join(sections) + "\n"


def columns_table() -> str:
    """Every column of a trajectory, as a Markdown table."""
    head = ["| column | type | unit | meaning |", "|---|---|---|---|"]
    return "\n".join([*head, *map(_line, SCHEMA)])


def _line(field: pa.Field) -> str:
    metadata = {key.decode(): value.decode() for key, value in field.metadata.items()}
    kind = (
        "JSON text" if metadata["format"] == "json" else str(field.type).replace("<element: ", "<")
    )
    kind += ", may be missing" if field.nullable else ""
    return f"| `{field.name}` | {kind} | {metadata['unit']} | {metadata['description']} |"


def _counts(manifest: Manifest) -> str:
    roles = ", ".join(f"{role} {rows}" for role, rows in manifest["rows_per_role"].items())
    packages = ", ".join(f"{name} {version}" for name, version in manifest["packages"].items())
    return (
        f"## Content\n\n- {manifest['episodes']} episodes, {manifest['rows']} model calls "
        f"({roles})\n"
        f"- {manifest['prompt_tokens']} prompt tokens, {manifest['completion_tokens']} "
        "completion tokens\n"
        f"- made with {packages}\n"
    )
