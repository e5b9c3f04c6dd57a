"""Find settings for a compressor, with a control, and confirm what was found before saying so.

The metric is exact here (bytes, with a price for time that is counted, not measured), so that the
example gives the same answer on every machine; with seconds it would read the same.
"""

import lzma
from pathlib import Path

import acumen
from acumen.learners.search import Categorical, Integer, Search, Space, When

DATA = b"".join(path.read_bytes() for path in sorted(Path(lzma.__file__).parent.glob("h*.py")))
FINDERS = {"hc3": lzma.MF_HC3, "hc4": lzma.MF_HC4, "bt2": lzma.MF_BT2, "bt4": lzma.MF_BT4}

SPACE = Space(
    {
        "finder": Categorical(list(FINDERS), default="bt4"),
        "mode": Categorical(["fast", "normal"], default="normal"),
        "literal": Integer(0, 4, default=3),
        "place": Integer(0, 4, default=0),
        "position": Integer(0, 4, default=2),
        "nice": Integer(5, 273, log=True, default=64),
        "delta": Categorical([False, True], default=False),
        "distance": Integer(1, 256, log=True, default=1),
    },
    conditions={"distance": When("delta", True)},
    constraints=["literal + place <= 4"],  # the format's own rule
)


def packed_bytes(setting: dict[str, object]) -> int:
    """What the data takes, packed with a setting."""
    packer = {
        "id": lzma.FILTER_LZMA2,
        "mf": FINDERS[str(setting["finder"])],
        "mode": lzma.MODE_FAST if setting["mode"] == "fast" else lzma.MODE_NORMAL,
        "lc": setting["literal"],
        "lp": setting["place"],
        "pb": setting["position"],
        "nice_len": setting["nice"],
        "dict_size": 1 << 20,
    }
    before = [{"id": lzma.FILTER_DELTA, "dist": setting["distance"]}] if setting["delta"] else []
    return len(lzma.compress(DATA, format=lzma.FORMAT_RAW, filters=[*before, packer]))


def main() -> None:
    """Sixty evaluations, then the winner beside the default."""
    search = Search(SPACE, acumen.minimize("bytes"), budget=60, seed=1)
    for trial in search:
        try:
            search.tell(trial, bytes=packed_bytes(trial.setting))
        except lzma.LZMAError as error:
            search.fail(trial, str(error))

    best = search.best
    assert best is not None
    changed = {k: v for k, v in best.setting.items() if SPACE.default.get(k) != v}
    print(f"{search.evaluations} evaluations; other than by default: {changed}")
    control = search.control()
    print(f"best of {control.evaluations} random settings: {control.control:.0f} bytes")
    print(f"best of as many that were learned: {control.learner_same:.0f} bytes")
    print(search.confirm(packed_bytes, repeats=8))


if __name__ == "__main__":
    main()
