"""The rules of a reply, spelled out for models that were not trained on them; lists come from the typed actions."""

from __future__ import annotations

from typing import get_args

from marl_llm.core.kind import Kind
from marl_llm.proposals.actions import Query
from marl_llm.proposals.applying import THRESHOLDS
from marl_llm.proposals.estimators import estimators_for
from marl_llm.proposals.features import EXTRA_OPS
from marl_llm.proposals.spec import Calibration, EncodeMethod, ImputeStrategy, ScaleMethod

ENGINEER_RULES = """\
Implement the proposal in the numbered scikit-learn code, and change nothing else. Answer with line edits only, no
prose: `9 = new text` replaces line 9, `6 + new text` inserts after line 6, `7 -` deletes line 7. (Or give the whole
build_pipeline() in one ```python block.) Names at hand: NUM, CAT (column selectors); encoders ORDINAL, ONE_HOT, TARGET
(of classes), TARGET_NUM (of numbers); scalers StandardScaler(), RobustScaler(), MinMaxScaler(), PowerTransformer(),
QUANTILE; added features LOG, POLY (polynomial), MISSING, BINS (bin), RATIO, DIFF (difference), DATES, GROUP_MEAN, each
a line `(LOG, ["x0", "x1"]),` below `(cat, CAT),`, and `(TFIDF, "t2"),` of one text; scikit-learn's estimators.
Columns are dropped by `drop = FunctionTransformer(pd.DataFrame.drop, kw_args={"columns": ["x0"]})`; select and pca are
`red = SelectKBest(k=10)` (of numbers `SelectKBest(f_regression, k=10)`) and `red = PCA(n_components=0.9)`; then
`return make_pipeline(drop, prep, red, est)`. Where asked for, behind `est = ...` come
`est = CalibratedClassifierCV(est, method="isotonic", cv=3)` and
`est = TunedThresholdClassifierCV(est, scoring="f1", cv=3)`. For an ensemble the functions solution_1(), ... are at
hand: return `VotingClassifier([("s1", solution_1()), ("s2", solution_2())], voting="soft")`, `VotingRegressor([...])`,
`StackingClassifier([...], final_estimator=LogisticRegression(), cv=3)`, `StackingRegressor([...],
final_estimator=Ridge(), cv=3)`, `BlendClassifier([...], weights=[2, 1], power=0.5)` or `BlendRegressor([...],
weights=[2, 1])`."""


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
    methods = {"impute": ImputeStrategy, "scale": ScaleMethod, "encode": EncodeMethod}
    choices = [f"{name} {'|'.join(get_args(values))}" for name, values in methods.items()]
    columns = f'{"|".join(EXTRA_OPS)}|drop ["x0", "x1"]'
    return ", ".join([*choices, columns, "select 10", "pca 0.9", "reduce none"])


def _special(kind: Kind) -> str:
    """What `tune` takes besides the parameters of the current model."""
    if not kind.is_classification:
        return ""
    text = f"\ntune: calibration={'|'.join(get_args(Calibration))}"
    return text + (f", threshold={'|'.join(THRESHOLDS)}" if kind is Kind.binary else "")


def _models(kind: Kind) -> str:
    """Models know scikit-learn's names; what else is installed is named."""
    others = [info.name for info in estimators_for(kind) if not info.module.startswith("sklearn")]
    return ", ".join([f"{'classifiers' if kind.is_classification else 'regressors'} of scikit-learn", *others])
