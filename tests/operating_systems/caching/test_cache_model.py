"""acumen.Cache against a plain dict, on sequences of operations that Hypothesis invents."""

import math
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from acumen import Cache

# Few keys, so that they come back; of kinds with fast and with slow comparison, equal across types.
KEYS = st.one_of(
    st.integers(-3, 12),
    st.sampled_from([0.0, 1.0, 2.5, True, "a", "b", "ab", None, (), (1, "a"), (1.0, "a")]),
)
VALUES = st.integers(0, 9)
TTL = 10.0


class CacheMachine(RuleBasedStateMachine):
    """`model` holds what was set and not removed since, with the time when it was set.

    The cache may have evicted any of it but the newest; what it has must be right.
    """

    cache: Cache[Any, int]

    @initialize(
        maxsize=st.sampled_from([1, 2, 3, 8, 20, math.inf]),
        sized=st.booleans(),
        timed=st.booleans(),
        seed=st.integers(0, 3),
    )
    def start(self, maxsize: float, sized: bool, timed: bool, seed: int) -> None:
        self.now = 0.0
        self.model: dict[Any, tuple[int, float]] = {}
        self.sized, self.timed = sized, timed
        self.cache = Cache(
            maxsize,
            getsizeof=(lambda value: value) if sized else None,
            ttl=TTL if timed else None,
            timer=lambda: self.now,
            seed=seed,
        )

    def alive(self, key: Any) -> bool:
        return key in self.model and not (self.timed and self.now >= self.model[key][1] + TTL)

    def note(self, key: Any, value: int) -> None:
        self.model[key] = (value, self.now)
        assert key in self.cache
        assert self.cache.peek(key) == value

    @rule(key=KEYS, value=VALUES)
    def set_item(self, key: Any, value: int) -> None:
        if self.sized and value > self.cache.maxsize:
            before = dict(self.cache)
            try:
                self.cache[key] = value
            except ValueError:
                assert dict(self.cache) == before
                return
            raise AssertionError("a value too large was accepted")
        self.cache[key] = value
        self.note(key, value)

    @rule(key=KEYS)
    def get(self, key: Any) -> None:
        present = key in self.cache
        value = self.cache.get(key, "absent")
        assert (value != "absent") == present
        assert not present or (self.alive(key) and value == self.model[key][0])

    @rule(key=KEYS)
    def get_item(self, key: Any) -> None:
        try:
            assert self.cache[key] == self.model[key][0]
            assert self.alive(key)
        except KeyError:
            assert key not in self.cache

    @rule(key=KEYS)
    def set_default(self, key: Any) -> None:
        present = key in self.cache
        if not present and self.sized and self.cache.maxsize < 1:
            return
        value = self.cache.setdefault(key, 1)
        if present:
            assert value == self.model[key][0]
        else:
            self.note(key, 1)

    @rule(key=KEYS)
    def pop(self, key: Any) -> None:
        present = key in self.cache
        value = self.cache.pop(key, "absent")
        assert (value != "absent") == present
        assert not present or value == self.model[key][0]
        assert key not in self.cache
        self.model.pop(key, None)

    @precondition(lambda self: len(self.cache) > 0)
    @rule()
    def pop_item(self) -> None:
        count = len(self.cache)
        key, value = self.cache.popitem()
        assert self.alive(key)
        assert self.model.pop(key)[0] == value
        assert len(self.cache) == count - 1

    @rule(content=st.dictionaries(KEYS, st.just(1), max_size=5))
    def update(self, content: dict[Any, int]) -> None:
        self.cache.update(content)
        for key, value in content.items():
            self.model[key] = (value, self.now)

    @rule(seconds=st.sampled_from([0.5, 3.0, 11.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def clear(self) -> None:
        self.cache.clear()
        self.model.clear()

    @invariant()
    def content_is_right(self) -> None:
        if not hasattr(self, "cache"):
            return
        items = list(self.cache.items())
        assert len(items) == len(self.cache)
        assert all(self.alive(key) and self.model[key][0] == value for key, value in items)
        size = sum(value for _, value in items) if self.sized else len(items)
        assert self.cache.currsize == size <= self.cache.maxsize
        if self.cache.maxsize == math.inf:
            assert len(items) == sum(map(self.alive, self.model))


TestCacheMachine = CacheMachine.TestCase
TestCacheMachine.settings = settings(
    max_examples=100, stateful_step_count=60, deadline=None, derandomize=True, database=None
)
