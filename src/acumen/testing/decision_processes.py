"""Small decision processes whose optimum is known exactly, by tabular dynamic programming."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from acumen.core import Choice, SequenceLearner, maximize
from acumen.core.episode import discounted
from acumen.core.learner import LearnerSpec
from acumen.testing.worlds import probabilities

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class DecisionProcess:
    """A finite Markov decision process.

    Args:
        transitions: float64[states, arms, states]; what a row lacks to 1 is the probability that
            the episode ends there.
        rewards: float64[states, arms], expected.
        start: float64[states], the distribution of the first state.
        discount: what a reward one step later is worth, in [0, 1].
        noise: standard deviation of the noise on an observed reward.
        steps_max: steps after which an episode is cut off.
        signs: float64[states, numbers], what a learner sees of a state; None: a flag a state.
    """

    transitions: Floats
    rewards: Floats
    start: Floats
    discount: float = 1.0
    noise: float = 0.0
    steps_max: int = 200
    signs: Floats | None = None

    @property
    def states(self) -> int:
        """Number of states."""
        return len(self.start)

    @property
    def arms(self) -> int:
        """Number of arms, the same in every state."""
        return int(self.rewards.shape[1])

    @property
    def rows(self) -> Floats:
        """float64[states, numbers]: what is seen of each state; a flag a state, or its signs."""
        return np.eye(self.states) if self.signs is None else self.signs

    @property
    def contexts(self) -> NDArray[np.float32]:
        """float32[states, 1 + numbers]: what a learner sees of each state, the bias first."""
        return np.hstack([np.ones((self.states, 1)), self.rows]).astype(np.float32)

    def value(self, policy: Floats) -> float:
        """Expected return of a policy, exactly.

        Args:
            policy: float64[states, arms], the probability of each arm.
        """
        reward = (policy * self.rewards).sum(1)
        moves = np.einsum("sa,sat->st", policy, self.transitions)
        values = np.linalg.solve(np.eye(self.states) - self.discount * moves, reward)
        return float(self.start @ values)

    def optimal_values(self) -> Floats:
        """float64[states, arms], by value iteration: what is to come under the best policy."""
        worth = np.zeros(self.states)
        while True:
            q: Floats = self.rewards + self.discount * self.transitions @ worth
            if np.abs(q.max(1) - worth).max() < 1e-12:
                return q
            worth = q.max(1)

    def optimum(self) -> float:
        """Expected return of the best policy there is."""
        return float(self.start @ self.optimal_values().max(1))

    def fraction(self, policy: Floats) -> float:
        """How far a policy has come from drawing arms uniformly (0) to the optimum (1)."""
        return (self.value(policy) - self._chance) / (self._best - self._chance)

    @cached_property
    def _chance(self) -> float:
        return self.value(np.full((self.states, self.arms), 1.0 / self.arms))

    @cached_property
    def _best(self) -> float:
        return self.optimum()

    def policy_of(self, learner: SequenceLearner) -> Floats:
        """float64[states, arms]: what a learner would do in every state."""
        return np.array([probabilities(learner, x) for x in self.contexts])

    def step(self, state: int, arm: int, rng: np.random.Generator) -> tuple[float, int]:
        """One step: its reward and the next state, -1 where the episode has ended."""
        expected, reach = self._steps[state][arm]
        reward = expected + self.noise * rng.standard_normal()
        reached = bisect_left(reach, rng.random())
        return reward, reached if reached < len(reach) else -1

    def begin(self, rng: np.random.Generator) -> int:
        """The first state of an episode."""
        return bisect_right(self._starts, rng.random())

    # In lists: of rows this short Python finds a place sooner than NumPy.
    @cached_property
    def _steps(self) -> list[list[tuple[float, list[float]]]]:
        reach = np.cumsum(self.transitions, axis=2)
        return [
            [(float(self.rewards[s, a]), reach[s, a].tolist()) for a in range(self.arms)]
            for s in range(self.states)
        ]

    @cached_property
    def _starts(self) -> list[float]:
        sums = np.cumsum(self.start)
        return list((sums / sums[-1]).tolist())

    def teach(self, learner: SequenceLearner, episodes: int, seed: int) -> None:
        """Lets a learner of sequences act, and teaches it every episode."""
        rng = np.random.default_rng(seed)
        contexts, last = self.contexts, self.arms - 1
        for _ in range(episodes):
            state = self.begin(rng)
            states: list[int] = []
            arms, propensities, rewards = [], [], []
            # Of each state, the probabilities and their sums: it learns between episodes only.
            asked: dict[int, tuple[list[float], list[float]]] = {}
            while state >= 0 and len(states) < self.steps_max:
                if state not in asked:
                    p = probabilities(learner, contexts[state])
                    asked[state] = p.tolist(), list(accumulate(p.tolist()))
                shares, sums = asked[state]
                arm = min(bisect_left(sums, rng.random()), last)
                states.append(state)
                arms.append(arm)
                propensities.append(shares[arm])
                reward, state = self.step(state, arm, rng)
                rewards.append(reward)
            learner.learn_episode(
                contexts[states],
                np.array(arms, np.uint32),
                np.array(propensities, np.float32),
                np.array(rewards, np.float32),
                self.discount,
                state < 0,
            )

    def choice(self, learner: LearnerSpec | None, seed: int, holdback: float = 0.0) -> Choice:
        """A choice over this process's arms; its context is a row of `rows`."""
        kind, names = (bool, "s") if self.signs is None else (float, "sign")
        return Choice(
            "process",
            list(range(self.arms)),
            context={f"{names}{i}": kind for i in range(self.rows.shape[1])},
            default=0,
            metric=maximize("reward"),
            learner=learner,
            holdback=holdback,
            seed=seed,
        )

    def act(
        self, choice: Choice, episodes: int, seed: int, credit: bool = True
    ) -> tuple[Floats, list[int]]:
        """Lets a choice act.

        Args:
            choice: made by `choice`.
            episodes: how many.
            seed: of the process.
            credit: False: every decision hears only of its own reward, and of no episode.

        Returns:
            float64[episodes], the discounted return of each, and all arms in order.
        """
        rng = np.random.default_rng(seed)
        rows = self.rows
        returns, arms = [], []
        for _ in range(episodes):
            state = self.begin(rng)
            rewards: list[float] = []
            with choice.episode(discount=self.discount) as episode:
                choose = episode.choose_row if credit else choice.choose_row
                while state >= 0 and len(rewards) < self.steps_max:
                    decision = choose(rows[state])
                    reward, state = self.step(state, decision.index, rng)
                    rewards.append(reward)
                    arms.append(decision.index)
                    if credit:
                        episode.reward(reward=reward)
                    else:
                        decision.feedback(reward=reward)
                if state < 0 and credit:
                    episode.feedback()
            returns.append(float(discounted(np.array(rewards), self.discount)[0]))
        return np.array(returns), arms


def chain(length: int = 6) -> DecisionProcess:
    """From the middle, go right to the end for 1, or left for 0.1; a step right may slip back."""
    moves, rewards = np.zeros((length, 2, length)), np.zeros((length, 2))
    for place in range(length):
        back = max(place - 1, 0)
        if place > 0:
            moves[place, 0, back] = 1.0
        else:
            rewards[place, 0] = 0.1  # out at the left end
        if place + 1 < length:
            moves[place, 1, place + 1], moves[place, 1, back] = 0.9, 0.1
        else:
            rewards[place, 1] = 1.0
    start = np.eye(length)[length // 2]
    return DecisionProcess(moves, rewards, start, discount=0.95)


def cliff(rows: int = 3, columns: int = 6) -> DecisionProcess:
    """Walk from one corner to the next along a cliff; falling costs 10 and leads back."""
    start, goal = (rows - 1) * columns, rows * columns - 1

    def move(row: int, column: int) -> tuple[int, float]:
        place = row * columns + column
        return (start, -10.0) if start < place < goal else (place, -1.0)

    return _grid(rows, columns, start, {goal}, move, slip=0.0, discount=1.0)


def slippery_grid(size: int = 4) -> DecisionProcess:
    """Over ice, from corner to corner, past two holes; a third of all steps goes astray."""
    goal = size * size - 1
    holes = {size + 1, 2 * size - 1}

    def move(row: int, column: int) -> tuple[int, float]:
        place = row * size + column
        return place, 1.0 if place == goal else 0.0

    return _grid(size, size, 0, {goal, *holes}, move, slip=1 / 3, discount=0.95)


def delayed_consequence(delay: int = 4) -> DecisionProcess:
    """The first choice decides what the last step brings; the tempting arm pays 0.3 at once."""
    states = 1 + 2 * delay
    moves, rewards = np.zeros((states, 2, states)), np.zeros((states, 2))
    rewards[0] = [0.3, 0.0]
    for arm in (0, 1):
        moves[0, arm, 1 + arm * delay] = 1.0
        for step in range(delay - 1):
            moves[1 + arm * delay + step, :, 2 + arm * delay + step] = 1.0
        rewards[(1 + arm) * delay, :] = float(arm)
    return DecisionProcess(moves, rewards, np.eye(states)[0], noise=0.1)


def signposts(rooms: int = 3) -> DecisionProcess:
    """Rooms with two signs each: where they agree the one door leads on, where not the other.

    Who gets through all rooms earns 1. A line through the four pairs of signs tells three of them
    right at the most, so that no linear function earns more than (3/4)^rooms.
    """
    states = 4 * rooms
    moves, rewards, signs = np.zeros((states, 2, states)), np.zeros((states, 2)), []
    for state in range(states):
        room, (one, other) = state // 4, divmod(state % 4, 2)
        signs.append([room / rooms, 2 * one - 1, 2 * other - 1])
        door = int(one == other)
        if room + 1 < rooms:
            moves[state, door, 4 * (room + 1) : 4 * (room + 2)] = 0.25
        else:
            rewards[state, door] = 1.0
    start = np.repeat([0.25, 0.0], [4, states - 4])
    return DecisionProcess(moves, rewards, start, signs=np.array(signs))


PROCESSES: dict[str, Callable[[], DecisionProcess]] = {
    process.__name__: process for process in (chain, cliff, slippery_grid, delayed_consequence)
}


def _grid(
    rows: int,
    columns: int,
    start: int,
    ends: set[int],
    move: Callable[[int, int], tuple[int, float]],
    slip: float,
    discount: float,
) -> DecisionProcess:
    """Four arms: up, right, down, left; a slip goes to one of the two sides instead."""
    states = rows * columns
    moves, rewards = np.zeros((states, 4, states)), np.zeros((states, 4))
    steps = [(-1, 0), (0, 1), (1, 0), (0, -1)]
    for place in set(range(states)) - ends:
        row, column = divmod(place, columns)
        for arm in range(4):
            for turn, share in ((0, 1 - slip), (1, slip / 2), (3, slip / 2)):
                down, right = steps[(arm + turn) % 4]
                reached, reward = move(
                    min(max(row + down, 0), rows - 1), min(max(column + right, 0), columns - 1)
                )
                rewards[place, arm] += share * reward
                if reached not in ends:
                    moves[place, arm, reached] += share
    return DecisionProcess(moves, rewards, np.eye(states)[start], discount)
