"""Devices written as a line of text: "gpu:v100*4,cpu*1" is a cluster."""

from __future__ import annotations

import re

import numpy as np

from acumen.placement.cluster import Channel, Cluster, Device
from acumen.placement.costs import DEVICE_KINDS, GB, GIB

# What one copy costs: latency as seen by a framework, and nine tenths or so of the link's raw
# speed in one direction, which is what large copies reach.
LINKS = {
    "pcie3": Channel(10e-6, 12 * GB),
    "pcie4": Channel(10e-6, 24 * GB),
    "pcie5": Channel(10e-6, 50 * GB),
    "nvlink2": Channel(5e-6, 45 * GB),  # V100 in a mesh: two of the six links for each peer
    "nvlink3": Channel(5e-6, 270 * GB),  # A100 behind switches
    "nvlink4": Channel(5e-6, 400 * GB),  # H100 behind switches
    "loopback": Channel(50e-6, 2 * GB),  # two processes of one machine, over a socket
}
_SHORT = {"pcie": "pcie3", "nvlink": "nvlink2"}
_FAMILIES = {
    "cpu": {"": "cpu"},
    "gpu": {"": "v100"} | {name: name for name in ("k80", "p100", "v100", "a100", "h100")},
    "tpu": {"": "tpu-v2", "v1": "tpu-v1", "v2": "tpu-v2", "v2-pod": "tpu-v2-pod"},
}
_ITEM = re.compile(r"([a-z]+)(?::([a-z0-9-]+))?(?:@(\d+(?:\.\d+)?)(gb|gib|mb|mib))?(?:\*(\d+))?")
_UNITS = {"gb": GB, "gib": GIB, "mb": 10**6, "mib": 2**20}


def parse_devices(spec: str, link: str = "pcie3") -> Cluster:
    """The cluster that a line describes.

    Args:
        spec: items FAMILY[:MODEL][@MEMORY][*COUNT] between commas, such as "gpu:k80*4,cpu" or
            "gpu:a100@40GiB*2"; then, if wanted, a slash and the link between accelerators.
            Families: cpu, gpu (k80, p100, v100, a100, h100), tpu (v1, v2, v2-pod).
        link: what lies between accelerators if the line does not say: "pcie3", "pcie4", "pcie5",
            "nvlink2", "nvlink3", "nvlink4" or "loopback".

    Returns:
        Devices named "gpu:0", "gpu:1", ..., "cpu:0", of a kind as in `DEVICE_KINDS`. Over NVLink
        each ordered pair of accelerators has a channel of its own; over PCIe and a socket all that
        a device sends shares one channel. To and from a CPU data go over PCIe (of the same
        generation where the link is one), or over the socket.

    Raises:
        ValueError: the line cannot be read; the message says where and what could stand there.

    >>> cluster = parse_devices("gpu:k80*2,cpu*1")
    >>> [(device.name, device.kind) for device in cluster.devices]
    [('gpu:0', 'k80'), ('gpu:1', 'k80'), ('cpu:0', 'cpu')]
    """
    items, slash, named = spec.strip().lower().partition("/")
    link = _SHORT.get(named or link, named or link)
    if link not in LINKS or (slash and not named):
        raise ValueError(f"there is no link {named or link!r}: known are {', '.join(LINKS)}")
    devices: list[Device] = []
    count = dict.fromkeys(_FAMILIES, 0)
    for item in items.split(","):
        family, kind, memory, times = _item(item.strip())
        if len(devices) + times > 4096:
            raise ValueError(f"{item.strip()!r}: a cluster has at most 4096 devices")
        for _ in range(times):
            devices.append(Device(f"{family}:{count[family]}", kind, memory))
            count[family] += 1
    return _connected(devices, link)


def _item(text: str) -> tuple[str, str, int, int]:
    found = _ITEM.fullmatch(text)
    if not found:
        raise ValueError(
            f"{text!r} is no device: write FAMILY[:MODEL][@MEMORY][*COUNT], as in 'gpu:v100*4'"
        )
    family, model, amount, unit, times = found.groups()
    if family not in _FAMILIES:
        raise ValueError(f"{text!r}: there is no family {family!r}: known are cpu, gpu, tpu")
    models = _FAMILIES[family]
    if (model or "") not in models:
        known = ", ".join(name for name in models if name) or "none by name"
        raise ValueError(f"{text!r}: there is no {family} {model!r}: known are {known}")
    kind = models[model or ""]
    memory = int(float(amount) * _UNITS[unit]) if amount else DEVICE_KINDS[kind].memory_bytes
    if times is not None and not 0 < int(times) <= 4096:
        raise ValueError(f"{text!r}: there must be 1 to 4096 of them")
    return family, kind, memory, int(times or 1)


def _connected(devices: list[Device], link: str) -> Cluster:
    channels: list[Channel] = []
    d = len(devices)
    route = np.zeros((d, d), np.int16)
    host = link if link.startswith(("pcie", "loopback")) else "pcie3"
    mesh = link.startswith("nvlink")
    if d * d > 32_767 and mesh:
        raise ValueError(f"{d} devices over {link}: a mesh has at most 181")
    for a in range(d):
        # All that a device sends over the host's bus leaves by its one port.
        bus = len(channels)
        channels.append(LINKS[host])
        route[a] = bus
        if mesh and devices[a].kind != "cpu":
            for b in range(d):
                if b != a and devices[b].kind != "cpu":
                    route[a, b] = len(channels)
                    channels.append(LINKS[link])
    return Cluster(devices, channels, route)
