"""The integrity gate: before the first update, the policy in memory must give the logged tokens the
log-probabilities that were logged.

Log-ratios of rows sampled by the very adapter that is being trained go in; a report comes out, or
an `IntegrityError` that names likely causes. Two numbers are looked at. The mean ratio is what the
loss multiplies with, but it can't see everything: under the sampling policy its expectation is 1
whatever the other policy is, so a slightly wrong adapter only shows in its variance. The mean
absolute log-ratio has no such blind spot; it may be at most five times the tolerance, and that of a
single row more than that in one row of twenty at most. Rows of older adapters are off-policy by
right and left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Protocol

import numpy as np

from marl_llm.core.errors import RunFailed
from marl_llm.training.data import ReplayRow
from marl_llm.training.sample import sample_rows

ABS_FACTOR = 5.0
"""Largest mean |log-ratio|, in tolerances."""
MOST_OFF = 0.05
"""Largest share of rows whose own mean |log-ratio| is larger: a few rows that were altered vanish
in the mean.
"""

Score = Callable[[Sequence[ReplayRow]], list[np.ndarray]]
"""Log-probabilities of the rows' tokens under the policy in memory, one array of shape (T,) per
row.
"""
Explain = Callable[[Sequence[ReplayRow], list[np.ndarray]], list[str]]
"""Likely causes, from the rows and their log-ratios."""


class Sampled(Protocol):
    """What says which adapter sampled it: a row, or a pair of rows."""

    @property
    def adapter_sha256(self) -> str:
        """SHA-256 of the adapter, or empty."""
        ...


class IntegrityError(RunFailed):
    """The logged log-probabilities are not those of the adapter about to be trained. Nothing was
    changed.
    """


@dataclass(frozen=True)
class GateReport:
    """What the gate measured.

    Attributes
    ----------
    rows, tokens : int
        Looked at.
    ratio_mean, ratio_max : float
        Importance ratio over tokens; 1 is right.
    abs_log_ratio : float
        Mean |log-ratio| over tokens, nats.
    rows_agreeing : int
        Rows whose own mean |log-ratio| is within `ABS_FACTOR` tolerances.
    tolerance : float
        On |ratio_mean - 1|.
    """

    rows: int
    tokens: int
    ratio_mean: float
    ratio_max: float
    abs_log_ratio: float
    rows_agreeing: int
    tolerance: float

    @property
    def passed(self) -> bool:
        """True if all three numbers are within bounds."""
        means = (
            abs(self.ratio_mean - 1) <= self.tolerance
            and self.abs_log_ratio <= ABS_FACTOR * self.tolerance
        )
        return means and self.rows - self.rows_agreeing <= MOST_OFF * self.rows

    def to_dict(self) -> dict[str, float]:
        """For the metrics file."""
        return asdict(self)


def check_integrity(
    rows: Sequence[ReplayRow],
    score: Score,
    explain: Explain,
    *,
    adapter_sha256: str,
    tolerance: float,
    max_rows: int,
    seed: int,
) -> GateReport:
    """Compare logged with recomputed log-probabilities on up to `max_rows` rows.

    Parameters
    ----------
    rows : sequence of ReplayRow
        Rows about to be trained on.
    score, explain : callables
        See `Score` and `Explain`; `explain` is called only on failure.
    adapter_sha256 : str
        Fingerprint of the adapter in memory.
    tolerance : float
        Largest |mean ratio - 1|.
    max_rows, seed : int
        Size and seed of the sample of rows.

    Returns
    -------
    GateReport

    Raises
    ------
    IntegrityError
        No row was sampled by this adapter, or the two policies differ; the message names likely
        causes.
    """
    fresh = [row for row in rows if is_fresh(row, adapter_sha256)]
    if not fresh:
        others = ", ".join(sorted({row.adapter_sha256[:12] for row in rows})[:3])
        raise IntegrityError(
            f"integrity gate: all {len(rows)} rows were sampled by another adapter ({others}) than "
            f"the one about to be trained ({adapter_sha256[:12]}, sha256); train the version that "
            "collected them, or collect again."
        )
    sample = [fresh[i] for i in sample_rows(fresh, max_rows, seed)]
    log_ratios = [new - row.logged_logprobs for new, row in zip(score(sample), sample, strict=True)]
    report = measure(log_ratios, tolerance)
    if not report.passed:
        causes = explain(sample, log_ratios)
        raise IntegrityError(
            f"integrity gate: on {report.rows} rows the mean importance ratio before the first "
            f"update is {report.ratio_mean:.4f} (must be 1 +- {tolerance:g}) and the mean |log "
            f"ratio| {report.abs_log_ratio:.4f} (at most {ABS_FACTOR * tolerance:g}; in "
            f"{report.rows - report.rows_agreeing} rows it is above). Likely: {'; '.join(causes)}."
        )
    return report


def is_fresh(row: Sampled, adapter_sha256: str) -> bool:
    """True if this adapter sampled the row, or nothing says that it did not."""
    return row.adapter_sha256 in ("", adapter_sha256)


def only_old_kept(rows: Sequence[Sampled], collected: Sequence[str], adapter_sha256: str) -> bool:
    """True if this adapter did collect rows, but all of `rows`, those that credit kept, are of
    older ones: then nothing is left that the gate could look at. `collected`: the fingerprints of
    all rows.
    """
    return (
        bool(rows)
        and adapter_sha256 in collected
        and not any(is_fresh(row, adapter_sha256) for row in rows)
    )


def measure(log_ratios: Sequence[np.ndarray], tolerance: float) -> GateReport:
    """The gate's numbers from log-ratios (new - logged, nats), one array of shape (T,) per row."""
    flat = np.concatenate(list(log_ratios)).astype(np.float64)
    ratio = np.exp(flat)
    agreeing = sum(bool(np.abs(row).mean() <= ABS_FACTOR * tolerance) for row in log_ratios)
    return GateReport(
        rows=len(log_ratios),
        tokens=len(flat),
        ratio_mean=float(ratio.mean()),
        ratio_max=float(ratio.max()),
        abs_log_ratio=float(np.abs(flat).mean()),
        rows_agreeing=agreeing,
        tolerance=tolerance,
    )
