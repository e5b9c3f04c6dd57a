"""`Promotion`: from shadow over canary to on, by evidence alone; and back.

What a step may cost stands in `settings`, what it is taken from in `evidence` (the log) and `sums`
(the live holdback), what survives a restart in `store`.

References:
    Kohavi, Tang & Xu, "Trustworthy Online Controlled Experiments", 2020, ch. 15 (ramping up).
    Johari, Koomen, Pekelis & Walsh, "Always valid inference", Operations Research 2022.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from acumen.core.background import Regular
from acumen.core.choice import Choice
from acumen.core.comparison import LOSS_Z_MAX, Comparison
from acumen.core.modes import MODES
from acumen.core.objective import Objective
from acumen.evaluation.off_policy import Limits
from acumen.evaluation.promotion.evidence import EvidenceError, gather, judge
from acumen.evaluation.promotion.guardrails import Watch, limits_of, status_of
from acumen.evaluation.promotion.imitation import imitation_of, is_untaught
from acumen.evaluation.promotion.settings import Settings, shares_of
from acumen.evaluation.promotion.status import GuardrailStatus, PromotionStatus
from acumen.evaluation.promotion.store import (
    BY,
    State,
    Store,
    StoreError,
    fingerprint,
    last_in_journal,
    path_of,
)
from acumen.evaluation.promotion.sums import Moments, Tossed

if TYPE_CHECKING:
    from acumen.evaluation.promotion.evidence import Evidence

LOCK_SECONDS = 2.0  # a rollback by hand waits so long for another process
GROWTH = 1.5  # a log is looked at again when it has so many times the decisions


class Promotion:
    """Takes a choice's mode over, and moves it when the evidence says so.

    Nothing happens by itself: call `step` now and then (at least once in `pending_max` decisions
    if there are guardrails), or let `start` do it. Gates of several processes whose choices
    share a journal share one state, and each other's evidence.

    Args:
        choice: the candidate is its learned policy; it needs a holdback.
        guardrails: limits that the learned policy's decisions have to keep on average, like
            ``at_most("errors", 0.01)``; the choice has to record these metrics.
        canary: learned shares of the steps between shadow and on, increasing, in (0, 1).
        evidence: what the first step is judged from: a `DecisionLog`, a table like
            `Choice.records()`, or a function that fetches one, of decisions that the model did
            not learn from. None: the choice's journal, where decisions with a coin are.
        probe: share that is learned in stage shadow already, so that the journal has something to
            judge from; 0: none, and nothing but the default is served there.
        margin: the candidate may be worse by so much, in units of reward: for candidates that
            are to replace the default rather than to beat it.
        error: probability that the gate ever goes a step up by mistake.
        alarm: probability that an attempt is rolled back by mistake.
        decisions: of each side, in every stage, before anything is concluded.
        cooldown: seconds between a rollback and the next attempt; twice as many each time.
        window: decisions that are watched together when it is on, so that a late regression is
            not drowned in a good past.
        look_seconds: the log is read at most this often, and at most a twentieth of the time; 0:
            in every step of the first stage.
        limits: what the off-policy estimator refuses.
        state: a file to keep the stage in; None: beside the journal, if there is one, else in
            memory only.

    Raises:
        TypeError, ValueError: something above is wrong.
    """

    def __init__(
        self,
        choice: Choice,
        *,
        guardrails: Iterable[Objective] = (),
        canary: Sequence[float] = (0.01, 0.1, 0.5),
        evidence: Evidence | None = None,
        probe: float = 0.0,
        margin: float = 0.0,
        error: float = 0.05,
        alarm: float = 0.05,
        decisions: int = 200,
        cooldown: float = 3600.0,
        window: int = 100_000,
        look_seconds: float = 60.0,
        limits: Limits | None = None,
        state: str | os.PathLike[str] | None = None,
    ) -> None:
        if not isinstance(choice, Choice):
            raise TypeError(f"a gate is for a Choice, not {choice!r}")
        if not 0 < choice._holdback < 1:
            raise ValueError("the choice needs a holdback: nothing else tells of a regression")
        if evidence is None and choice.journal is None:
            raise ValueError("nothing to judge from: give the choice a journal, or evidence=")
        self.choice = choice
        self.settings = Settings(
            terms=limits_of(guardrails, choice),
            canary=shares_of(canary),
            probe=float(probe),
            margin=float(margin),
            error=error,
            alarm=alarm,
            decisions=decisions,
            cooldown=cooldown,
            window=window,
            look_seconds=look_seconds,
            limits=limits,
        )
        self.stages = self.settings.stages
        self._evidence = evidence
        self._store = Store(path_of(choice, state))
        self._state = State(since=time.time(), plan=self.settings.plan(self.choice))
        self._applied: tuple[str, float] | None = None
        self._serial = -1
        self._unsaved = self._rebuilt = self._schooling = False
        self._known_plan = self._state.plan
        self._next_look = -math.inf
        self._estimate = self._waiting = self._problem = ""
        self._turn = threading.RLock()
        self._seen = Tossed()
        self._rebase()
        self._background = Regular("acumen-promotion", self.step, self._after_fork)
        self._begin()

    def step(self) -> PromotionStatus:
        """Looks at what has come since the last step, and moves the candidate if that says so.

        Cheap, apart from a look at the log (see `look_seconds`). Safe from many threads and
        processes: who finds another at it does nothing.
        """
        with self._turn:
            try:
                with self._store.locked() as alone:
                    if alone:
                        self._problem = ""
                        self._advance()
                    else:
                        self._waiting = "another process is taking this step"
            except OSError as error:
                self._problem = f"{error}"
                self._retreat_unsaved()
            return self.status()

    def rollback(self, why: str) -> PromotionStatus:
        """Takes the candidate back to shadow, by hand; the cool-down begins."""
        deadline = time.monotonic() + LOCK_SECONDS
        with self._turn:
            while True:
                try:
                    with self._store.locked() as alone:
                        if alone or time.monotonic() > deadline:
                            self._take_over()
                            self._roll_back(f"by hand: {why}")
                            return self.status()
                except OSError as error:
                    self._roll_back(f"by hand: {why}")
                    self._problem = str(error)
                    return self.status()
                time.sleep(0.01)

    def resume(self) -> PromotionStatus:
        """Gives the gate the mode back, after it was set by hand."""
        with self._turn:
            self._applied = None
            self._rebase()
            return self.step()

    def start(self, interval: float = 1.0) -> Promotion:
        """Steps in a thread of its own, every so many seconds, until `stop`; forks are survived.

        Raises:
            ValueError: an impossible interval.
        """
        if not 0.001 <= interval <= 86_400:
            raise ValueError(f"interval must be between 0.001 and 86,400 s, not {interval}")
        if not self._background.alive:
            self._background.start_every(interval)
        return self

    def stop(self) -> None:
        """Ends the thread; the mode stays what it is."""
        self._background.stop()

    def __enter__(self) -> Promotion:
        """Starts the thread."""
        return self.start()

    def __exit__(self, *_: object) -> None:
        """Stops it."""
        self.stop()

    def __str__(self) -> str:
        """Where it stands, and why it is not further."""
        return str(self.status())

    def status(self) -> PromotionStatus:
        """Where it stands; changes nothing."""
        with self._turn:
            state = self._state
            problem = "; ".join(filter(None, (self._problem, self._watch.problem)))
            return PromotionStatus(
                choice=self.choice.name,
                stage=self.stages[state.stage],
                stages=self.stages,
                mode=self.choice.mode,
                attempt=state.attempt,
                since=state.since,
                waiting=self._waiting,
                estimate=self._estimate,
                comparison=state.tossed.comparison(self._step_error()),
                guardrails=self._guardrails(),
                imitation=str(imitation_of(self.choice) or ""),
                transitions=tuple(state.history),
                problem=problem,
            )

    def _after_fork(self) -> None:
        """In the child: a step that the parent is in is not this process's."""
        self._turn = threading.RLock()
        self._store.leave()
        self._rebase()

    def _begin(self) -> None:
        """Takes the mode over; while others are long at it, nothing but the default is served."""
        deadline = time.monotonic() + LOCK_SECONDS
        self.step()
        while self._applied is None and time.monotonic() < deadline:
            time.sleep(0.01)
            self.step()
        if self._applied is None:
            self.choice._set_mode(MODES.index("shadow"), 0.0, {"by": BY, "why": self._waiting})

    # One step, for who has the turn and the lock.

    def _advance(self) -> None:
        if not self._take_over() or self._held_by_hand():
            return
        self._apply()
        news = self._gather()
        if self.choice.mode == "killed":
            self._waiting = "the kill switch is set"
        else:
            self._decide()
        if self._unsaved:
            self._save()
        elif news:
            self._store.save(self._state, durable=False)

    def _take_over(self) -> bool:
        """The state that all processes share; False: it is not this gate's to decide."""
        found, first = None, self._serial < 0
        try:
            found = self._store.load()
        except StoreError as error:
            self._problem = f"begun anew: {error}"
            self._unsaved = not first
        if found is None and first and self._store.path is not None:
            found = self._from_journal()
            self._unsaved = found is None  # the next one is to find it
        if found is not None and found.serial >= self._state.serial and not self._unsaved:
            self._state = found
            self._unsaved = self._rebuilt
        self._rebuilt = False
        if self._state.stage >= len(self.stages):
            self._state.stage = 0
        plan, before = self.settings.plan(self.choice), self._known_plan
        self._known_plan = plan
        if self._state.plan == plan:
            return True
        if not first and plan == before:
            self._problem = "another process runs this gate with other settings"
            if self._state.stage == 0 and not self._held_by_hand():
                self._apply()
            return False
        self._state.plan = plan
        self._state.attempt += 1
        self._move(0, "the gate's settings, or the choice's objective, have changed")
        return True

    def _from_journal(self) -> State | None:
        """After the last transition there; its sums are gone: what comes is another attempt's."""
        writer = self.choice.journal
        found = last_in_journal(writer.journal, self.choice.name) if writer else None
        if found is not None:
            plan = self.settings.plan(self.choice)
            self._rebuilt = True
            found.attempt += 1
            found.stage = found.stage if found.plan == fingerprint(plan) else 0
            found.plan = plan
        return found

    def _held_by_hand(self) -> bool:
        mode, share, _ = self.choice._mode()
        by_hand = self._applied is not None and (
            MODES[mode] != self._applied[0]
            or (MODES[mode] == "canary" and abs(share - self._applied[1]) > 1e-6)
        )
        if by_hand:
            self._waiting = f"the mode was set to {MODES[mode]!r} by hand; resume() takes it back"
        return by_hand

    def _wanted(self) -> tuple[str, float]:
        if is_untaught(self.choice):
            return "shadow", 0.0
        return self.settings.mode(self._state.stage, time.time() < self._state.cool_until)

    def _apply(self, why: str = "") -> None:
        """Makes the choice's mode that of the stage, and puts on record why."""
        wanted, state, by = self._wanted(), self._state, BY
        if wanted == self._applied and self._serial == state.serial:
            return
        untaught = is_untaught(self.choice)
        if not why and self._serial == state.serial:
            schooled = untaught or self._schooling
            why = f"it {imitation_of(self.choice)}" if schooled else "the cool-down is over"
        elif not why:
            why = state.history[-1].why if state.history else "the gate begins"
            by += ", as it stood" if self._serial < 0 else ", following another process"
            self._rebase()
        said = {"by": by, "why": why, "stage": self.stages[state.stage]}
        share = wanted[1] if wanted[0] == "canary" else self.choice._mode()[1]
        self.choice._set_mode(MODES.index(wanted[0]), share, said | {"promotion": state.brief()})
        self._applied, self._serial, self._schooling = wanted, state.serial, untaught

    def _gather(self) -> bool:
        """Adds what has come since the last step to the sums of all; whether there was any."""
        held = self.choice._held
        if held is not self._held and not held.followed:
            self._rebase()  # another model was loaded: its past is not of this stage
        now = Tossed.native(self.choice._comparison_sums())
        if self.choice._forgotten != self._forgotten:
            self._rebase()
            self._state.attempt += 1
            self._move(0, "the model has forgotten what it had learned: another candidate")
            return False
        if not now.contains(self._seen):
            self._seen = now
        fresh, self._seen = now - self._seen, now
        state, metrics = self._state, self._watch.news()
        state.tossed += fresh
        state.metrics |= {n: state.metrics.get(n, Moments()) + m for n, m in metrics.items()}
        return fresh.decisions > 0 or any(m.n for m in metrics.values())

    def _decide(self) -> None:
        state, alarm, imitation = self._state, self._alarmed(), imitation_of(self.choice)
        if alarm:
            self._roll_back(alarm)
        elif imitation and not imitation.kept and state.stage < len(self.stages) - 1:
            self._waiting = f"the apprentice {imitation}"
        elif state.stage == 0:
            self._look()
        elif state.stage < len(self.stages) - 1:
            self._compare()
        else:
            self._waiting = ""
            if state.tossed.decisions >= self.settings.window:
                state.window += 1
                state.forget_evidence()

    def _alarmed(self) -> str:
        """Why the candidate has to go back; empty if it has not."""
        broken = [g for g in self._guardrails() if g.broken]
        if broken:
            return f"guardrail {broken[0]}"
        seen = self._state.tossed.comparison(self._alarm_error())
        worse = self._enough(seen) and seen.high < -self.settings.margin
        return f"regression: {seen}" if worse else ""

    def _look(self) -> None:
        """Stage shadow: the off-policy estimate."""
        state, now = self._state, time.time()
        if now < state.cool_until:
            self._waiting = f"cooling down for another {state.cool_until - now:.0f} s"
            return
        if now < self._next_look:
            return
        try:
            self._next_look = now + self.settings.look_seconds
            found = gather(self.choice, self._evidence, state.since if state.attempt > 1 else 0.0)
            if self.settings.look_seconds:
                # However long the log is, reading it takes a twentieth of the time at most.
                self._next_look = max(self._next_look, now + 20 * (time.time() - now))
            if found.rows < GROWTH * state.look_rows:
                self._waiting = (
                    f"the log has {found.rows:,} decisions; the next look is at "
                    f"{math.ceil(GROWTH * state.look_rows):,}"
                )
                return
            alpha = self.settings.look_error(state.attempt, state.looks + 1)
            difference = judge(found, alpha, self.settings.limits)
        except EvidenceError as error:
            self._waiting = f"no estimate: {error}"
            return
        self._estimate = str(difference)
        if difference.low is None:
            self._waiting = f"the estimator refuses: {difference.refusal}"
            return
        state.looks += 1
        state.look_rows = found.rows
        if difference.low > -self.settings.margin:
            self._move(1, f"off-policy estimate, {found.rows:,} decisions: {difference}")
            return
        self._save()
        self._waiting = f"the estimate's lower end {difference.low:+.4g} {self._short()}"

    def _compare(self) -> None:
        """A canary stage: the holdback's interval."""
        state = self._state
        seen = state.tossed.comparison(self._step_error())
        kept = [g for g in self._guardrails() if not g.kept]
        if not self._enough(seen):
            self._waiting = (
                f"{seen.learned_decisions} learned and {seen.default_decisions} default decisions "
                f"of the {self.settings.decisions} needed of each"
            )
        elif abs(seen.loss_z) > LOSS_Z_MAX:
            self._waiting = (
                "one side loses more decisions than the other "
                f"({seen.learned_lost} learned, {seen.default_lost} default)"
            )
        elif kept:
            self._waiting = f"guardrail {kept[0]}"
        elif seen.low <= -self.settings.margin:
            self._waiting = f"the interval's lower end {seen.low:+.4g} {self._short()}"
        else:
            self._move(state.stage + 1, str(seen))

    def _short(self) -> str:
        return f"is not above {-self.settings.margin or 0.0:+.4g}"

    def _enough(self, seen: Comparison) -> bool:
        return min(seen.learned_decisions, seen.default_decisions) >= self.settings.decisions

    def _roll_back(self, why: str) -> None:
        state = self._state
        state.rollbacks += 1
        state.attempt += 1
        state.cool_until = time.time() + self.settings.cooldown_after(state.rollbacks)
        self._move(0, why)

    def _move(self, stage: int, why: str) -> None:
        old, unsaved, up = self._state, self._unsaved, stage > self._state.stage
        self._state = old.moved(stage, self.stages, why)
        try:
            self._save()
        except OSError as error:
            self._problem = str(error)
            if up:
                # What could not be put down is not done: nobody would know of it.
                self._state, self._unsaved = old, unsaved
                raise
        self._waiting = ""
        self._apply(why)

    def _save(self) -> None:
        self._unsaved = True
        self._store.save(self._state, durable=True)
        self._unsaved = False

    def _retreat_unsaved(self) -> None:
        """The shared state cannot be reached: a regression is still seen and acted on."""
        if self._applied is None:
            self._apply()
        elif not self._held_by_hand():
            self._gather()
            alarm = self._alarmed() if self._state.stage and self.choice.mode != "killed" else ""
            if alarm:
                self._roll_back(alarm)

    def _rebase(self) -> None:
        """What was decided so far counts no longer, or was counted already."""
        self._held, self._forgotten = self.choice._held, self.choice._forgotten
        self._seen = Tossed.native(self.choice._comparison_sums())
        self._watch = Watch(self.choice, tuple(t.metric for t in self.settings.terms))

    def _step_error(self) -> float:
        return self.settings.step_error(self._state.attempt)

    def _alarm_error(self) -> float:
        return self.settings.alarm_error(self._state.window)

    def _guardrails(self) -> tuple[GuardrailStatus, ...]:
        metrics, alpha = self._state.metrics, self._alarm_error()
        return tuple(
            status_of(t, metrics.get(t.metric, Moments()), alpha) for t in self.settings.terms
        )
