"""The texts of a built suite: `suite.yaml`, and a README with origin and licence of each table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import yaml

from marl_llm.tasks.training_suite.declared import Made, Table

_COMMAND = "marl-llm suite build"


def suite_text(tables: Sequence[Table]) -> str:
    """The suite file of these tables."""
    header = f"# Written by `{_COMMAND}`. Metrics are scikit-learn scorer names with weights.\n"
    entries = [table.entry() for table in tables]
    return header + yaml.safe_dump(
        entries, sort_keys=False, default_flow_style=None, width=1000, allow_unicode=True
    )


def readme(tables: Sequence[Table], made: Mapping[str, Made], versions: Mapping[str, str]) -> str:
    """Licence, source, size and checksum of each table, as Markdown."""
    lines = [
        "# Training suite",
        "",
        f"Real tables, written by `{_COMMAND}` from packages of PyPI: "
        + ", ".join(f"{name} {version}" for name, version in versions.items())
        + ". For training on this machine. Each table stays under the licence of its package: read "
        "it before you pass a copy on.",
        "",
        "| file | from | target | kind | rows x columns | licence | source | sha256 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for table in tables:
        entry = made[table.name]
        cells = (
            f"{table.name}.csv",
            table.origin,
            table.target,
            str(table.kind),
            f"{entry['rows']} x {entry['columns']}",
            table.licence,
            table.source,
            entry["sha256"][:16],
        )
        lines.append("| " + " | ".join(cell.replace("|", "or") for cell in cells) + " |")
    return "\n".join(lines) + "\n"
