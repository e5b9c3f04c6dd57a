"""Gymnasium, in both directions: a choice acts in an environment; a choice's place becomes one.

`pip install acumen[gym]`. Interface: Towers et al., "Gymnasium: a standard interface for
reinforcement learning environments", 2024.
"""

from __future__ import annotations

import math
import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from acumen.core import Choice, SequenceLearner, maximize

if TYPE_CHECKING:
    import gymnasium

WAIT_S = 60.0
"""Seconds that an environment waits for its program to come to the next choice."""


def choice_for(env: gymnasium.Env[Any, Any], name: str = "gym", **options: Any) -> Choice:
    """A choice whose arms are an environment's actions, and its context the observations.

    Args:
        env: with discrete actions, and observations that are discrete or a box.
        name: the choice's.
        **options: of `Choice`: ``learner``, ``seed``, ``holdback``, ``default`` …

    Raises:
        TypeError: other spaces, or Gymnasium is not installed.
    """
    actions: Any = _space(env.action_space, "Discrete")
    first = int(actions.start)
    arms = list(range(first, first + int(actions.n)))
    context = _context(env.observation_space)
    given: dict[str, Any] = {"default": first, "metric": maximize("reward")} | options
    return Choice(name, arms, context=context, **given)


def row_of(space: gymnasium.Space[Any], observation: Any) -> NDArray[np.float64]:
    """An observation as a row of the context of `choice_for`.

    Args:
        space: where it comes from: discrete (becomes one flag a value) or a box (flattened).
        observation: one of its members.

    Returns:
        float64[fields].
    """
    if type(space).__name__ == "Discrete":
        discrete: Any = space
        row = np.zeros(int(discrete.n))
        row[int(observation) - int(discrete.start)] = 1.0
        return row
    return np.asarray(observation, dtype=np.float64).reshape(-1)


def play(
    choice: Choice,
    env: gymnasium.Env[Any, Any],
    *,
    episodes: int,
    seed: int | None = None,
    discount: float = 1.0,
) -> NDArray[np.float64]:
    """Lets a choice act in an environment, and learn from it.

    Truncated episodes are cut off for a learner of sequences, and ended for others, which could
    learn nothing from them otherwise.

    Args:
        choice: over the environment's actions, as `choice_for` makes it.
        env: the environment; it is not closed.
        episodes: how many to play.
        seed: of the environment's first reset.
        discount: what a reward one step later is worth.

    Returns:
        float64[episodes]: the undiscounted return of each.
    """
    space, cuts = env.observation_space, isinstance(choice.learner, SequenceLearner)
    returns = np.zeros(episodes)
    for number in range(episodes):
        observation, _ = env.reset(seed=seed if number == 0 else None)
        with choice.episode(discount=discount) as episode:
            terminated = truncated = False
            while not (terminated or truncated):
                decision = episode.choose_row(row_of(space, observation))
                observation, reward, terminated, truncated, _ = env.step(decision.arm)
                episode.reward(reward=float(reward))
                returns[number] += float(reward)
            if terminated or not cuts:
                episode.feedback()
    return returns


def environment(program: Callable[[Place], object], choice: Choice) -> gymnasium.Env[Any, Any]:
    """An environment in which other people's agents sit where a choice would.

    Each episode runs the program once, in a thread of its own. Wherever the program chooses, the
    agent gets the context as an observation, and its action is the arm; what the program reports
    until it chooses again is the reward, through the choice's objective. The episode ends when the
    program returns; what the program raises, `step` raises.

    Args:
        program: called with a `Place`, which has a choice's methods.
        choice: what describes the place: arms, context and metric. It is neither asked nor taught.

    Returns:
        An environment with discrete actions (indices of the arms) and a box of observations:
        numbers as they are, flags 0 or 1, categories one-hot, one more for what may be missing.

    Raises:
        TypeError: the choice takes candidates, or Gymnasium is not installed.
    """
    import gymnasium

    if choice._arms.takes_candidates:
        raise TypeError("an agent's actions are fixed: the choice must not take candidates")
    width = sum(_width(field.buckets, field.optional) for field in choice.schema.fields)

    class PlaceEnv(gymnasium.Env[NDArray[np.float32], Any]):
        metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012
        action_space = gymnasium.spaces.Discrete(len(choice.arms))
        observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (width,), np.float32)
        _run: _Run | None = None

        def reset(
            self, *, seed: int | None = None, options: dict[str, Any] | None = None
        ) -> tuple[NDArray[np.float32], dict[str, Any]]:
            super().reset(seed=seed)
            self.close()
            self._run = _Run(program, Place(choice, self.np_random))
            turn = self._run.turn()
            if turn.ended:
                raise RuntimeError("the program chose nothing")
            return turn.observation, {}

        def step(
            self, action: Any
        ) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
            if self._run is None:
                raise RuntimeError("reset() comes before step()")
            self._run.place.actions.put(int(action))
            turn = self._run.turn()
            if turn.ended:
                self._run = None
            return turn.observation, turn.reward, turn.ended, False, {}

        def close(self) -> None:
            run, self._run = self._run, None
            if run is not None:
                run.abandon()

    return PlaceEnv()


class Turn(NamedTuple):
    """What a program did until it chose again, or came to its end."""

    observation: NDArray[np.float32]
    reward: float
    ended: bool
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class PlaceDecision:
    """As `Decision`, made by an agent."""

    place: Place
    arm: Any
    index: int
    id: int

    def feedback(self, **metrics: float) -> bool:
        """As `Decision.feedback`."""
        return self.place.feedback(self.id, **metrics)


class Place:
    """Stands in for a choice (and for its episodes) in a program that an agent drives.

    Attributes:
        random: a generator seeded by the environment's reset; a program that draws from it alone
            repeats itself.
    """

    def __init__(self, choice: Choice, random: np.random.Generator) -> None:
        self.random = random
        self.turns: queue.SimpleQueue[Turn] = queue.SimpleQueue()
        self.actions: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self.observation = np.zeros(0, np.float32)
        self._choice = choice
        self._reward = 0.0
        self._decisions = 0

    def choose(self, **context: Any) -> PlaceDecision:
        """Asks the agent."""
        self.observation = _observe(self._choice, context)
        self.turns.put(Turn(self.observation, self.take_reward(), False))
        index = self.actions.get()
        if index is None:
            raise _AbandonedError
        self._decisions += 1
        return PlaceDecision(self, self._choice.arms[index], index, self._decisions)

    def choose_row(self, row: Any, /) -> PlaceDecision:
        """Asks the agent; numbers and flags only."""
        return self.choose(**dict(zip(self._choice.schema.names, row, strict=True)))

    def feedback(self, decision_id: int = 0, /, **metrics: float) -> bool:
        """Counts for the agent's last action, whichever decision it is about."""
        if not metrics:
            return True
        reward = self._choice.objective.reward(**metrics)
        if not math.isfinite(reward):
            return False
        self._reward += reward
        return True

    reward = feedback

    def episode(self, *, discount: float = 1.0) -> Place:
        """The place itself: the program's whole run is one episode."""
        return self

    def take_reward(self) -> float:
        """What was reported since the last call."""
        reward, self._reward = self._reward, 0.0
        return reward

    def __enter__(self) -> Place:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass


class _AbandonedError(BaseException):
    """Unwinds a program whose environment was reset or closed; nothing a program should catch."""


class _Run:
    """One run of a program in a thread that takes turns with the environment's."""

    def __init__(self, program: Callable[[Place], object], place: Place) -> None:
        self.place = place
        self._thread = threading.Thread(target=self._work, args=(program,), daemon=True)
        self._thread.start()

    def turn(self) -> Turn:
        """The program's next choice, or its end.

        Raises:
            TimeoutError: it comes to neither within `WAIT_S`.
        """
        try:
            turn = self.place.turns.get(timeout=WAIT_S)
        except queue.Empty:
            raise TimeoutError(f"the program did not choose within {WAIT_S:g} s") from None
        if turn.error is not None:
            raise turn.error
        return turn

    def abandon(self) -> None:
        """Ends the program where it waits for an action."""
        self.place.actions.put(None)
        self._thread.join(timeout=WAIT_S)

    def _work(self, program: Callable[[Place], object]) -> None:
        error: BaseException | None = None
        try:
            program(self.place)
        except _AbandonedError:
            return
        except BaseException as raised:
            error = raised
        place = self.place
        place.turns.put(Turn(place.observation, place.take_reward(), True, error))


def _space(space: Any, kind: str) -> Any:
    import gymnasium

    if not isinstance(space, getattr(gymnasium.spaces, kind)):
        raise TypeError(f"a choice acts in {kind} spaces, not in {space}")
    return space


def _context(space: Any) -> Mapping[str, object]:
    if type(space).__name__ == "Discrete":
        return {f"s{value}": bool for value in range(int(space.n))}
    return {f"x{i}": float for i in range(int(np.prod(_space(space, "Box").shape)))}


def _width(buckets: int, optional: bool) -> int:
    return (buckets or 1) + optional


def _observe(choice: Choice, context: Mapping[str, Any]) -> NDArray[np.float32]:
    """One context as an observation; raises for what a choice would call a bad context."""
    unknown = context.keys() - set(choice.schema.names)
    if unknown:
        raise ValueError(f"unknown context name {min(unknown)!r}")
    values: list[float] = []
    for field in choice.schema.fields:
        value = context.get(field.name)
        missing = value is None or (isinstance(value, float) and math.isnan(value))
        if missing and not field.optional:
            raise ValueError(f"{field.name} is missing")
        part = [0.0] * (field.buckets or 1)
        if field.buckets and not missing:
            part[int(choice.code(field.name, str(value))) % field.buckets] = 1.0
        elif not missing:
            part[0] = float(value)  # type: ignore[arg-type]
        values += part + [float(missing)] * field.optional
    return np.array(values, np.float32)
