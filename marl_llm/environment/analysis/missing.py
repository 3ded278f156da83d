"""Which values are missing, where they are missing together, and whether that goes with the
target.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from marl_llm.environment.analysis.features import features
from marl_llm.environment.analysis.view import AnalysisView
from marl_llm.environment.analysis.wording import Answer, level, number

_PATTERN_ROWS = 20_000
_TOGETHER = 0.5  # Jaccard index of two columns' missing rows
_FIRST_COLUMNS = 4
_MAX_PATTERNS = 3
_CLEAR = 3.0  # standard errors


def missing(view: AnalysisView, columns: Sequence[str]) -> Answer:
    """Share of missing values of each column and how the target differs there, then columns missing
    together.
    """
    chosen = features(view.task, columns)
    masks = {feature.alias: feature.values.isna().to_numpy() for feature in chosen}
    ranked = sorted((a for a in masks if masks[a].any()), key=lambda alias: -masks[alias].mean())
    if not ranked:
        return Answer((f"nothing is missing in {len(chosen)} columns",))
    shares = [
        f"{alias} {masks[alias].mean():.2f} missing, {_target_there(view, masks[alias])}"
        for alias in ranked
    ]
    patterns = list(_patterns(view, {alias: masks[alias] for alias in ranked}))[:_MAX_PATTERNS]
    return Answer((*shares[:_FIRST_COLUMNS], *patterns, *shares[_FIRST_COLUMNS:]))


def _target_there(view: AnalysisView, mask: np.ndarray) -> str:
    """The target where the column is missing and elsewhere, if the difference is clear."""
    y = view.y
    if mask.all():
        return "always"
    if not view.task.kind.is_classification:
        return _difference("mean", y[mask], y[~mask], number)
    gaps = [
        abs(float((y[mask] == c).mean() - (y[~mask] == c).mean())) for c in range(len(view.classes))
    ]
    most = int(np.argmax(gaps)) if len(gaps) > 2 else 1
    inside = (y == most).astype(float)
    return _difference(
        level(view.classes[most]), inside[mask], inside[~mask], lambda share: f"{share:.2f}"
    )


def _difference(
    name: str, there: np.ndarray, elsewhere: np.ndarray, spell: Callable[[float], str]
) -> str:
    error = np.sqrt(np.var(there) / len(there) + np.var(elsewhere) / len(elsewhere))
    gap = abs(there.mean() - elsewhere.mean())
    if gap <= _CLEAR * error:
        return "target alike"
    return f"{name} {spell(float(there.mean()))} there {spell(float(elsewhere.mean()))} elsewhere"


def _patterns(view: AnalysisView, masks: dict[str, np.ndarray]) -> Iterator[str]:
    """Columns missing in the same rows, then pairs whose missing rows overlap by more than half."""
    same: dict[bytes, list[str]] = defaultdict(list)
    for alias, mask in masks.items():
        same[np.packbits(mask).tobytes()].append(alias)
    for group in same.values():
        if len(group) > 1:
            yield f"{' '.join(group)} missing in the same rows"
    different = [group[0] for group in same.values()]
    rows = view.sample(_PATTERN_ROWS)
    table = np.array([masks[alias][rows] for alias in different], dtype=np.float32)
    both = table @ table.T
    sizes = np.diag(both)
    either = sizes[:, None] + sizes[None, :] - both
    overlap = np.triu(both / np.maximum(either, 1), 1)
    for i, j in np.argwhere(overlap > _TOGETHER)[
        np.argsort(-overlap[overlap > _TOGETHER], kind="stable")
    ]:
        yield f"{different[i]} {different[j]} missing together, overlap {overlap[i, j]:.2f}"
