"""Data sets as tests of the experience know them, without a table behind them."""

from __future__ import annotations

from marl_llm.core.kind import Kind
from marl_llm.environment import TaskCard
from marl_llm.environment.experience import DataSet, Finding, meta_features
from tests.fixtures import small_card

FOREST = "propose_model est = RandomForestClassifier(n_estimators=100)"
DEEP = "propose_model est = RandomForestClassifier(max_depth=8)"
NEAREST = "propose_model est = KNeighborsClassifier(n_neighbors=9)"
BAYES = "propose_model est = GaussianNB()"


def found(*pairs: tuple[str, float]) -> tuple[Finding, ...]:
    """Findings by text and gain."""
    return tuple(Finding(text=text, gain=gain, score=0.8) for text, gain in pairs)


def data_set(key: str, *pairs: tuple[str, float], card: TaskCard | None = None) -> DataSet:
    """A data set that looks like the small binary one."""
    card = card or small_card(Kind.binary)
    meta = tuple(None if v != v else float(v) for v in meta_features(card))
    return DataSet(key=key, name=f"set {key}", kind=card.kind, meta=meta, findings=found(*pairs))
