"""What values a column has, which are missing, and which lie far outside."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from marl_llm.environment.analysis.features import MAX_LEVELS, Feature, features, frequent_words
from marl_llm.environment.analysis.view import AnalysisView
from marl_llm.environment.analysis.wording import Answer, day, level, number, short

MAX_COLUMNS = 3
_QUARTILES = (0, 0.25, 0.5, 0.75, 1)
_FAR = 3.0  # interquartile ranges beyond the quartiles (Tukey's "far out")


def distribution(view: AnalysisView, columns: Sequence[str]) -> Answer:
    """Quantiles of numbers and dates, shares of the most frequent levels, length and words of
    texts.
    """
    return Answer(
        tuple(_distribution(f) for f in features(view.task, columns[:MAX_COLUMNS], MAX_COLUMNS))
    )


def _distribution(feature: Feature) -> str:
    alias, known = feature.alias, feature.values.dropna()
    if known.empty:
        return f"{alias} all missing"
    if feature.is_number:
        spell, name = (day, "dates") if feature.kind == "date" else (short, "quantiles")
        return f"{alias} {name} " + " ".join(
            spell(float(q)) for q in np.quantile(known.to_numpy(), _QUARTILES)
        )
    if feature.kind == "text":
        lengths = np.quantile(known.str.split().str.len().to_numpy(), _QUARTILES)
        words = (
            f"{level(word)} {float(inside.mean()):.2f}" for word, inside in frequent_words(known)
        )
        return (
            f"{alias} words per text "
            + " ".join(map(short, map(float, lengths)))
            + ", in texts: "
            + " ".join(words)
        )
    shares = feature.values.value_counts(normalize=True).head(MAX_LEVELS)
    return f"{alias} " + " ".join(f"{level(value)} {share:.2f}" for value, share in shares.items())


def outliers(view: AnalysisView, columns: Sequence[str]) -> Answer:
    """Numeric columns by their share of values more than 3 interquartile ranges beyond the
    quartiles.
    """
    chosen = [f for f in features(view.task, columns) if f.is_number]
    found = [(share, text) for share, text in map(_far_out, chosen) if share > 0]
    if not found:
        return Answer((f"no value beyond 3 IQR in {len(chosen)} numeric columns",))
    ranked = sorted(found, key=lambda pair: -pair[0])
    return Answer(tuple(text for _, text in ranked), head="share beyond 3 IQR: ")


def _far_out(feature: Feature) -> tuple[float, str]:
    """The share, and the column's item; share 0 for a column whose quartiles are one value."""
    known = feature.values.dropna().to_numpy(float)
    if not len(known):
        return 0.0, ""
    low, high = np.quantile(known, [0.25, 0.75])
    reach = _FAR * (high - low)
    far = (known < low - reach) | (known > high + reach)
    share = float(far.mean()) if reach > 0 else 0.0
    spell = day if feature.kind == "date" else number
    bounds = (
        f"quartiles {spell(low)} {spell(high)} extremes {spell(known.min())} {spell(known.max())}"
    )
    return share, f"{feature.alias} {share:.3f} {bounds}"
