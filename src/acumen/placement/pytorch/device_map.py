"""A plan as the `device_map` that accelerate and transformers load a model with.

Plans place operators, a device map places modules. A parameter lives with the operators that use
it; modules below which all agree become one entry. Needs a module's names only, not PyTorch.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any

from acumen.placement.cluster import Cluster
from acumen.placement.plan import Plan, PlanError
from acumen.placement.pytorch.captured import Captured

DeviceMap = dict[str, str | int]


def torch_device(name: str) -> str | int:
    """What accelerate calls one of our devices: 0 for "gpu:0", "cpu" for "cpu:0", "xla:0" for TPUs.

    >>> torch_device("gpu:1"), torch_device("cpu:0"), torch_device("tpu:0"), torch_device("mps")
    (1, 'cpu', 'xla:0', 'mps')
    """
    family, _, number = name.partition(":")
    if family == "cpu":
        return "cpu"
    if family == "gpu" and number.isdecimal():
        return int(number)
    return f"xla:{number}" if family == "tpu" and number else name


def parameter_devices(captured: Captured, plan: Plan, cluster: Cluster) -> DeviceMap:
    """Where a plan for a captured step has each parameter and buffer, by each of its names.

    Args:
        captured: the step; the plan is for the graph that `to_graph` made of it, of either kind.
        plan: where its operators are.
        cluster: the devices.

    Raises:
        PlanError: the plan is for another graph.
    """
    count, variables = len(plan.device), len(captured.parameters)
    if count == len(captured):
        places = captured.homes
    elif count == len(captured) + variables:
        places = list(range(variables))
    else:
        raise PlanError(f"a plan for {count} operators, but {captured.name} has {len(captured)}")
    return {
        name: torch_device(cluster.devices[int(plan.device[place])].name)
        for parameter, place in zip(captured.parameters, places, strict=True)
        for name in parameter.names
    }


def device_map(
    model: Any, devices: Mapping[str, str | int], no_split: Collection[str] = ()
) -> DeviceMap:
    """The shortest device map in which every parameter and buffer appears exactly once.

    A module without children has one device, and so has one of a class that must not be split;
    tied weights are on one device, and so all modules that share them. Where the plan has their
    tensors on several, the device with most of their bytes is taken.

    Args:
        model: an `nn.Module`, on whatever device.
        devices: of each parameter and buffer by name, as from `parameter_devices`.
        no_split: names of modules' classes that stay whole, as `_no_split_modules` of models in
            transformers.

    Returns:
        Prefix of module paths (or a parameter's own name) to device; `{"": device}` if all agree.

    Raises:
        PlanError: a parameter or buffer of the model has no device.
    """
    units = _units(model, no_split)
    places = _places(model, units, devices)
    below: dict[str, set[str | int]] = defaultdict(set)
    for name, unit in units.items():
        for prefix in _prefixes(name):
            below[prefix].add(places[unit])
    found: DeviceMap = {}
    _merge(model, "", below, found)
    check_device_map(model, found)
    return found


def check_device_map(model: Any, found: Mapping[str, str | int]) -> None:
    """Every parameter and buffer appears exactly once, and every entry has some.

    Raises:
        PlanError: that is not so; the message names the first one.
    """
    used = set()
    for name, _ in _tensors(model):
        entries = [prefix for prefix in _prefixes(name) if prefix in found]
        if len(entries) != 1:
            raise PlanError(f"{name!r} appears {len(entries)} times in the device map: {entries}")
        used.add(entries[0])
    unused = [entry for entry in found if entry not in used]
    if unused:
        raise PlanError(f"the device map's entry {unused[0]!r} is no part of the model")


def _tensors(model: Any) -> list[tuple[str, Any]]:
    """All parameters and buffers, under each of their names."""
    return [
        *model.named_parameters(remove_duplicate=False),
        *model.named_buffers(remove_duplicate=False),
    ]


def _prefixes(name: str) -> list[str]:
    """The whole model, the modules on the way, and the name itself.

    >>> _prefixes("a.b.weight")
    ['', 'a', 'a.b', 'a.b.weight']
    """
    parts = name.split(".")
    return ["", *(".".join(parts[:end]) for end in range(1, len(parts) + 1))]


def _units(model: Any, no_split: Collection[str]) -> dict[str, str]:
    """For each tensor's name what goes to one device with it: a module's path, or its own name."""
    modules = dict(model.named_modules(remove_duplicate=False))
    units = {}
    for name, _ in _tensors(model):
        *around, owner = _prefixes(name)[:-1]
        whole = [path for path in (*around, owner) if type(modules[path]).__name__ in no_split]
        leaf = not any(True for _ in modules[owner].children())
        units[name] = whole[0] if whole else owner if leaf else name
    return units


def _places(
    model: Any, units: Mapping[str, str], devices: Mapping[str, str | int]
) -> dict[str, str | int]:
    """The device of each unit; units that share a tensor have the same."""
    together = {unit: {unit} for unit in units.values()}
    first: dict[int, str] = {}
    weights: dict[str, dict[str | int, int]] = defaultdict(lambda: defaultdict(int))
    for name, tensor in _tensors(model):
        unit = units[name]
        if name not in devices:
            raise PlanError(f"the plan has no device for {name!r}")
        if id(tensor) not in first:
            first[id(tensor)] = unit
            weights[unit][devices[name]] += tensor.numel() * tensor.element_size()
        elif together[unit] is not together[first[id(tensor)]]:
            joined = together[unit] | together[first[id(tensor)]]
            together.update(dict.fromkeys(joined, joined))
    places: dict[str, str | int] = {}
    for unit, joined in together.items():
        if unit not in places:
            bytes_on: dict[str | int, int] = defaultdict(int)
            for one in joined:
                for device, size in weights[one].items():
                    bytes_on[device] += size
            best = max(bytes_on, key=lambda device: (bytes_on[device], str(device)))
            places.update(dict.fromkeys(joined, best))
    return places


def _merge(module: Any, path: str, below: Mapping[str, set[str | int]], found: DeviceMap) -> None:
    """Adds the entries of a module: one if all below it agrees, else those of its parts."""
    if path in below and len(below[path]) == 1:
        (found[path],) = below[path]
        return
    parts = [
        *module.named_parameters(recurse=False, remove_duplicate=False),
        *module.named_buffers(recurse=False, remove_duplicate=False),
    ]
    start = f"{path}." if path else ""
    for name, _ in parts:
        (found[start + name],) = below[start + name]
    for name, child in module._modules.items():
        if child is not None and start + name in below:
            _merge(child, start + name, below, found)
