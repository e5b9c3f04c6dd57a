"""The gate's promises, tried out: how often it errs, over whole lives, and how soon it says yes."""

from __future__ import annotations

import numpy as np
from gated import gate_of, go_to, live, make, upper_bound

from acumen.evaluation.off_policy import DecisionLog
from acumen.learners import EpsilonGreedy

ERROR = 0.05


def lives(gap: float, runs: int, decisions: int, step: int, **changes: object) -> list[list[str]]:
    """The stages that candidates come to, each begun in the first canary stage."""
    told = []
    for seed in range(runs):
        rng, choice = np.random.default_rng(seed), make(seed=seed)
        gate = gate_of(choice, error=ERROR, **changes)
        go_to(gate, 1)
        for _ in range(decisions // step):
            live(choice, rng, step, gap)
            if gate.step().stage in ("shadow", "on"):
                break
        told.append([t.after for t in gate.status().transitions[1:]])
    return told


def test_wrong_steps_are_as_rare_as_promised() -> None:
    """Of candidates that are exactly equal, looked at after every 100 decisions.

    The bound is on any step up, not on coming to the end; nor may more fall back than `alarm`
    says. Most of them stay in the canary for all of their life.
    """
    runs = 150
    told = lives(0.0, runs, decisions=12_000, step=100, alarm=0.05)
    assert sum(not steps for steps in told) > runs / 2  # they had their chance all along
    wrong = sum("canary 0.5" in steps for steps in told)
    assert upper_bound(wrong, runs) <= ERROR
    assert not any("on" in steps for steps in told)
    assert upper_bound(sum("shadow" in steps for steps in told), runs) <= 0.05


def test_a_better_candidate_comes_through() -> None:
    """Better by half a standard deviation: on within 10,000 decisions, in 19 of 20 lives."""
    runs = 60
    told = lives(0.625, runs, decisions=10_000, step=250)  # 0.5, less its exploration
    failed = sum(steps[-1:] != ["on"] for steps in told)
    assert upper_bound(failed, runs, 0.95) <= 0.05


def test_looks_at_a_log_err_as_rarely_as_promised() -> None:
    """Equal arms, a log that grows, a look each time it is half as large again."""
    runs = 100
    wrong = sum(passes_by_looks(seed) for seed in range(runs))
    assert upper_bound(wrong, runs) <= ERROR


def passes_by_looks(seed: int) -> bool:
    rng, n = np.random.default_rng(seed), 3000
    choice = make(seed=seed, learner=EpsilonGreedy(epsilon=0.1), mode="on")
    live(choice, rng, 500, 0.0)  # what it has learned from is another log
    whole = DecisionLog.of(
        rng.integers(2, size=n),
        np.full(n, 0.5),
        rng.standard_normal(n),
        context=rng.standard_normal((n, 1)),
        schema=choice.schema,
    )
    object.__setattr__(whole, "default", np.zeros(n, np.int64))
    size = 300
    gate = gate_of(choice, evidence=lambda: whole.take(np.arange(size)))
    while size < n and gate.status().stage == "shadow":
        size = int(size * 1.5) + 1
        gate.step()
    return gate.status().stage != "shadow"
