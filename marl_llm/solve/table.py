"""The lines of text that `solve` shows while it works: one a step, then what is delivered. Plain data in, text out."""

from __future__ import annotations

from marl_llm.environment import State
from marl_llm.metrics import Scores
from marl_llm.rollout.episode import StepRecord
from marl_llm.sandbox.results import one_line

_SUGGESTION, _NOTE = 46, 80  # most characters of what an agent wrote
_LAYOUT = "{:>4}  {:<46}  {:<12}  {:>15}  {:>6}  {:>6}  {}"
HEADER = _LAYOUT.format("step", "suggestion", "verdict", "score", "gain", "p", "metrics on the hold-out part")


def metrics_text(raw: dict[str, float]) -> str:
    """Raw metrics, e.g. "f1_macro 0.712, neg_log_loss -0.41"."""
    return ", ".join(f"{name} {value:.4g}" for name, value in raw.items())


def baseline_line(state: State) -> str:
    """The line of the model an episode starts from."""
    scores = state.evaluated.holdout
    assert scores is not None
    return _LAYOUT.format(0, "baseline", "", f"{scores.score:.4f}", "", "", metrics_text(scores.raw))


def step_line(record: StepRecord) -> str:
    """The line of one step; what was not measured stays empty."""
    outcome, before = record.outcome, record.before.evaluated.holdout
    after = outcome.implementation.evaluated.holdout if outcome.implementation else None
    comparison = outcome.comparison
    assert before is not None
    return _LAYOUT.format(
        record.after.step,
        one_line(outcome.suggestion.text, _SUGGESTION),
        outcome.verdict.replace("_", " "),
        f"{before.score:.4f}" + (f" > {after.score:.4f}" if after else ""),
        f"{comparison.gain:+.3f}" if comparison else "",
        f"{comparison.p_value:.3f}" if comparison else "",
        metrics_text(after.raw) if after else one_line(outcome.entry().note, _NOTE),
    ).rstrip()


def delivered_lines(before: dict[str, Scores | None], after: dict[str, Scores | None], accepted: int) -> list[str]:
    """What the baseline and the delivered model come to, part by part."""
    names = {"cv": "cross-validation", "holdout": "hold-out", "test": "test (read once)"}
    changes = f"{accepted} change{'' if accepted == 1 else 's'}"
    what = f"with {changes}" if accepted else "itself; no change was a significant gain"
    lines = [f"Delivered: the baseline {what}."]
    for part, name in names.items():
        first, last = before[part], after[part]
        if first is not None and last is not None:
            values = (f"{m} {first.raw[m]:.4g} > {last.raw[m]:.4g}" for m in last.raw)
            gain = f"{last.score - first.score:+.4f}"
            lines.append(f"  {name:<17} score {first.score:.4f} > {last.score:.4f} ({gain}); {', '.join(values)}")
    return lines
