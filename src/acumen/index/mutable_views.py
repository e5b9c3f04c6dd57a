"""What `keys()`, `values()` and `items()` of a mutable range index are: live, and in order."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, KeysView, Sequence, ValuesView
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from acumen.index.mutable_reading import SortedReading

__all__ = ["SortedItems", "SortedKeys", "SortedValues"]


class _Ranked:
    """What the three have in common: an element for every rank."""

    _mapping: SortedReading
    _part: str

    def __init__(self, mapping: SortedReading) -> None:
        self._mapping = mapping

    def __len__(self) -> int:
        return len(self._mapping)

    def __iter__(self) -> Iterator[Any]:
        return self._mapping._iterate(self._part, 0, len(self), False)

    def __reversed__(self) -> Iterator[Any]:
        return self._mapping._iterate(self._part, 0, len(self), True)

    def __getitem__(self, rank: int | slice) -> Any:
        """The element at a rank, or a list of those at a slice of ranks."""
        if isinstance(rank, slice):
            start, stop, step = rank.indices(len(self))
            if step == 1:
                return list(self._mapping._iterate(self._part, start, max(start, stop), False))
            return [self[k] for k in range(start, stop, step)]
        key, value = self._mapping.peekitem(rank)
        return {"keys": key, "values": value}.get(self._part, (key, value))

    def index(self, value: Any, start: int = 0, stop: int | None = None) -> int:
        """The rank of the first element that equals this one.

        Raises:
            ValueError: there is none in [start, stop).
        """
        first, last, _ = slice(start, stop).indices(len(self))
        there = self._mapping._iterate(self._part, first, max(first, last), False)
        for rank, element in enumerate(there, first):
            if element is value or element == value:
                return rank
        raise ValueError(f"{value!r} is not in the view")

    def count(self, value: Any) -> int:
        """How many elements equal this one."""
        return sum(element is value or element == value for element in self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._mapping!r})"


class SortedKeys(_Ranked, KeysView[Any]):
    """The keys, ascending; a set, and a sequence by rank."""

    _part = "keys"

    def __contains__(self, key: object) -> bool:
        return key in self._mapping

    def index(self, value: Any, start: int = 0, stop: int | None = None) -> int:
        """The rank of a key, as `MutableRangeIndex.index` finds it."""
        return self._mapping.index(value, start, stop)

    def count(self, value: Any) -> int:
        """1 if it is a key, and 0 otherwise."""
        return int(value in self)

    @classmethod
    def _from_iterable(cls, it: Any) -> set[Any]:
        return set(it)


class SortedValues(_Ranked, ValuesView[Any]):
    """The values in the order of their keys; a sequence by rank."""

    _part = "values"

    def __contains__(self, value: object) -> bool:
        return any(there is value or there == value for there in self)


class SortedItems(_Ranked, ItemsView[Any, Any]):
    """Pairs of key and value in the order of the keys; a set, and a sequence by rank."""

    _part = "items"

    def __contains__(self, item: object) -> bool:
        if not isinstance(item, tuple) or len(item) != 2 or item[0] not in self._mapping:
            return False
        there = self._mapping[item[0]]
        return bool(there is item[1] or there == item[1])

    @classmethod
    def _from_iterable(cls, it: Any) -> set[Any]:
        return set(it)


for _view in (SortedKeys, SortedValues, SortedItems):
    Sequence.register(_view)
