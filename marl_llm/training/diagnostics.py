"""How far the policy and the rows it learns from are apart, by the rows' age: log-probabilities of
a sample of rows before and after a phase go in, ratios, effective sample sizes, divergences and
clipped shares come out. Pure numpy.

A row's age is the number of policy versions between the adapter that sampled it and the one the
phase starts from: 0 for rows of that adapter itself, also under an older number where the version
between was an unchanged copy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np

from marl_llm.training.data import ReplayRow
from marl_llm.training.gate import is_fresh
from marl_llm.training.sample import sample_rows


class Divergence(TypedDict):
    """Numbers of `divergence`."""

    ratio_mean: float
    ratio_max: float
    ess_frac: float
    approx_kl: float


class _Figures(TypedDict):
    rows: int
    tokens: int
    start: Divergence
    end: Divergence
    truncated_share: float | None


class Described(_Figures):
    """Diagnostics of some rows; the keys are those of `describe`."""

    clip_share: float | None


class Diagnostics(Described):
    """What `describe` returns."""

    rows_by_age: dict[str, int]
    ages: dict[str, Described]


@dataclass(frozen=True, eq=False)
class Probe:
    """Rows on which the diagnostics are measured.

    Attributes
    ----------
    rows : list of ReplayRow
        At most so many of each age, drawn at random.
    ages : ndarray of int64, shape (len(rows),)
        Policy versions.
    rows_by_age : dict of int to int
        How many rows the phase has of each age.
    """

    rows: list[ReplayRow]
    ages: np.ndarray
    rows_by_age: dict[int, int]


def ages_of(rows: Sequence[ReplayRow], adapter_sha256: str) -> np.ndarray:
    """Age of each row in policy versions, int64, shape (n,); `adapter_sha256` is of the adapter the
    phase starts from.

    A row of another adapter is at least 1 old; without a recorded version exactly 1.
    """
    newest = max((row.policy_version for row in rows), default=-1)
    return np.array([_age(row, adapter_sha256, newest) for row in rows], np.int64)


def choose_probe(rows: Sequence[ReplayRow], adapter_sha256: str, *, most: int, seed: int) -> Probe:
    """Draw up to `most` rows of each age."""
    ages = ages_of(rows, adapter_sha256)
    by_age = [np.flatnonzero(ages == age) for age in np.unique(ages)]
    numbers = [of[sample_rows([rows[i] for i in of], most, seed)] for of in by_age]
    chosen = np.concatenate(numbers) if numbers else np.zeros(0, np.int64)
    counts = {int(age): int((ages == age).sum()) for age in np.unique(ages)}
    return Probe([rows[int(i)] for i in chosen], ages[chosen], counts)


ClipShare = Callable[[Sequence[np.ndarray], Sequence[np.ndarray]], float | None]
"""Share of tokens at which a loss's clip acts, from log-ratios and advantages, one array a row."""


def describe(
    probe: Probe,
    start: Sequence[np.ndarray],
    end: Sequence[np.ndarray],
    clip_share: ClipShare,
    *,
    recomputed: bool = False,
    weight_cap: float | None = None,
) -> Diagnostics:
    """Diagnostics of a phase, overall and by age.

    Parameters
    ----------
    probe : Probe
    start, end : sequence of ndarray, each of shape (T,)
        Log-probabilities (nats) of the probe's tokens under the policy before the first and after
        the last update.
    clip_share : callable
    recomputed : bool
        The ratio's denominator is the policy at the start, not the logged one.
    weight_cap : float, optional
        Where importance weights were cut; None: there are none.

    Returns
    -------
    dict
        "rows_by_age"; "start" and "end" of `divergence` from the sampling policy; "clip_share", the
        share of tokens at which the clip acts at the end (None for a loss without one);
        "truncated_share", the share whose importance weight was cut (None without weights); and
        "ages", the same for each age.
    """

    def described(which: np.ndarray) -> Described:
        numbers = np.flatnonzero(which)
        rows = [probe.rows[i] for i in numbers]
        before, after = [start[i] for i in numbers], [end[i] for i in numbers]
        old = before if recomputed else [row.logged_logprobs for row in rows]
        moved = [new - denominator for new, denominator in zip(after, old, strict=True)]
        share = clip_share(moved, [row.advantage for row in rows])
        return {**_figures(rows, before, after, weight_cap), "clip_share": share}

    ages = {str(age): described(probe.ages == age) for age in probe.rows_by_age}
    counts = {str(age): count for age, count in probe.rows_by_age.items()}
    return {"rows_by_age": counts, **described(probe.ages >= 0), "ages": ages}


def divergence(log_ratio: np.ndarray) -> Divergence:
    """Numbers of the importance ratio pi / mu, given its logarithm for tokens sampled from mu,
    shape (n,), n > 0.

    Returns
    -------
    dict
        ratio_mean, ratio_max; ess_frac in (0, 1], the effective sample size (sum w)^2 / sum w^2
        over n; approx_kl, nats, mean of w - 1 - log w, an unbiased estimate of KL(mu || pi) that is
        never negative (Schulman 2020, "Approximating KL divergence", k3).
    """
    log_ratio = np.asarray(log_ratio, np.float64)
    weight = np.exp(log_ratio)
    return {
        "ratio_mean": float(weight.mean()),
        "ratio_max": float(weight.max()),
        "ess_frac": float(weight.sum() ** 2 / (weight**2).sum() / len(weight)),
        "approx_kl": float((weight - 1 - log_ratio).mean()),
    }


def dropped_share(rows: int, dropped: dict[str, int]) -> float:
    """Share of logged rows, in [0, 1], that a phase did not learn from."""
    return sum(dropped.values()) / max(rows + sum(dropped.values()), 1)


def _age(row: ReplayRow, adapter_sha256: str, newest: int) -> int:
    if is_fresh(row, adapter_sha256):
        return 0
    return max(1, newest - row.policy_version) if row.policy_version >= 0 else 1


def _figures(
    rows: Sequence[ReplayRow],
    before: Sequence[np.ndarray],
    after: Sequence[np.ndarray],
    weight_cap: float | None,
) -> _Figures:
    logged = np.concatenate([row.logged_logprobs for row in rows])
    begun, ended = np.concatenate(list(before)), np.concatenate(list(after))
    cut = None if weight_cap is None else float((np.exp(begun - logged) > weight_cap).mean())
    return {
        "rows": len(rows),
        "tokens": len(logged),
        "start": divergence(begun - logged),
        "end": divergence(ended - logged),
        "truncated_share": cut,
    }
