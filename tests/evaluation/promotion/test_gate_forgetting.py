"""A gate before a choice that forgets: what was judged is no more, and another candidate begins."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gated import gate_of, go_to, live, make


@pytest.mark.parametrize("stage", [0, 1, 3])
def test_it_goes_back_to_shadow(tmp_path: Path, stage: int) -> None:
    choice, rng = make(tmp_path), np.random.default_rng(1)
    gate = gate_of(choice, probe=0.05)
    go_to(gate, stage)
    live(choice, rng, 300, gap=0.0)
    before = gate.step()
    assert before.comparison.learned_decisions > 0
    choice.forget(reason="another world")
    # So many that the new sums could pass for a continuation of the old ones.
    live(choice, rng, 2000, gap=0.0)
    status = gate.step()
    assert (status.stage, status.attempt) == ("shadow", before.attempt + 1)
    assert choice.mode == "canary"  # the probe: there is no cool-down, nobody has failed
    assert "has forgotten" in status.transitions[-1].why
    assert status.comparison.learned_decisions == 0
    live(choice, rng, 500, gap=0.0)
    seen = gate.step().comparison
    assert seen.learned_decisions + seen.default_decisions == 500
    assert gate.status().attempt == before.attempt + 1


def test_what_was_decided_before_is_no_evidence(tmp_path: Path) -> None:
    choice, rng = make(tmp_path), np.random.default_rng(1)
    gate = gate_of(choice, probe=0.1)
    live(choice, rng, 4000, gap=5.0)
    choice.forget()
    status = gate.step()
    assert status.stage == "shadow"
    live(choice, rng, 10, gap=5.0)
    assert "no estimate" in gate.step().waiting or "refuses" in gate.step().waiting
    while not gate.step().promoted:
        live(choice, rng, 500, gap=5.0)
        assert choice.counters()["learned"] < 20_000
