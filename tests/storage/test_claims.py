"""Machines divide the episodes of an iteration, and take over those of a lost one."""

from __future__ import annotations

import time

from marl_llm.storage import Claims, Objects

EPISODES = ["e0", "e1", "e2"]


def claims(address, machine: str, lost_after_s: float = 60.0) -> Claims:
    return Claims(Objects(address), "iteration_0000", machine, lost_after_s)


def test_an_episode_is_claimed_by_one_machine_which_keeps_it_after_a_restart(address):
    a, b = claims(address, "a"), claims(address, "b")
    assert a.take("e0") and not b.take("e0")
    assert claims(address, "a").take("e0")
    assert a.free(EPISODES) == EPISODES and b.free(EPISODES) == ["e1", "e2"]
    assert {e: who.machine for e, who in b.claimants(EPISODES).items()} == {"e0": "a"}


def test_a_machine_that_shows_signs_of_life_keeps_its_episodes_and_a_lost_one_does_not(address):
    a, b = claims(address, "a", 0.3), claims(address, "b", 0.3)
    a.take("e0")
    with a.alive():
        seen = [take_over_after(b, 0.1) for _ in range(6)]
    assert seen == [[]] * 6
    lost = [take_over_after(b, 0.1) for _ in range(6)]
    assert ["e0"] in lost and b.take("e0") and not a.take("e0")


def take_over_after(machine: Claims, seconds: float) -> list[str]:
    time.sleep(seconds)
    return machine.take_over(EPISODES)


def test_a_claim_cut_short_by_a_kill_is_taken_over(address):
    b = claims(address, "b", 0.1)
    Objects(address).write("claims/iteration_0000/e1.json", b'{"mach')
    assert b.free(["e1"]) == [] and b.take_over(["e1"]) == []
    assert take_over_after(b, 0.2) == ["e1"] and b.take("e1")
