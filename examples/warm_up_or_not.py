"""An early choice that pays late: a sequence of choices, one feedback for all.

A worker may start at once, or warm its cache up first, which costs a second. Six jobs follow; each
is slow without the cache. Only the total is measured, at the end.

    python examples/warm_up_or_not.py
"""

import random

import acumen
from acumen.learners import SarsaLambda

JOBS = 6


def run(choice: acumen.Choice, rng: random.Random) -> tuple[str, float]:
    """One shift of the worker: whether it warmed up, and the seconds it took."""
    with choice.episode() as episode:
        first = episode.choose(jobs_left=JOBS, warm=False).arm
        warm = first == "warm up"
        seconds = 1.0 if warm else 0.0
        for job in range(JOBS):
            arm = episode.choose(jobs_left=JOBS - job - 1, warm=warm).arm
            seconds += 1.0 if arm == "warm up" and job else 0.0  # too late: time lost
            seconds += rng.uniform(0.1, 0.3) if warm else rng.uniform(0.5, 0.7)
        episode.feedback(seconds=seconds)
    return first, seconds


def main() -> None:
    """Works 600 shifts and says what was learned."""
    choice = acumen.Choice(
        "warm-up",
        arms=["start", "warm up"],
        context={"jobs_left": float, "warm": bool},
        default="start",  # what the program does today
        metric=acumen.minimize("seconds"),
        learner=SarsaLambda(),
        seed=1,
    )
    rng = random.Random(1)
    shifts = [run(choice, rng) for _ in range(600)]
    for name, part in (("first", shifts[:100]), ("last", shifts[-100:])):
        seconds = sum(taken for _, taken in part) / len(part)
        warmed = sum(first == "warm up" for first, _ in part)
        print(f"{name:>5} 100 shifts: {seconds:.2f} s each, {warmed} warmed up at once")


if __name__ == "__main__":
    main()
