"""From a heuristic to a learned choice without a leap: apprentice, shadow, canary, on.

A program compresses blocks before it sends them: zstd for what looks compressible, nothing else.
First it only keeps a journal. Then a learner is taught what the heuristic does, and a gate lets it
serve more and more, as long as it is no slower and fails no more often. At last the blocks change,
so that one codec fails, and the gate takes it back.

    python examples/promote_codec.py
"""

import random
import tempfile

import acumen
from acumen.learners import Apprentice

ARMS = ["none", "lz4", "zstd"]
RATIO = {"none": 1.0, "lz4": 0.7, "zstd": 0.55}  # what is left of a block that is all zeros
SPEED = {"none": 1e9, "lz4": 60.0, "zstd": 12.0}  # megabytes a second


def heuristic(context: dict[str, float]) -> str:
    """What the program does today."""
    return "zstd" if context["entropy"] < 0.5 else "none"


def seconds(arm: str, size: float, entropy: float, rng: random.Random) -> float:
    """Time to compress a block of so many megabytes and to send it at 20 MB/s."""
    left = 1.0 - (1.0 - RATIO[arm]) * (1.0 - entropy) * 1.8
    return (size / SPEED[arm] + size * left / 20.0) * rng.uniform(0.9, 1.1)


def make(folder: str, mode: str) -> acumen.Choice:
    """The choice, with a journal in this folder."""
    return acumen.Choice(
        "codec",
        ARMS,
        context={"size": float, "entropy": float},
        default=heuristic,
        metric=acumen.minimize("seconds") + acumen.observe("failed"),
        learner=Apprentice(),
        mode=mode,
        holdback=0.1,
        journal=folder,
        seed=1,
    )


def work(codec: acumen.Choice, rng: random.Random, blocks: int, lz4_fails: float = 0.0) -> float:
    """Sends blocks; seconds a block."""
    total = 0.0
    for _ in range(blocks):
        size, entropy = rng.uniform(0.5, 2.0), rng.random()
        decision = codec.choose(size=size, entropy=entropy)
        took = seconds(decision.arm, size, entropy, rng)
        failed = decision.arm == "lz4" and rng.random() < lz4_fails
        decision.feedback(seconds=took, failed=float(failed))
        total += took
    return total / blocks


def main() -> None:
    """Tells the story."""
    rng = random.Random(7)
    with tempfile.TemporaryDirectory() as folder:
        before = make(folder, "off")
        print(f"heuristic: {work(before, rng, 2000):.4f} s a block")
        before.journal.close()

        codec = make(folder, "shadow")
        acumen.apprentice(codec, folder)
        print(f"taught: agrees with the heuristic in {codec.learner.agreement:.1%} of blocks")
        gate = acumen.Promotion(
            codec,
            guardrails=[acumen.at_most("failed", 0.01)],
            canary=(0.2, 0.5),
            probe=0.2,  # a shadow alone says nothing of what the heuristic does not take
            margin=0.002,  # an apprentice is as good as its teacher at first, not better
            look_seconds=0.0,
        )
        while not gate.step().promoted:
            work(codec, rng, 250)
            codec.journal.flush()
        print(gate)

        work(codec, rng, 10_000)
        print(f"learned: {work(codec, rng, 2000):.4f} s a block; its own policy has a share of "
              f"{codec.learner.share:.0%}")  # fmt: skip

        while gate.step().promoted:
            work(codec, rng, 250, lz4_fails=0.2)
        print(gate.status().transitions[-1].why)
        print(f"back to the heuristic: mode {codec.mode}")
        codec.journal.close()


if __name__ == "__main__":
    main()
