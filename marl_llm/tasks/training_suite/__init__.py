"""A training suite of real tables that packages on PyPI ship: declared here as data, built on the
user's machine.

`tables.yaml` names package, table, target, kind, metrics, licence and source; `held_out.yaml` names
what may never be among them. `build_suite` writes CSVs and a `suite.yaml`. No content of a table is
part of this repository.
"""

from marl_llm.tasks.training_suite.build import BuildReport, build_suite
from marl_llm.tasks.training_suite.declared import Table, declared_tables

__all__ = ["BuildReport", "Table", "build_suite", "declared_tables"]
