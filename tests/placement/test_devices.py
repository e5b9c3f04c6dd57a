"""Clusters written as a line of text."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acumen.placement.cluster import Cluster
from acumen.placement.costs import DEVICE_KINDS
from acumen.placement.devices import LINKS, parse_devices


def test_a_line_is_a_cluster() -> None:
    cluster = parse_devices("gpu:k80*2, gpu:v100@32GiB, cpu")
    assert [one.name for one in cluster.devices] == ["gpu:0", "gpu:1", "gpu:2", "cpu:0"]
    assert [one.kind for one in cluster.devices] == ["k80", "k80", "v100", "cpu"]
    sizes = [one.memory_bytes for one in cluster.devices]
    assert sizes == [12 * 2**30, 12 * 2**30, 32 * 2**30, 256 * 2**30]


def test_over_pcie_what_a_device_sends_shares_a_channel() -> None:
    cluster = parse_devices("gpu*3,cpu")
    for a in range(4):
        assert len({cluster.route[a, b] for b in range(4) if b != a}) == 1
    assert len({int(cluster.route[a, (a + 1) % 4]) for a in range(4)}) == 4
    assert {cluster.channels[int(one)] for one in cluster.route[0]} == {LINKS["pcie3"]}


@pytest.mark.parametrize("spec", ["gpu:a100*3,cpu/nvlink3", "gpu:a100*3,cpu/NVLINK3"])
def test_nvlink_joins_accelerators_only(spec: str) -> None:
    cluster = parse_devices(spec)
    between = cluster.route[:3, :3][~np.eye(3, dtype=bool)]
    assert len(set(between.tolist())) == 6
    assert all(cluster.channels[one] == LINKS["nvlink3"] for one in between)
    with_host = {*cluster.route[3, :3].tolist(), *cluster.route[:3, 3].tolist()}
    assert all(cluster.channels[one] == LINKS["pcie3"] for one in with_host)
    assert not with_host & set(between.tolist())


def test_the_link_can_be_an_argument() -> None:
    assert set(parse_devices("cpu*2", link="loopback").channels) == {LINKS["loopback"]}
    assert parse_devices("gpu*2/pcie4", link="loopback").channels[0] == LINKS["pcie4"]


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("", "'' is no device"),
        ("gpu:v100*4,,cpu", "'' is no device"),
        ("gpu:v100x4", "no gpu 'v100x4'.*k80, p100, v100"),
        ("gpu:v100**4", "FAMILY"),
        ("gpu:tpu", "k80"),
        ("fpga*2", "no family 'fpga'.*cpu, gpu, tpu"),
        ("gpu*0", "1 to 4096"),
        ("gpu*5000", "1 to 4096"),
        ("gpu*4096,cpu", "at most 4096"),
        ("gpu@16*2", "FAMILY"),
        ("gpu*2/infiniband", "no link 'infiniband'.*pcie3"),
        ("gpu*2/", "no link"),
        ("gpu*200/nvlink", "at most 181"),
        ("cpu:big", "none by name"),
    ],
)
def test_what_cannot_be_read_is_named(spec: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_devices(spec)


@given(st.text("gpuctv1208k*,:/@GBi-", max_size=20))
def test_a_line_is_read_or_refused(spec: str) -> None:
    try:
        cluster = parse_devices(spec)
    except ValueError as error:
        assert "\n" not in str(error)  # noqa: PT017 - either outcome is fine
    else:
        assert isinstance(cluster, Cluster)
        assert all(one.kind in DEVICE_KINDS for one in cluster.devices)
