"""Is a gain real? Paired tests: the same rows, or the same folds, for the model before and the
model after.

`paired_bootstrap` compares two sets of predictions of the same hold-out rows;
`corrected_resampled_t` compares per-fold scores of repeated or k-fold validation. Both are
one-sided (H0: no gain). Which of them a step uses, and at which level, is decided by the caller.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from marl_llm.core.predictions import Predictions
from marl_llm.metrics.scores import Reference, resampled_skills, score_predictions, weighted_mean

_CELLS = 4_000_000  # weights held at once, 32 MB
_CELLS_IN_CACHE = 100_000  # draws counted at once: within a core's cache it takes half the time
_TIE = 1e-12  # gains closer to zero than this are rounding


@dataclass(frozen=True)
class Comparison:
    """Verdict on a gain.

    Attributes
    ----------
    gain : float
        Score after minus score before (skill units).
    p_value : float
        One-sided, H0: the gain is not positive.
    low, high : float
        95% confidence interval of the gain.
    significant : bool
        `gain > 0` and `p_value <= level`, and nothing contradicts it.
    contradicted : bool
        It would be significant, but other rows say the opposite: see `contradicted_by`.
    """

    gain: float
    p_value: float
    low: float
    high: float
    significant: bool
    contradicted: bool = False

    def contradicted_by(self, other: Comparison) -> Comparison:
        """The same comparison, not significant where `other`, of the same two models on other rows,
        finds a loss: its interval lies below zero.
        """
        loss = other.gain < -_TIE and other.high < 0
        return (
            replace(self, significant=False, contradicted=True)
            if self.significant and loss
            else self
        )


def paired_bootstrap(
    metrics: Mapping[str, float],
    y_true: np.ndarray,
    before: Predictions,
    after: Predictions,
    reference: Reference,
    *,
    level: float = 0.05,
    n_resamples: int = 500,
    seed: int = 0,
) -> Comparison:
    """Compare two models' predictions of the same rows by resampling rows.

    Each resample draws n rows with replacement and scores both models on it. Two one-sided p-values
    follow (Davison and Hinkley 1997, chapters 4.4 and 5.3): the share of resampled gains that are
    not positive (percentile), and the share that exceed the observed gain by as much as it exceeds
    zero (centred, i.e. the bootstrap distribution shifted to H0). The larger one is reported: where
    the distribution of the gain is skewed one of them is too optimistic. Both count the observed
    sample itself, so p is never below `1 / (n_resamples + 1)`.

    Parameters
    ----------
    metrics : mapping of scorer name to weight
    y_true : ndarray, shape (n,)
    before, after : Predictions
        For the same n rows in the same order.
    reference : Reference
    level : float
        Significance level of the one-sided test.
    n_resamples : int
    seed : int
        Same seed, same resamples.

    Returns
    -------
    Comparison
        The interval is the percentile interval.
    """
    gain = (
        score_predictions(metrics, y_true, after, reference).score
        - score_predictions(metrics, y_true, before, reference).score
    )
    gains = np.concatenate(
        [
            weighted_mean(metrics, resampled_skills(metrics, y_true, after, reference, weights)[1])
            - weighted_mean(
                metrics, resampled_skills(metrics, y_true, before, reference, weights)[1]
            )
            for weights in _resamples(len(y_true), n_resamples, seed)
        ]
    )
    percentile = (1 + np.sum(gains <= _TIE)) / (n_resamples + 1)
    centred = (1 + np.sum(gains - gain >= gain - _TIE)) / (n_resamples + 1)
    low, high = np.quantile(gains, [0.025, 0.975])
    return _verdict(gain, float(max(percentile, centred)), float(low), float(high), level)


def corrected_resampled_t(
    differences: np.ndarray, n_train: int, n_test: int, *, level: float = 0.05
) -> Comparison:
    """Corrected resampled t-test on per-fold differences, of one k-fold validation or of repeated
    ones.

    Training sets of folds overlap, so the plain t-test is far too confident; the variance is
    multiplied by `1/k + n_test/n_train` instead of `1/k` (Nadeau and Bengio 2003, Inference for the
    generalization error, Machine Learning 52). Repeating the validation adds differences but no
    rows: the degrees of freedom stay those of one round, `(n_train + n_test) / n_test - 1`. With
    the textbook's k - 1, repeats of few folds find far more gains between equally good models than
    the level allows. After one round the test is conservative where the models' fits vary little:
    it assumes that a fold's score depends on its training set more than it then does.

    Parameters
    ----------
    differences : ndarray, shape (k,)
        Score after minus score before, fold by fold.
    n_train, n_test : int
        Rows of a fold's training and validation part.
    level : float

    Returns
    -------
    Comparison
        With one difference only, or when all are equal, there is no estimate of noise: p is 1 for k
        = 1, and 0 or 1 by the sign otherwise.

    Examples
    --------
    The same mean gain, once in every fold and once in some.

    >>> steady = corrected_resampled_t(np.array([0.02, 0.03, 0.02, 0.03, 0.02]), 80, 20)
    >>> shaky = corrected_resampled_t(np.array([0.12, -0.1, 0.11, -0.12, 0.11]), 80, 20)
    >>> steady.significant, shaky.significant
    (True, False)
    """
    from scipy.special import stdtr, stdtrit  # a quarter of a second, so not at import

    differences = np.asarray(differences, dtype=np.float64)
    k, gain = len(differences), float(np.mean(differences))
    if k < 2:
        return Comparison(gain, 1.0, -np.inf, np.inf, False)
    spread = float(np.sqrt((1 / k + n_test / n_train) * np.var(differences, ddof=1)))
    if spread <= _TIE:
        return _verdict(gain, 0.0 if gain > _TIE else 1.0, gain, gain, level)
    freedom = max(1, min(k, round(1 + n_train / n_test)) - 1)
    half_width = float(stdtrit(freedom, 0.975)) * spread
    return _verdict(
        gain, float(stdtr(freedom, -gain / spread)), gain - half_width, gain + half_width, level
    )


def _verdict(gain: float, p_value: float, low: float, high: float, level: float) -> Comparison:
    return Comparison(gain, p_value, low, high, bool(gain > _TIE and p_value <= level))


def _resamples(n: int, n_resamples: int, seed: int) -> Iterator[np.ndarray]:
    """How often each row is drawn: blocks of shape (b, n), multinomial lines that sum to n."""
    rng = np.random.default_rng(seed)
    block = max(1, min(n_resamples, _CELLS // n))
    for start in range(0, n_resamples, block):
        weights_BN = np.empty((min(block, n_resamples - start), n))
        step = max(1, _CELLS_IN_CACHE // n)
        for first in range(0, len(weights_BN), step):
            part = weights_BN[first : first + step]
            drawn = rng.integers(0, n, size=part.shape)
            drawn += np.arange(len(part))[:, None] * n
            part[:] = np.bincount(drawn.ravel(), minlength=part.size).reshape(part.shape)
        yield weights_BN
