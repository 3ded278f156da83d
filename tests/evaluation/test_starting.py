"""The start of an episode: the baseline, which reads texts only where there is nothing else."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from marl_llm.environment.card import describe_task
from marl_llm.evaluation.fixed import start_of
from marl_llm.proposals import baseline, compile
from marl_llm.proposals.screened import starting_spec
from marl_llm.tasks import Task


def task_of(**more: object) -> Task:
    words = ["it was great", "it was awful", "works very well", "broken once again"]
    rows = range(120)
    frame = pd.DataFrame(
        {"review": [f"{words[i % 4]}, after {i} days of use" for i in rows], **more}
    )
    return Task.from_frame(frame.assign(y=[i % 2 for i in rows]), target="y")


def test_texts_alone_are_read_word_by_word():
    task = task_of()
    assert [column.kind for column in task.columns] == ["text"]
    model = compile(starting_spec(describe_task(task).context()))
    model.fit(task.development.X, task.development.y)
    assert np.mean(model.predict(task.test.X) == task.test.y) > 0.9
    with pytest.raises(ValueError, match="0 feature"):
        compile(baseline(task.kind)).fit(task.development.X, task.development.y)


def test_beside_other_columns_the_start_is_the_baseline():
    task = task_of(x=np.arange(120) % 7)
    assert starting_spec(describe_task(task).context()) == baseline(task.kind)


@pytest.mark.parametrize("more", [{}, {"x": np.arange(120) % 7}], ids=["text", "text and number"])
def test_a_comparison_starts_as_an_episode_does(more):
    task = task_of(**more)
    assert start_of(task) == starting_spec(describe_task(task).context())
