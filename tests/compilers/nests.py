"""Helpers: regions from text, and orders of instances by enumeration instead of algebra."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from acumen.compilers.loop_nests.dependences import Model, model_of
from acumen.compilers.loop_nests.scop import build
from acumen.compilers.loop_nests.source import read_source
from acumen.compilers.loop_nests.syntax import parse_region

KERNELS = Path(__file__).parents[2] / "src/acumen/compilers/loop_nests/kernels"
Instance = tuple[str, tuple[int, ...]]


def model(text: str) -> Model:
    """Of the loops in a text without macros and parameters."""
    return model_of(build(parse_region(f'# 1 "text"\n{text}'), {}, unsigned=["unsigned"]))


def region_of(folder: Path, text: str) -> Any:
    """The source of a file with such a text."""
    path = folder / "program.c"
    path.write_text(text)
    return read_source(path)


def points(domain: Any, pairs: Any) -> dict[Instance, tuple[int, ...]]:
    """Instances of a union set, and the places that a union map has for them."""
    import islpy as isl

    found: dict[Instance, tuple[int, ...]] = {}
    parts: list[Any] = []
    domain.foreach_set(parts.append)
    for part in parts:
        name = part.get_tuple_name()
        of_part = pairs.intersect_domain(isl.UnionSet.from_set(part))
        function = isl.PwMultiAff.from_map(isl.Map.from_union_map(of_part))
        places = [function.get_pw_aff(i) for i in range(function.dim(isl.dim_type.out))]
        instances: list[Any] = []
        part.foreach_point(instances.append)
        for point in instances:
            values = tuple(_coordinates(point))
            found[name, values] = tuple(int(each.eval(point).to_python()) for each in places)
    return found


def _coordinates(point: Any) -> list[int]:
    import islpy as isl

    size = point.get_space().dim(isl.dim_type.set)
    values = (point.get_coordinate_val(isl.dim_type.set, i) for i in range(size))
    return [int(value.to_python()) for value in values]


def touched(region: Model) -> list[tuple[Instance, list[tuple[bool, Any]]]]:
    """Instances in the original order, with the elements that each writes (True) and reads."""
    scop = region.scop
    order = points(region.domain, region.original.get_map())
    result = []
    for name, values in sorted(order, key=order.__getitem__):
        statement = scop.statement(name)
        at = dict(zip(statement.iterators, values, strict=True))
        accesses = []
        for number, access in enumerate(statement.accesses()):
            place = tuple(
                index.constant + sum(factor * at[i] for i, factor in index.terms.items())
                for index in access.subscripts
            )
            accesses.append((number == 0, (access.array, place)))
        result.append(((name, values), accesses))
    return result


def keeps_every_dependence(region: Model, schedule: Any) -> bool:
    """Whether a schedule tree keeps all pairs that touch one element, one of them writing."""
    place = points(schedule.get_domain(), schedule.get_map())
    instances = touched(region)
    if set(place) != {instance for instance, _ in instances}:
        return False
    users: dict[Any, list[tuple[bool, Instance]]] = {}
    for instance, accesses in instances:
        for writes, element in accesses:
            for wrote, before in users.setdefault(element, []):
                clash = (writes or wrote) and before != instance
                if clash and place[before] >= place[instance]:
                    return False
            users[element].append((writes, instance))
    return True
