"""May a comparison over folds end early? Differences of the folds done so far in, "hopeless" or not
out.

The full test is `corrected_resampled_t` over k folds. After j < k of them a candidate is hopeless
if it cannot become a significant gain any more, whatever the other folds give (deterministic
curtailment), or if it hardly can (stochastic curtailment: Lan, Simon and Halperin 1982,
Stochastically curtailed tests in long-term clinical trials, Communications in Statistics C 1;
Jennison and Turnbull 2000, Group Sequential Methods, chapter 10). Only a verdict of "no gain" is
ever reached early: so the false-gain rate is at most that of the full test, and what is to be
controlled is the probability that a gain is missed which the full test would have found. It is
spent over the looks as error-spending designs do (Lan and DeMets 1983, Biometrika 70).
"""

from __future__ import annotations

import functools
import math

import numpy as np

_PATHS = 20_000
_SIMULATION_SEED = 20_240_229
_EFFECTS = 31
_MARGIN = 2.0  # standard errors of the simulation that are kept in reserve
_ROUNDING = 1e-9
_TIE = 1e-24  # sums of squares below this are rounding, as in corrected_resampled_t


def supremum_t(differences: np.ndarray, folds: int, test_to_train: float) -> float:
    """The largest corrected t statistic that the folds to come can still bring about.

    With mean `a` and sum of squared deviations `S` of the j differences done, the statistic is
    largest when all the others are equal; by the Cauchy-Schwarz inequality it is then below
    `sqrt((k - 1) (max(a, 0)^2 / S + (k - j) / (k j)) / (1 / k + test_to_train))`.

    Parameters
    ----------
    differences : ndarray, shape (j,)
        Score after minus score before, of the folds done; 1 <= j < k.
    folds : int
        k, at least 2.
    test_to_train : float
        Rows of a fold's validation part over rows of its training part.

    Returns
    -------
    float
        Infinite while all differences done are equal and positive.
    """
    done = len(differences)
    promise = max(float(_standing(np.asarray(differences, dtype=np.float64)[None, :])[0]), 0.0)
    scale = (folds - 1) / (1 / folds + test_to_train)
    return math.sqrt(scale * (promise**2 + (folds - done) / (folds * done)))


def is_hopeless(
    differences: np.ndarray,
    folds: int,
    n_train: int,
    n_test: int,
    *,
    level: float = 0.05,
    error: float = 0.02,
) -> bool:
    """Whether the folds done so far decide that there is no significant gain.

    Parameters
    ----------
    differences : ndarray, shape (j,)
        Score after minus score before, fold by fold, in the order in which they are always
        evaluated.
    folds : int
        How many there are in all.
    n_train, n_test : int
        Rows of a fold's training and validation part.
    level : float
        Of the full test.
    error : float
        Most probability, whatever the true gain, that a stopped candidate would have been
        significant. 0: stop only where that is impossible.

    Returns
    -------
    bool
        False before the first fold and after the last one.
    """
    done, ratio = len(differences), n_test / n_train
    if not 0 < done < folds:
        return False
    standing = float(_standing(np.asarray(differences, dtype=np.float64)[None, :])[0])
    exact = _exact_bound(done, folds, ratio, _critical(folds, level))
    return (
        standing < exact
        or standing < futility_bounds(folds, round(ratio, 2), level, error)[done - 1]
    )


@functools.cache
def futility_bounds(
    folds: int, test_to_train: float, level: float, error: float
) -> tuple[float, ...]:
    """Bounds b_1 ... b_(k-1): after j folds a candidate is hopeless if mean / sqrt(sum of squared
    deviations) < b_j.

    A bound is the higher one of two. The exact one comes from `supremum_t`. The other one is
    simulated: differences are independent normal values with one unknown mean and variance (a part
    that all folds share, from overlapping training sets, acts as another mean, so it is covered),
    and for each of 31 true effects, from none to one that the full test cannot overlook, at most
    `error * sqrt(j / (k - 1))` of all candidates may have been stopped by fold j although the full
    test would call them significant: more of it early, where a stop saves more. Two standard errors
    of the simulation are kept in reserve.

    Returns
    -------
    tuple of float, length folds - 1
        After one fold there is no spread: b_1 > -inf stops every candidate that is not better on
        it. -inf stops none.
    """
    critical = _critical(folds, level)
    exact = [_exact_bound(done, folds, test_to_train, critical) for done in range(1, folds)]
    if error <= 0:
        return tuple(exact)
    return tuple(_spend(exact, folds, test_to_train, critical, error))


def _critical(folds: int, level: float) -> float:
    """Critical value of the full test."""
    from scipy.special import stdtrit  # a quarter of a second, so not at import

    return float(stdtrit(folds - 1, 1 - level))


def _exact_bound(done: int, folds: int, test_to_train: float, critical: float) -> float:
    """What the standing after `done` folds must reach for `supremum_t` to reach the critical
    value.
    """
    needed = critical**2 * (1 / folds + test_to_train) / (folds - 1) - (folds - done) / (
        folds * done
    )
    return (1 - _ROUNDING) * math.sqrt(needed) if needed > 0 else -math.inf


def _spend(
    exact: list[float], folds: int, test_to_train: float, critical: float, error: float
) -> list[float]:
    """Raise each bound as far as the error allows, look by look."""
    going = _significant_paths(folds, test_to_train, critical)
    bounds: list[float] = []
    missed = np.zeros(len(going))
    for done in range(1, folds):
        standings = [_standing(paths[:, :done]) for paths in going]
        budget = _reserved(error * math.sqrt(done / (folds - 1))) - missed
        free = min(
            _lowest_but(values, int(most)) for values, most in zip(standings, budget, strict=True)
        )
        bounds.append(max(exact[done - 1], free))
        stopped = [values < bounds[-1] for values in standings]
        missed += [int(one.sum()) for one in stopped]
        going = [paths[~one] for paths, one in zip(going, stopped, strict=True)]
    return bounds


def _significant_paths(folds: int, test_to_train: float, critical: float) -> list[np.ndarray]:
    """Simulated differences (n, folds) of each true effect, in standard deviations: those that the
    full test calls significant, since only they can be missed.
    """
    noise = np.random.default_rng(_SIMULATION_SEED).standard_normal((_PATHS, folds))
    strength = critical * math.sqrt(
        1 / folds + test_to_train
    )  # effect that the full test sees half of the time
    needed = strength / math.sqrt(folds - 1)
    paths = (noise + effect for effect in np.linspace(0.0, 2 * strength + 3, _EFFECTS))
    return [one[_standing(one) >= needed] for one in paths]


def _standing(differences_NJ: np.ndarray) -> np.ndarray:
    """Mean over root of the sum of squared deviations, shape (N,): the t statistic but for factors
    that only depend on the number of folds. Without spread: +inf for a gain, -inf for none.
    """
    mean = differences_NJ.mean(axis=1)
    squares = ((differences_NJ - mean[:, None]) ** 2).sum(axis=1)
    flat = np.where(mean > 0, np.inf, -np.inf)
    return np.divide(mean, np.sqrt(squares), out=flat, where=squares > _TIE)


def _reserved(share: float) -> float:
    """Paths of the simulation that may be missed, less the margin for its own error."""
    expected = share * _PATHS
    return max(0.0, math.floor(expected - _MARGIN * math.sqrt(expected)))


def _lowest_but(values: np.ndarray, most: int) -> float:
    """The highest bound below which at most `most` of the values lie."""
    if most < 0:
        return -math.inf
    return float(np.partition(values, most)[most]) if len(values) > most else math.inf
