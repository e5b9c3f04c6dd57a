"""Judge a new rule from the log of the old one, before it serves anybody.

A program chooses a codec, half of the time by chance. From what was recorded: what would a rule of
thumb have cost?

    python examples/judge_before_serving.py
"""

import numpy as np

import acumen
from acumen.evaluation.off_policy import compare, estimate, read_records

SECONDS = {  # a KiB, for text and for pictures
    "none": (3.0, 1.2),
    "lz4": (1.0, 1.4),
    "zstd-3": (1.4, 2.0),
}

codec = acumen.Choice(
    "codec",
    arms=list(SECONDS),
    context={"size": float, "picture": bool},
    default="zstd-3",
    metric=acumen.minimize("seconds"),
    learner=acumen.learners.EpsilonGreedy(epsilon=0.5),
    seed=1,
)

rng = np.random.default_rng(1)
for _ in range(4000):
    size, picture = float(rng.lognormal(2, 1)), bool(rng.random() < 0.5)
    decision = codec.choose(size=size, picture=picture)
    if rng.random() < 0.99:  # some answers never come
        seconds = SECONDS[decision.arm][picture] * size * rng.lognormal(0, 0.3)
        decision.feedback(seconds=seconds)

log = read_records(codec.records(), acumen.minimize("seconds"))


def rule(context: dict[str, float]) -> int:
    """Pictures are compressed already."""
    return 0 if context["picture"] else 1


print("as served  ", estimate(log, "logged").verdict)
print("always lz4 ", estimate(log, 1).verdict)
print("the rule   ", estimate(log, rule).verdict)
print("rule - lz4 ", compare(log, rule, 1))
print("of 100 rows", estimate(log.take(np.arange(100)), rule).verdict)
