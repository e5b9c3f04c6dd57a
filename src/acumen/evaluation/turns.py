"""Times compared fairly: everybody of a cell in one process, in turns.

A machine is now faster, now slower. Contenders that are timed one after the other are compared
across these changes; in turns, they meet the same ones. So every round times everybody once, in an
order drawn anew, and each contender's figure is its median over the rounds.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from acumen.evaluation.race import Contender, Measurement, Setting
from acumen.evaluation.workers import Outcome, attempt


def take_turns(
    contenders: Sequence[Contender], payload: Any, setting: Setting, seed: int
) -> list[tuple[str, Outcome]]:
    """Runs a cell.

    Args:
        contenders: who takes part, each in as many rounds as it has `repeats`, or fewer where it
            is slow beyond its `patience`. All are measured with the same seeds, `seed` + the number
            of the round.
        payload: the workload's.
        setting: the cell's.
        seed: of the first round, and of the order in all of them.

    Returns:
        Name and outcome of each contender, in the order given; the result is its list of
        measurements. Who fails once is left out of further rounds.
    """
    order = random.Random(seed)
    runs: dict[str, Outcome] = {contender.name: Outcome(result=[]) for contender in contenders}
    for number in range(max((contender.repeats for contender in contenders), default=0)):
        done = [run.result for run in runs.values() if run.error is None and run.result]
        fastest = min((min(m.value for m in each) for each in done), default=0.0)
        for contender in order.sample(contenders, len(contenders)):
            if number >= contender.repeats or runs[contender.name].error is not None:
                continue
            if _suffices(contender, runs[contender.name].result, fastest):
                continue
            outcome = attempt(contender.measure, payload, setting, seed + number)
            if outcome.error is not None:
                runs[contender.name] = outcome
            else:
                runs[contender.name].result.append(outcome.result)
    return list(runs.items())


def _suffices(contender: Contender, done: Sequence[Measurement], fastest: float) -> bool:
    """Whether what was measured says enough: more of it would only cost time."""
    if len(done) < 2:
        return False
    hopeless = min(m.value for m in done) > contender.patience * fastest
    return hopeless or (len(done) > 2 and sum(m.cpu_seconds for m in done) > contender.seconds_max)
