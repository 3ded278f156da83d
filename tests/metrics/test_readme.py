"""The page on adding a metric: its example runs, and one record is all that a metric needs."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import mean_pinball_loss

import marl_llm.metrics
from marl_llm.core.errors import UserError
from marl_llm.core.kind import Kind
from marl_llm.core.metrics import METRICS, Metric
from marl_llm.core.metrics.names import check_metrics, metrics_for
from marl_llm.core.predictions import Predictions
from marl_llm.metrics import Reference, paired_bootstrap, score_predictions

PAGE = Path(marl_llm.metrics.__file__).with_name("README.md")


@pytest.fixture
def pinball(monkeypatch: pytest.MonkeyPatch) -> Metric:
    code = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[0]
    assert len(code.splitlines()) < 30
    made: dict[str, Metric] = {}
    exec(code, made)
    monkeypatch.setitem(METRICS, made["PINBALL"].name, made["PINBALL"])
    return made["PINBALL"]


def test_a_metric_of_one_record_is_accepted_scored_and_tested(pinball: Metric):
    rng = np.random.default_rng(0)
    y, near, far = rng.normal(size=200), rng.normal(size=200), rng.normal(size=200)
    good, bad = Predictions(y + 0.1 * near, None), Predictions(y + 2 * far, None)
    metrics = check_metrics({pinball.name: 1}, Kind.regression)
    assert pinball.name in metrics_for(Kind.regression)
    reference = Reference.from_labels(y, Kind.regression)
    scores = score_predictions(metrics, y, good, reference)
    assert scores.raw[pinball.name] == pytest.approx(-mean_pinball_loss(y, good.labels, alpha=0.9))
    assert 0 < scores.score < 1
    found = paired_bootstrap(metrics, y, bad, good, reference, n_resamples=200)
    assert found.significant and found.gain > 0


def test_without_the_record_the_metric_is_unknown():
    with pytest.raises(UserError, match="Unknown metric 'neg_mean_pinball_loss'"):
        check_metrics({"neg_mean_pinball_loss": 1}, Kind.regression)
