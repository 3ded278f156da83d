"""`answer`: from a query to its text."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from marl_llm.environment.analysis.distribution import distribution, outliers
from marl_llm.environment.analysis.importance import importance
from marl_llm.environment.analysis.leakage import leakage
from marl_llm.environment.analysis.missing import missing
from marl_llm.environment.analysis.performance import calibration, confusion, errors, segments
from marl_llm.environment.analysis.relations import correlation, information, target
from marl_llm.environment.analysis.view import AnalysisView
from marl_llm.environment.analysis.wording import Answer
from marl_llm.proposals import Analyze
from marl_llm.sandbox import Status

_QUERIES: dict[str, Callable[[AnalysisView, Sequence[str]], Answer]] = {
    "distribution": distribution,
    "missing": missing,
    "correlation": correlation,
    "information": information,
    "target": target,
    "outliers": outliers,
    "leakage": leakage,
    "errors": errors,
    "confusion": confusion,
    "segments": segments,
    "importance": importance,
    "calibration": calibration,
}


def answer(query: Analyze, view: AnalysisView) -> str:
    """Answer one query.

    Parameters
    ----------
    query : Analyze
        With columns as aliases. `distribution` and `target` answer the first three of them.
    view : AnalysisView
        What the answer is computed from, and its budget.

    Returns
    -------
    str
        At most `view.budget` tokens, the same every time. One line, but for snippets.
    """
    told = (
        _snippet(view, query.code)
        if query.query == "code"
        else _QUERIES[query.query](view, query.columns)
    )
    return told.render(view.budget, view.count)


def _snippet(view: AnalysisView, code: str) -> Answer:
    if view.run_snippet is None:
        return Answer(("snippets cannot be run here",))
    result = view.run_snippet(code)
    if result.status is not Status.ok:
        return Answer(
            (
                f"{result.status}: {result.error}"
                if result.status is not Status.error
                else result.error,
            )
        )
    if not result.text:
        return Answer(("the snippet gave nothing: end it with an expression, or print",))
    return Answer(tuple(result.text.split("\n")), joint="\n")
