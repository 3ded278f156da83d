"""Who is charged for CPU seconds that episodes share."""

from __future__ import annotations

import pytest

from marl_llm.rollout.meter import Meter


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_seconds_are_divided_among_the_episodes_under_way_and_none_is_lost():
    clock = Clock()
    meter = Meter(clock)
    with meter.episode() as first:
        clock.now += 2
        with meter.episode() as second:
            clock.now += 6
        clock.now += 1
    clock.now += 50  # nobody plays
    with meter.episode() as third:
        clock.now += 4
    assert (first.cpu_s, second.cpu_s, third.cpu_s) == pytest.approx((2 + 3 + 1, 3, 4))


def test_every_episode_pays_the_whole_start():
    meter = Meter(Clock(), startup_s=17)
    with meter.episode() as first, meter.episode() as second:
        pass
    assert first.cpu_s == second.cpu_s == 17


def test_a_clock_that_falls_when_a_process_ends_gives_nothing_back():
    clock = Clock()
    meter = Meter(clock)
    with meter.episode() as share:
        clock.now = 5
        meter.settle()
        clock.now = 8
    assert share.cpu_s == 3
