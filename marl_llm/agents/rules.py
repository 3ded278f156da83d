"""The rules of a reply, spelled out for models that were not trained on them; lists come from the
typed actions and the records of the feature operations.
"""

from __future__ import annotations

import textwrap
from typing import get_args

from marl_llm.core.kind import Kind
from marl_llm.proposals.actions import Query
from marl_llm.proposals.applying import THRESHOLDS
from marl_llm.proposals.estimators import estimators_for
from marl_llm.proposals.ops import CHOICES, DROP, FEATURES, KEEP_ALL, REDUCERS
from marl_llm.proposals.ops.encode import ENCODE
from marl_llm.proposals.ops.feature import Feature
from marl_llm.proposals.ops.preparation import Method, Reducer
from marl_llm.proposals.ops.scale import SCALE
from marl_llm.proposals.spec import Calibration

_WIDTH = 120


def feature_constants() -> list[str]:
    """Names of added features in code: those of a frame first, then those of a single column."""
    return [feature.constant for feature in sorted(FEATURES.values(), key=lambda f: f.series)]


def _answer_and_names() -> str:
    encoders = ", ".join(map(_encoder, ENCODE.methods))
    scalers = ", ".join(method.code for method in SCALE.methods if method.code)
    features = ", ".join(_named(feature) for feature in FEATURES.values() if not feature.series)
    series = [feature.constant for feature in FEATURES.values() if feature.series]
    text = f"""\
Implement the proposal in the numbered scikit-learn code, and change nothing else. Answer with line
edits only, no prose: `9 = new text` replaces line 9, `6 + new text` inserts after line 6, `7 -`
deletes line 7. (Or give the whole build_pipeline() in one ```python block.) Names at hand: NUM, CAT
(column selectors); encoders {encoders}; scalers {scalers}; added features {features}, each a line
`(LOG, ["x0", "x1"]),` below `(cat, CAT),`, and
{" or ".join(f'`({name}, "t2"),`' for name in series)} of one text; scikit-learn's estimators."""
    return textwrap.fill(text, _WIDTH, break_long_words=False, break_on_hyphens=False)


def _encoder(method: Method) -> str:
    if not method.regression_code:
        return method.code
    return f"{method.code} (of classes), {method.regression_code} (of numbers)"


def _named(feature: Feature) -> str:
    """The constant, with the operation's name where it is another word."""
    if feature.constant.lower() == feature.name:
        return feature.constant
    return f"{feature.constant} ({feature.name})"


def _reduction(reducer: Reducer) -> str:
    code, other = (reducer.code(reducer.example, classifier) for classifier in (True, False))
    return f"`red = {code}`" + (f" (of numbers `{other}`)" if other != code else "")


ENGINEER_RULES = f"""\
{_answer_and_names()}
Columns are dropped by `drop = FunctionTransformer(pd.DataFrame.drop, kw_args={{"columns": ["x0"]}})`; {" and ".join(REDUCERS)} are
{" and ".join(map(_reduction, REDUCERS.values()))}; then
`return make_pipeline(drop, prep, red, est)`. Where asked for, behind `est = ...` come
`est = CalibratedClassifierCV(est, method="isotonic", cv=3)` and
`est = TunedThresholdClassifierCV(est, scoring="f1", cv=3)`. For an ensemble the functions solution_1(), ... are at
hand: return `VotingClassifier([("s1", solution_1()), ("s2", solution_2())], voting="soft")`, `VotingRegressor([...])`,
`StackingClassifier([...], final_estimator=LogisticRegression(), cv=3)`, `StackingRegressor([...],
final_estimator=Ridge(), cv=3)`, `BlendClassifier([...], weights=[2, 1], power=0.5)` or `BlendRegressor([...],
weights=[2, 1])`."""  # noqa: E501


def data_scientist_rules(kind: Kind) -> str:
    """What the Data Scientist may answer, for one kind of target."""
    return f"""\
Improve the model by one new change, or finish. u levels, m missing, s skew, t relation.
Answer one line: propose_model est = NAME(parameter=value) | propose_model est = Voting(0, 2) (or Stacking; 0 now, 2 memory
line) | tune parameter=value | tune parameter=between(1, 9), budget=8 | engineer_features OP; OP | analyze QUERY ["x0"] |
analyze models | analyze code PANDAS | finish | finish best | finish blend
NAME: {_models(kind)}
QUERY: {"|".join(query for query in get_args(Query) if query not in ("code", "models"))}
OP: {_operations()}{_special(kind)}"""  # noqa: E501


def _operations() -> str:
    choices = [f"{choice.name} {'|'.join(choice.words)}" for choice in CHOICES]
    columns = f'{"|".join((*FEATURES, DROP.name))} ["x0", "x1"]'
    reductions = [f"{reducer.name} {reducer.example:g}" for reducer in REDUCERS.values()]
    return ", ".join([*choices, columns, *reductions, f"{KEEP_ALL.name} {KEEP_ALL.word}"])


def _special(kind: Kind) -> str:
    """What `tune` takes besides the parameters of the current model."""
    if not kind.is_classification:
        return ""
    text = f"\ntune: calibration={'|'.join(get_args(Calibration))}"
    return text + (f", threshold={'|'.join(THRESHOLDS)}" if kind is Kind.binary else "")


def _models(kind: Kind) -> str:
    """Models know scikit-learn's names; what else is installed is named."""
    others = [info.name for info in estimators_for(kind) if not info.module.startswith("sklearn")]
    return ", ".join(
        [f"{'classifiers' if kind.is_classification else 'regressors'} of scikit-learn", *others]
    )
