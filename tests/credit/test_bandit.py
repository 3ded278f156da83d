"""A two-agent bandit where the right answer is known: with joint credit one role is blamed for the
other, with ours it is not.

The Data Scientist proposes one of three changes, the Engineer carries it out right or wrong. The
best change is the one that the Engineer often fails at, at first:

                     gain if carried out   Engineer right at first
    good                   0.30                    0.10
    easy                   0.10                    0.90
    useless                0                       0.90

The best the pair can do is `good`, carried out right. Code that is wrong gains nothing and costs
the Engineer 0.15.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from marl_llm.core.roles import DATA_SCIENTIST, ML_ENGINEER
from marl_llm.credit import CreditConfig, Scale, assign_credit, group_relative
from marl_llm.credit.team import mix

GAIN = np.array([0.30, 0.10, 0.0])
OWN = np.array(
    [0.30, 0.10, -0.02]
)  # the Data Scientist's: the reference implementation's gain, or a small penalty
GOOD, EASY, USELESS = range(3)
FAILURE = -0.15
PROPOSALS, IMPLEMENTATIONS = 8, 2


def softmax(logits: np.ndarray) -> np.ndarray:
    odds = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return odds / odds.sum(axis=-1, keepdims=True)


def untrained() -> tuple[np.ndarray, np.ndarray]:
    """Logits: the Data Scientist's, shape (3,); the Engineer's for each proposal, right first,
    shape (3, 2).
    """
    right = np.array([0.10, 0.90, 0.90])
    return np.zeros(3), np.log(np.stack([right, 1 - right], axis=1))


@dataclass(frozen=True)
class Steps:
    """Many steps with their trees: proposals (S, P); whether each implementation is right (S, P,
    I).
    """

    proposal: np.ndarray
    right: np.ndarray

    @property
    def team(self) -> np.ndarray:
        """Gain of each implementation, (S, P, I)."""
        return GAIN[self.proposal][..., None] * self.right

    @property
    def engineer(self) -> np.ndarray:
        """The Engineer's own reward, (S, P, I)."""
        return np.where(self.right, self.team, FAILURE)


def play(policies: tuple[np.ndarray, np.ndarray], steps: int, rng: np.random.Generator) -> Steps:
    proposal = rng.choice(3, size=(steps, PROPOSALS), p=softmax(policies[0]))
    chance = softmax(policies[1])[proposal, 0]
    return Steps(proposal, rng.random((*proposal.shape, IMPLEMENTATIONS)) < chance[..., None])


def logged(steps: Steps) -> pd.DataFrame:
    """The same as trajectory rows; every proposal of a step has a name of its own."""
    s, p, i = np.indices(steps.right.shape)
    branch = [f"0.d{number}" for number in p.ravel()]
    engineers = pd.DataFrame(
        {
            "episode": s.ravel().astype(str),
            "branch": [f"{name}.e{number}" for name, number in zip(branch, i.ravel(), strict=True)],
            "role": ML_ENGINEER,
            "group": [f"{step}/{name}" for step, name in zip(s.ravel(), branch, strict=True)],
            "reward": steps.engineer.ravel(),
            "reward_metric_delta": steps.team.ravel(),
        }
    )
    scientists = engineers.iloc[::IMPLEMENTATIONS].assign(
        branch=branch[::IMPLEMENTATIONS],
        role=DATA_SCIENTIST,
        group=s[..., 0].ravel().astype(str),
        reward=OWN[steps.proposal].ravel(),
        reward_metric_delta=np.maximum(OWN, 0)[steps.proposal].ravel(),
    )
    rows = pd.concat([scientists, engineers], ignore_index=True)
    return rows.assign(call=0, step=0, action=rows["branch"], metrics_after="{}")


def proposal_gradient(advantage: np.ndarray, steps: Steps, policy: np.ndarray) -> np.ndarray:
    """Policy-gradient estimate of each step for the Data Scientist's logits, (S, 3): mean of A (e_a
    - pi).
    """
    score = np.eye(3)[steps.proposal] - softmax(policy)
    return (advantage.reshape(steps.proposal.shape)[..., None] * score).mean(axis=1)


def estimate(samples: np.ndarray) -> tuple[float, float]:
    """Mean and standard error."""
    return float(samples.mean()), float(samples.std(ddof=1) / np.sqrt(len(samples)))


@pytest.fixture(scope="module")
def steps() -> Steps:
    return play(untrained(), 1500, np.random.default_rng(0))


def gradient_of(steps: Steps, alpha: float) -> np.ndarray:
    table, _ = assign_credit(logged(steps), DATA_SCIENTIST, CreditConfig(alpha=alpha, clip=None))
    return proposal_gradient(table["advantage"].to_numpy(np.float64), steps, untrained()[0])


def test_joint_credit_blames_the_data_scientist_for_the_engineers_failures(steps: Steps) -> None:
    """By the team's return `easy` (0.09 on average) is better than `good` (0.03), so the best
    proposal is unlearned.
    """
    good, error = estimate(gradient_of(steps, 1.0)[:, GOOD])
    assert good < -4 * error
    easy, error = estimate(gradient_of(steps, 1.0)[:, EASY])
    assert easy > 4 * error


def test_own_credit_moves_the_data_scientist_towards_the_best_proposal(steps: Steps) -> None:
    gradient = gradient_of(steps, 0.0)
    assert (gradient.mean(axis=0) > 4 * gradient.std(axis=0) / np.sqrt(len(gradient))).tolist() == [
        True,
        False,
        False,
    ]


def test_own_credit_does_not_depend_on_how_good_the_engineer_is(steps: Steps) -> None:
    flawless = Steps(steps.proposal, np.ones_like(steps.right))
    np.testing.assert_array_equal(gradient_of(steps, 0.0), gradient_of(flawless, 0.0))
    joint, ideal = gradient_of(steps, 1.0), gradient_of(flawless, 1.0)
    assert ideal[:, GOOD].mean() > 0.1 > joint[:, GOOD].mean()


def test_joint_credit_is_noisier_as_well(steps: Steps) -> None:
    """Signal to noise of the direction that matters, from `easy` to `good`."""

    def signal_to_noise(alpha: float) -> float:
        difference = gradient_of(steps, alpha) @ np.array([1, -1, 0])
        return float(difference.mean() / difference.std())

    own, joint = signal_to_noise(0.0), signal_to_noise(1.0)
    assert own > 1 > 0 > joint, "not only noisier: the wrong way"
    flawless = Steps(steps.proposal, np.ones_like(steps.right))
    assert gradient_of(steps, 1.0)[:, GOOD].std() > 1.2 * gradient_of(flawless, 1.0)[:, GOOD].std()


def engineer_advantages(steps: Steps, *, joint: bool) -> np.ndarray:
    """(S, P, I). `joint`: one baseline and one deviation over both roles and all turns of a
    step.
    """
    if not joint:
        table, _ = assign_credit(logged(steps), ML_ENGINEER, CreditConfig(clip=None))
        return table["advantage"].to_numpy(np.float64).reshape(steps.right.shape)
    rows = logged(steps)
    result = group_relative(rows["reward"].to_numpy(), rows["episode"].to_numpy(), scale=Scale.role)
    return result.advantage[rows["role"] == ML_ENGINEER].reshape(steps.right.shape)


def test_with_one_normalisation_over_both_roles_right_code_is_blamed_for_a_useless_proposal(
    steps: Steps,
) -> None:
    def right_code(joint: bool, proposal: int) -> tuple[float, float]:
        chosen = (steps.proposal == proposal)[..., None] & steps.right
        return estimate(engineer_advantages(steps, joint=joint)[chosen])

    mean, error = right_code(True, USELESS)
    assert mean + 4 * error < 0, "the code was right, the proposal was not the Engineer's"
    for proposal in (GOOD, EASY, USELESS):
        mean, error = right_code(False, proposal)
        assert mean > 4 * error, "ours: right code is never worse than its group"
    alike = steps.right.all(axis=2) | ~steps.right.any(axis=2)
    assert not engineer_advantages(steps, joint=False)[alike].any(), (
        "nor praised or blamed for the proposal alone"
    )
    assert np.abs(engineer_advantages(steps, joint=True)[alike]).min() > 0


def test_with_one_normalisation_over_both_roles_one_roles_units_set_the_others_step(
    steps: Steps,
) -> None:
    rows = logged(steps)
    mine = (rows["role"] == DATA_SCIENTIST).to_numpy()
    dearer = rows.assign(reward=rows["reward"] * np.where(mine, 1, 10))

    def spread(frame: pd.DataFrame, joint: bool) -> float:
        if not joint:
            return assign_credit(frame, DATA_SCIENTIST, CreditConfig())[1]["advantage_std"]
        reward, group = (
            frame["reward"].to_numpy(),
            frame["role"].to_numpy() + frame["group"].to_numpy(),
        )
        return float(group_relative(reward, group, scale=Scale.role).advantage[mine].std())

    assert spread(dearer, joint=False) == pytest.approx(spread(rows, joint=False))
    assert spread(dearer, joint=True) < spread(rows, joint=True) / 4


def learn(alpha: float, seed: int, *, updates: int = 150, rate: float = 0.5) -> tuple[float, float]:
    """Train both softmax policies; returns P(good) and P(right | good)."""
    rng = np.random.default_rng(seed)
    scientist, engineer = (logits.copy() for logits in untrained())
    for _ in range(updates):
        steps = play((scientist, engineer), 4, rng)
        groups = np.repeat(np.arange(4), PROPOSALS)
        own = group_relative(OWN[steps.proposal].ravel(), groups, scale=Scale.role)
        team = group_relative(steps.team.mean(axis=2).ravel(), groups, scale=Scale.role)
        scientist += rate * proposal_gradient(
            mix(own, team, alpha).advantage, steps, scientist
        ).mean(axis=0)
        pairs = np.repeat(np.arange(steps.proposal.size), IMPLEMENTATIONS)
        code = group_relative(steps.engineer.ravel(), pairs, scale=Scale.role)
        asked = np.repeat(steps.proposal.ravel(), IMPLEMENTATIONS)
        score = np.eye(2)[1 - steps.right.ravel().astype(int)] - softmax(engineer)[asked]
        np.add.at(engineer, asked, rate * code.advantage[:, None] * score / len(pairs))
    return float(softmax(scientist)[GOOD]), float(softmax(engineer)[GOOD, 0])


@pytest.mark.parametrize("seed", range(3))
def test_with_own_credit_the_pair_learns_the_best_and_with_joint_credit_it_settles_for_the_easy(
    seed: int,
) -> None:
    assert min(learn(0.0, seed)) > 0.9, "the best change, carried out right"
    assert min(learn(0.5, seed)) > 0.9, "and still with half of the team's return in it"
    assert learn(1.0, seed)[0] < 0.1, (
        "blamed for the Engineer's failures, the Data Scientist gave the best change up"
    )
