"""The lines of text that `solve` shows while it works: one a step, then what is delivered. Plain
data in, text out.
"""

from __future__ import annotations

from marl_llm.core.verdict import Verdict
from marl_llm.environment import State
from marl_llm.environment.memory import MemoryEntry
from marl_llm.environment.model_screen import LEFT_OUT, ModelScreen
from marl_llm.metrics import Scores
from marl_llm.proposals import PipelineSpec
from marl_llm.proposals.text import call
from marl_llm.rollout.episode import StepRecord
from marl_llm.sandbox.results import one_line

_SUGGESTION, _NOTE = 46, 80  # maximum number of characters of what an agent wrote
_LAYOUT = "{:>4}  {:<46}  {:<15}  {:>15}  {:>6}  {:>6}  {:>6}  {}"
HEADER = _LAYOUT.format(
    "step", "suggestion", "verdict", "score", "gain", "p", "cpu s", "metrics on the hold-out part"
)


def metrics_text(raw: dict[str, float]) -> str:
    """Raw metrics, e.g. "f1_macro 0.712, neg_log_loss -0.41"."""
    return ", ".join(f"{name} {value:.4g}" for name, value in raw.items())


def baseline_line(state: State) -> str:
    """The line of the model an episode starts from."""
    scores = state.evaluated.holdout
    assert scores is not None
    return _LAYOUT.format(
        0,
        "baseline",
        "",
        f"{scores.score:.4f}",
        "",
        "",
        f"{state.evaluated.cpu_seconds:.1f}",
        metrics_text(scores.raw),
    )


def step_line(record: StepRecord) -> str:
    """The line of one step; what was not measured stays empty."""
    outcome, before = record.outcome, record.before.evaluated.holdout
    after = outcome.implementation.evaluated.holdout if outcome.implementation else None
    comparison = outcome.comparison
    assert before is not None
    return _LAYOUT.format(
        record.before.step + 1,
        one_line(outcome.suggestion.text, _SUGGESTION),
        outcome.verdict.replace("_", " "),
        f"{before.score:.4f}" + (f" > {after.score:.4f}" if after else ""),
        f"{comparison.gain:+.3f}" if comparison else "",
        f"{comparison.p_value:.3f}" if comparison else "",
        f"{outcome.reference.cpu_seconds:.1f}" if outcome.reference else "",
        metrics_text(after.raw) if after else one_line(outcome.entry().note, _NOTE),
    ).rstrip()


def beside_line(number: int, entry: MemoryEntry) -> str:
    """The line of a proposal that was tried at the same time as the step's own, and left."""
    verdict = (
        "gain, not taken" if entry.verdict is Verdict.accepted else entry.verdict.replace("_", " ")
    )
    score = f"{entry.score:.4f}" if entry.score is not None else ""
    gain = f"{entry.gain:+.3f}" if entry.gain is not None else ""
    note = one_line(entry.note, _NOTE)
    return _LAYOUT.format(
        number, one_line(entry.text, _SUGGESTION), verdict, score, gain, "", "", note
    ).rstrip()


def screened_lines(screen: ModelScreen) -> list[str]:
    """The families at their defaults, best first, in one paragraph; what there was no time for is
    counted.
    """
    left_out = [one for one in screen.found if one.problem == LEFT_OUT]
    failed = [one.line() for one in screen.found if one.score is None and one.problem != LEFT_OUT]
    tried = len(screen.found) - len(left_out)
    lines = [f"Screened {tried} families in {screen.seconds:.1f} s of processor time:"]
    lines += [f"      {one.line()}" for one in screen.ranked]
    lines += [f"      {'; '.join(failed)}"] if failed else []
    return [*lines, *([f"      no time for {len(left_out)} more"] if left_out else [])]


def model_name(spec: PipelineSpec) -> str:
    """A solution in a few words."""
    if not spec.members:
        return call(spec.estimator, spec.params)
    weights = spec.weights or (1,) * len(spec.members)
    parts = ", ".join(f"{w} {m.estimator}" for w, m in zip(weights, spec.members, strict=True))
    rule = f", labels by p / prior ** {spec.power:g}" if spec.power else ""
    return f"{spec.estimator.lower()} of {parts}{rule}"


def delivered_lines(
    spec: PipelineSpec, before: dict[str, Scores | None], after: dict[str, Scores | None]
) -> list[str]:
    """What the baseline and the delivered model come to, part by part."""
    names = {"cv": "cross-validation", "holdout": "hold-out", "test": "test (read once)"}
    lines = [f"Delivered: {model_name(spec)}."]
    for part, name in names.items():
        first, last = before[part], after[part]
        if first is not None and last is not None:
            values = (f"{m} {first.raw[m]:.4g} > {last.raw[m]:.4g}" for m in last.raw)
            gain = f"{last.score - first.score:+.4f}"
            lines.append(
                f"  {name:<17} score {first.score:.4f} > {last.score:.4f} ({gain}); "
                f"{', '.join(values)}"
            )
    return lines
