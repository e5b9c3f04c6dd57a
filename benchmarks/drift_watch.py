"""A watch over a live choice: how soon it notices, what that saves, and what choosing pays for it.

Run: ``.venv/bin/python benchmarks/drift_watch.py [--worlds 50]``. Worlds are seeded: two arms of
which x tells the better one, and a default in the middle; after 10,000 decisions the better arm is
the worse one. Every world is lived through twice, without a watch and with one that explores.
"""

import argparse
import statistics
import time
import warnings
from dataclasses import dataclass

import numpy as np

import acumen
from acumen.core import LearnerSpec

LEARNERS: list[LearnerSpec] = [
    acumen.learners.BinnedAdditive(),
    acumen.learners.LinUCB(),
    acumen.learners.LinearThompson(),
    acumen.learners.SquareCB(),
    acumen.learners.EpsilonGreedy(),
    acumen.learners.SoftmaxGradient(),
]
BEFORE, AFTER, BLOCK = 10_000, 10_000, 50


@dataclass
class Lived:
    """What a life earned a decision, before and after, and the first alarm's delay (or -1)."""

    before: float
    after: float
    delay: int
    early: int


def live(learner: LearnerSpec, seed: int, watched: bool, changes: bool = True) -> Lived:
    rng = np.random.default_rng(seed)
    choice = make(learner, seed)
    watch = acumen.DriftWatch(choice, on_reward="explore", seed=seed)
    earned, alarms = [], []
    for start in range(0, BEFORE + AFTER, BLOCK):
        x = rng.standard_normal((BLOCK, 2))
        made = choice.choose_many(x)
        best = (x[:, 0] > 0) ^ (changes and start >= BEFORE)
        means = np.where(made.indices == 2, 0.5, made.indices == best)
        choice.feedback_many(made.ids, r=means + 0.5 * rng.standard_normal(BLOCK))
        earned.append(means.mean())
        alarms += watch.look() if watched else []
    at = BEFORE // BLOCK
    late = [a.decision - BEFORE for a in alarms if a.decision > BEFORE]
    return Lived(
        float(np.mean(earned[at - 40 : at])),
        float(np.mean(earned[at:])),
        late[0] if late else -1,
        len(alarms) - len(late),
    )


def make(learner: LearnerSpec | None, seed: int) -> acumen.Choice:
    return acumen.Choice(
        "c",
        ["a", "b", "c"],
        context={"x": float, "y": float},
        default="c",
        metric=acumen.maximize("r"),
        learner=learner,
        holdback=0.05,
        seed=seed,
    )


def paces(rounds: int, decisions: int) -> dict[str, list[float]]:
    """Ratios of the time for decisions with feedback, watched and (A/A) unwatched, over unwatched.

    The watch looks five times a second, and each time at a whole ring of decisions.
    """
    pairs: dict[str, list[float]] = {}
    rows = np.random.default_rng(0).standard_normal((decisions, 2)).tolist()
    plain, watched, same = (make(None, 1) for _ in range(3))
    watch = acumen.DriftWatch(watched)
    for turn in range(rounds):
        times = {}
        choices = [plain, watched, same]
        for choice in choices[turn % 3 :] + choices[: turn % 3]:
            if choice is watched:
                watch.start(0.2)
            start = time.perf_counter(), time.thread_time()
            for row in rows:
                choice.choose_row(row).feedback(row[0])
            times[choice] = time.perf_counter() - start[0], time.thread_time() - start[1]
            watch.stop()
        for i, clock in enumerate(("wall", "of the thread")):
            for name, other in (("watched", watched), ("A/A", same)):
                ratio = times[other][i] / times[plain][i]
                pairs.setdefault(f"{name}, time {clock}", []).append(ratio)
    return pairs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=2_000_000)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    seeds = range(arguments.seed, arguments.seed + arguments.worlds)
    print(
        "| learner | decisions until the alarm: median | 90 % | before | after, unwatched | "
        "after, watched | alarms before |"
    )
    print("|---|---|---|---|---|---|---|")
    for learner in LEARNERS:
        plain = [live(learner, s, watched=False) for s in seeds]
        lives = [live(learner, s, watched=True) for s in seeds]
        delays = [w.delay if w.delay >= 0 else AFTER for w in lives]
        median, most = np.quantile(delays, [0.5, 0.9])
        print(
            f"| {type(learner).__name__} | {median:.0f} | {most:.0f} | "
            f"{statistics.mean(w.before for w in lives):.3f} | "
            f"{statistics.mean(w.after for w in plain):.3f} | "
            f"{statistics.mean(w.after for w in lives):.3f} | {sum(w.early for w in lives)} |",
            flush=True,
        )
    quiet = [live(acumen.learners.LinUCB(), s, watched=True, changes=False) for s in seeds]
    alarms = sum(w.early + (w.delay >= 0) for w in quiet)
    print(f"\nNothing changes: {len(quiet)} worlds with an alarm in {alarms} of them.")
    for name, ratios in paces(15, 400_000).items():
        low, middle, high = np.quantile(ratios, [0.25, 0.5, 0.75])
        print(f"{name}: {middle:.3f} ({low:.3f} … {high:.3f})")


if __name__ == "__main__":
    main()
