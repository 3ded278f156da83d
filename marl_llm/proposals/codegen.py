"""`generate_code`: the Python of a `PipelineSpec`, as the Engineer reads and writes it.

The generated block defines `build_pipeline()` and nothing else; the names it uses are the
prelude's.
"""

from __future__ import annotations

from marl_llm.proposals.estimators import ESTIMATORS
from marl_llm.proposals.features import Extra
from marl_llm.proposals.ops import REDUCERS
from marl_llm.proposals.ops.encode import ENCODE
from marl_llm.proposals.ops.impute import IMPUTE
from marl_llm.proposals.ops.preparation import Choice
from marl_llm.proposals.ops.scale import SCALE
from marl_llm.proposals.spec import PipelineSpec
from marl_llm.proposals.text import call, column_list, literal, short_number

INNER_FOLDS = 3
"""Folds inside calibration, threshold tuning and stacking."""


def generate_code(spec: PipelineSpec) -> str:
    """The canonical code of a solution: the text of `build_pipeline`, without the prelude.

    Two equal specs give the same text; `compile(spec)` and the executed text predict identically.
    """
    return "\n\n\n".join((*member_functions(spec), final_function(spec)))


def member_functions(spec: PipelineSpec) -> list[str]:
    """`solution_1`, `solution_2`, ...: functions that return an ensemble's members; none of a plain
    solution.
    """
    return [
        _function(f"solution_{i}", _plain_lines(member)) for i, member in enumerate(spec.members, 1)
    ]


def final_function(spec: PipelineSpec) -> str:
    """The text of `build_pipeline` alone; an ensemble's calls the functions of its members."""
    lines = [f"return {ensemble_call(spec)}"] if spec.members else _plain_lines(spec)
    return _function("build_pipeline", lines)


def engineer_start(wanted: PipelineSpec, current: PipelineSpec) -> tuple[str, str]:
    """What the Engineer edits, and the functions at hand that are put before it (each but the last
    empty or text).

    An ensemble starts from one of its members; another model that replaces an ensemble starts from
    its first member.
    """
    if wanted.members:
        return ENSEMBLE_START, "\n\n\n".join(member_functions(wanted))
    return generate_code(current.members[0] if current.members else current), ""


ENSEMBLE_START = "def build_pipeline():\n    return solution_1()"
"""Where the Engineer starts from when it is asked for an ensemble: the functions of the members are
at hand.
"""


def ensemble_call(spec: PipelineSpec) -> str:
    """The constructor call of an ensemble, on the functions of its members."""
    members = ", ".join(f'("s{i}", solution_{i}())' for i in range(1, len(spec.members) + 1))
    kind = "Classifier" if spec.classifier else "Regressor"
    return f"{spec.estimator}{kind}([{members}]{_ensemble_options(spec)})"


def _ensemble_options(spec: PipelineSpec) -> str:
    if spec.estimator == "Voting":
        return ', voting="soft"' if spec.classifier else ""
    if spec.estimator == "Stacking":
        final = "LogisticRegression()" if spec.classifier else "Ridge()"
        return f", final_estimator={final}, cv={INNER_FOLDS}"
    power = f", power={short_number(spec.power)}" if spec.power else ""
    return f", weights={list(spec.weights)}{power}"


def _function(name: str, lines: list[str]) -> str:
    return "\n".join([f"def {name}():", *(f"    {line}" for line in lines)])


def _plain_lines(spec: PipelineSpec) -> list[str]:
    return [*_solution_lines(spec), f"return {_pipeline(spec)}"]


def _solution_lines(spec: PipelineSpec) -> list[str]:
    lines = [
        "num = "
        f"make_pipeline({', '.join(filter(None, (_method(IMPUTE, spec), _method(SCALE, spec))))})",
        f'cat = make_pipeline(SimpleImputer(strategy="most_frequent"), {_method(ENCODE, spec)})',
        "prep = make_column_transformer(",
        "    (num, NUM),",
        "    (cat, CAT),",
        *(f"    ({extra.record.constant}, {_columns(extra)})," for extra in spec.extra),
        ")",
    ]
    if spec.drop:
        columns = column_list(spec.drop)
        lines.append(
            f'drop = FunctionTransformer(pd.DataFrame.drop, kw_args={{"columns": {columns}}})'
        )
    if spec.reduce is not None:
        lines.append(f"red = {REDUCERS[spec.reduce.op].code(spec.reduce.amount, spec.classifier)}")
    lines.append(f"est = {call(spec.estimator, (*spec.params, *ESTIMATORS[spec.estimator].fixed))}")
    if spec.calibration is not None:
        lines.append(
            f"est = CalibratedClassifierCV(est, method={literal(spec.calibration)}, "
            f"cv={INNER_FOLDS})"
        )
    if spec.threshold is not None:
        lines.append(
            f"est = TunedThresholdClassifierCV(est, scoring={literal(spec.threshold)}, "
            f"cv={INNER_FOLDS})"
        )
    return lines


def _pipeline(spec: PipelineSpec) -> str:
    steps = ["drop"] * bool(spec.drop) + ["prep"] + ["red"] * (spec.reduce is not None) + ["est"]
    return f"make_pipeline({', '.join(steps)})"


def _method(choice: Choice, spec: PipelineSpec) -> str:
    return choice.method(getattr(spec, choice.name)).code_for(spec.classifier)


def _columns(extra: Extra) -> str:
    return literal(extra.columns[0]) if extra.record.series else column_list(extra.columns)
