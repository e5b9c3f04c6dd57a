"""What an operator costs on a kind of device, where nobody has measured it: the roofline.

An operator cannot be quicker than its arithmetic at the device's peak, nor than its bytes through
the device's memory, and starting it takes a moment (Williams, Waterman, Patterson, "Roofline: an
insightful visual performance model for multicore architectures", CACM 2009). Real kernels reach
a part of that; whoever has the device measures instead (`acumen.placement.pytorch.measure`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Precision = Literal["float64", "float32", "float16", "int8"]
PRECISIONS: tuple[Precision, ...] = ("float64", "float32", "float16", "int8")


@dataclass(frozen=True, slots=True)
class DeviceKind:
    """A model of a kind of device.

    Attributes:
        name: what `Graph.seconds` calls it.
        peak: operations per second (an addition and a multiplication are two), for each class of
            precision; "float16" stands for bfloat16 too. A class that is missing cannot be run.
        bytes_per_second: of the device's memory.
        memory_bytes: how much it holds.
        launch_seconds: what starting an operator takes, at least; our estimate of what a
            framework that starts operators one by one needs.
        source: where the figures come from.
    """

    name: str
    peak: Mapping[Precision, float]
    bytes_per_second: float
    memory_bytes: int
    launch_seconds: float
    source: str

    def seconds(self, flops: float, moved_bytes: float, precision: Precision) -> float:
        """How long an operator takes: launch + max(flops / peak, bytes / bandwidth).

        Args:
            flops: operations, at least 0; 0 where only the bytes count.
            moved_bytes: read and written, at least 0.
            precision: of the arithmetic.

        Returns:
            Seconds; infinite if the device has no arithmetic of that precision.

        >>> DEVICE_KINDS["v100"].seconds(15.7e9, 4096, "float32")
        0.001005
        >>> DEVICE_KINDS["tpu-v1"].seconds(1e9, 4096, "float32")
        inf
        """
        peak = self.peak.get(precision)
        if peak is None:
            return float("inf")
        return self.launch_seconds + max(flops / peak, moved_bytes / self.bytes_per_second)


GB = 10**9
GIB = 2**30


def _kind(
    name: str,
    teraflops: tuple[float, float, float, float],
    gigabytes_per_second: float,
    gibibytes: float,
    launch_microseconds: float,
    source: str,
) -> tuple[str, DeviceKind]:
    """Peaks are in the order of `PRECISIONS`; 0: there is none."""
    peak = {key: value * 1e12 for key, value in zip(PRECISIONS, teraflops, strict=True) if value}
    memory = int(gibibytes * GIB)
    speed, launch = gigabytes_per_second * GB, launch_microseconds / 1e6
    return name, DeviceKind(name, MappingProxyType(peak), speed, memory, launch, source)


DEVICE_KINDS: Mapping[str, DeviceKind] = MappingProxyType(
    dict(
        [
            _kind(
                *("cpu", (1.5, 3.0, 3.0, 3.0), 128, 256, 2),
                "Intel Xeon Platinum 8180: 28 cores x 64 float32 operations a clock (two AVX-512 "
                "multiply-adds) x 1.7 GHz under AVX-512; six channels of DDR4-2666",
            ),
            _kind(
                *("k80", (1.46, 4.37, 4.37, 4.37), 240, 12, 10),
                "NVIDIA Tesla K80 board specification BD-07317, boost clock; one of the board's "
                "two processors",
            ),
            _kind(
                *("p100", (5.3, 10.6, 21.2, 10.6), 732, 16, 8),
                "NVIDIA Tesla P100 datasheet, SXM2",
            ),
            _kind(
                *("v100", (7.8, 15.7, 125, 62.8), 900, 16, 5),
                "NVIDIA V100 datasheet, SXM2 16 GB; float16 on tensor cores; int8 by dp4a",
            ),
            _kind(
                *("a100", (9.7, 19.5, 312, 624), 2039, 80, 5),
                "NVIDIA A100 datasheet, SXM 80 GB, dense; float32 without TF32",
            ),
            _kind(
                *("h100", (34, 67, 989, 1979), 3350, 80, 4),
                "NVIDIA H100 datasheet, SXM, dense; float32 without TF32",
            ),
            _kind(
                *("tpu-v1", (0, 0, 0, 92), 34, 8, 10),
                "Jouppi et al., In-datacenter performance analysis of a tensor processing unit, "
                "ISCA 2017: 92 Tops, 8 GiB of weight memory at 34 GB/s; integers only",
            ),
            _kind(
                *("tpu-v2", (0, 180, 180, 0), 2400, 64e9 / GIB, 10),
                "Dean, Systems and machine learning symbiosis, SysML 2018: board of four chips, "
                "180 Tflops, 64 GB HBM, 2400 GB/s; float32 is multiplied as bfloat16",
            ),
            _kind(
                *("tpu-v2-pod", (0, 11_500, 11_500, 0), 64 * 2400, 64 * 64e9 / GIB, 10),
                "Dean, SysML 2018: 64 boards, 11.5 Pflops, 4 TB HBM; as one device, without the "
                "time its boards need to talk to each other",
            ),
        ]
    )
)
