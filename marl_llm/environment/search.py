"""The environment's own search: the Data Scientist names a region of hyperparameters, this fills in
the numbers.

A quasi-random (scrambled Halton) set of settings inside the region is cross-validated on the
development part; the one with the best score becomes the proposal. Hold-out and test rows are not
looked at. Deterministic for a seed.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator

from marl_llm.metrics import Scores
from marl_llm.proposals import Between, PipelineSpec, Tune, generate_code
from marl_llm.proposals.estimators import ESTIMATORS, ParamValue

DEFAULT_BUDGET = 12
"""Settings tried where the proposal names no budget."""
_FAILURES = 3
"""Settings that fail one after the other end a search: they may each take as long as a fold is
allowed to.
"""
_WIDE = 20.0
"""A positive region whose ends differ by more than this factor is searched on a logarithmic scale.
"""


def search_region(
    action: Tune,
    spec: PipelineSpec,
    cross_validate: Callable[[str], Scores | None],
    seed: int,
    most: int = 64,
) -> Tune:
    """Fill the regions of a `tune`.

    Parameters
    ----------
    action : Tune
        With at least one region; its exact values are kept.
    spec : PipelineSpec
        The current solution.
    cross_validate : callable
        Code to scores on the development part, None where the code fails.
    seed : int
        Of the settings that are tried.
    most : int
        Settings tried at most, whatever the budget.

    Returns
    -------
    Tune
        Exact values only: the best ones tried, or the first ones tried where every setting failed.
    """
    best, best_score, failed = None, -math.inf, 0
    for found in itertools.islice(settings(action, spec, seed), most):
        params: dict[str, ParamValue | Between] = {**action.exact, **found}
        tried = Tune(params={name: params[name] for name in action.params}, why=action.why)
        own = {
            name: value
            for name, value in tried.exact.items()
            if ESTIMATORS[spec.estimator].param(name)
        }
        special = {name: value for name, value in tried.exact.items() if name not in own}
        scores = cross_validate(generate_code(spec.with_params(own).model_copy(update=special)))
        score = -math.inf if scores is None else scores.score
        if best is None or score > best_score:
            best, best_score = tried, score
        failed = failed + 1 if scores is None else 0
        if failed == _FAILURES:
            break
    assert best is not None
    return best


def settings(action: Tune, spec: PipelineSpec, seed: int) -> Iterator[dict[str, ParamValue]]:
    """Distinct settings inside the regions, at most `budget` of them; fewer where whole numbers
    leave fewer.
    """
    from scipy.stats import qmc

    regions, info = action.regions, ESTIMATORS[spec.estimator]
    points = qmc.Halton(len(regions), rng=seed).random(action.budget or DEFAULT_BUDGET)
    seen: set[tuple[ParamValue, ...]] = set()
    for point in points:
        found: dict[str, ParamValue] = {}
        for (name, region), share in zip(regions.items(), point, strict=True):
            param = info.param(name)
            value = _at(region, float(share))
            whole = param is not None and param.integer
            found[name] = (
                round(value) if whole else min(max(_short(value), region.low), region.high)
            )
        if tuple(found.values()) not in seen:
            seen.add(tuple(found.values()))
            yield found


def _at(region: Between, share: float) -> float:
    low, high = region.low, region.high
    if low > 0 and high / low > _WIDE:
        return math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
    return low + share * (high - low)


def _short(value: float) -> float:
    """Three significant digits: enough, and few tokens."""
    return float(f"{value:.3g}")
