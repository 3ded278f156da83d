"""What the readers of replies forgive, by name: a model that was never trained on the grammar means
the right thing in other words. Rows count it (`forgiven`), so that a report can say how much of a
model's success is the readers' work.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class Forgiven(StrEnum):
    """One way in which a reply may differ from the grammar without leaving its meaning in doubt."""

    fence = "fence"
    """An action or line edits stand in a code fence."""
    prose = "prose"
    """There is text around the answer."""
    more_lines = "more_lines"
    """Something follows the action: the first one counts."""
    wrapped = "wrapped"
    """One action or edit is spread over several lines."""
    bullet = "bullet"
    """A bullet, a number or a heading's mark stands before it."""
    label = "label"
    """A label such as `Answer:` or `line` stands before it."""
    quotes = "quotes"
    """Quotation marks, backticks or asterisks are too many or missing."""
    case = "case"
    """Upper and lower case are mixed up."""
    verb = "verb"
    """The action's name is spelled in another way, e.g. `propose model`."""
    separator = "separator"
    """A colon stands for an equals sign, a comma or semicolon is missing or replaced."""
    call = "call"
    """The action or operation is written like a call, e.g. `tune(C=0.3)`."""
    json = "json"
    """The action is the JSON of the schema, or a Python dictionary like it."""
    bare_estimator = "bare_estimator"
    """An estimator stands alone, or is assigned, without `propose_model`."""
    estimator_name = "estimator_name"
    """An estimator goes by another name that only one of the catalogue fits."""
    number = "number"
    """A number is quoted, or a whole number has decimals."""
    ignored_parameter = "ignored_parameter"
    """A parameter that the environment sets (seed, threads, output) was left out."""
    no_fence = "no_fence"
    """A whole program stands outside of a code fence."""
    more_fences = "more_fences"
    """Several code fences: one of them is the answer."""
    line_numbers = "line_numbers"
    """Every line of a whole program has its number."""
    edit_sign = "edit_sign"
    """A line edit without its sign, e.g. `9: text`."""
    diff = "diff"
    """Line edits that quote the old line."""


def in_order(found: Iterable[Forgiven]) -> tuple[Forgiven, ...]:
    """Each once, in the order of their definition.

    >>> [one.value for one in in_order([Forgiven.diff, Forgiven.verb, Forgiven.diff])]
    ['verb', 'diff']
    """
    wanted = set(found)
    return tuple(one for one in Forgiven if one in wanted)
