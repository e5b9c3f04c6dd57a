"""The devices that there are, and the channels over which they copy tensors to each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Device:
    """One device; it runs one operator at a time.

    Attributes:
        name: unique in its cluster, such as "gpu:0".
        kind: what `Graph.seconds` calls its kind, such as "gpu".
        memory_bytes: how much it holds; None: no limit is known.
    """

    name: str
    kind: str
    memory_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Channel:
    """A link or a bus: it carries one copy at a time, in latency + bytes / bandwidth.

    Attributes:
        latency_seconds: what each copy takes besides, at least 0.
        bytes_per_second: above 0; infinite where only the latency counts.
    """

    latency_seconds: float
    bytes_per_second: float


@dataclass(frozen=True)
class Cluster:
    """d devices, and which channel carries what one sends another.

    Attributes:
        devices: at least one.
        channels: at most 32,767 of them. Pairs of devices that share a bus share a channel.
        route: `route[a, b]` is the number of the channel from device a to device b; the diagonal
            is not looked at; shape (d, d), int16.

    Raises:
        ValueError: the above does not hold; the message says what.
    """

    devices: Sequence[Device]
    channels: Sequence[Channel]
    route: npt.NDArray[np.int16]

    def __post_init__(self) -> None:
        d = len(self.devices)
        if not 0 < d <= 4096:
            raise ValueError(f"{d} devices: there must be 1 to 4096")
        names = [device.name for device in self.devices]
        if len(set(names)) < d:
            raise ValueError(f"a device's name is there twice: {names}")
        for device in self.devices:
            if device.memory_bytes is not None and device.memory_bytes < 0:
                raise ValueError(f"{device.name} holds {device.memory_bytes} bytes")
        for channel in self.channels:
            if not (0 <= channel.latency_seconds < np.inf and channel.bytes_per_second > 0):
                raise ValueError(f"no such channel can be: {channel}")
        if self.route.shape != (d, d):
            raise ValueError(f"routes of shape {self.route.shape} for {d} devices")
        others = self.route[~np.eye(d, dtype=np.bool_)]
        if d > 1 and (others.min() < 0 or others.max() >= len(self.channels)):
            raise ValueError("a route leads over a channel that does not exist")
        self.route.setflags(write=False)

    def __len__(self) -> int:
        return len(self.devices)

    @classmethod
    def full_mesh(
        cls, devices: Sequence[Device], latency_seconds: float, bytes_per_second: float
    ) -> Cluster:
        """Every ordered pair of devices has a channel of its own, all alike."""
        d = len(devices)
        route = np.arange(d * d, dtype=np.int16).reshape(d, d).copy()
        return cls(devices, [Channel(latency_seconds, bytes_per_second)] * (d * d), route)

    @classmethod
    def one_bus(
        cls, devices: Sequence[Device], latency_seconds: float, bytes_per_second: float
    ) -> Cluster:
        """All copies share one channel."""
        route = np.zeros((len(devices), len(devices)), np.int16)
        return cls(devices, [Channel(latency_seconds, bytes_per_second)], route)
