"""The polyhedral model of a region: statements, the instances of each, what they read and write.

A static control part (Feautrier, 1991) has loops and conditions whose bounds are affine in the
iterators around them and in parameters, and subscripts likewise. Then every instance of a
statement is an integer point, and everything about their order is exact arithmetic of integer
sets. Parameters are given their values here (the guard around the better code compares them).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from acumen.compilers.loop_nests.affine import Affine, affine, line_of
from acumen.compilers.loop_nests.errors import RegionError
from acumen.compilers.loop_nests.syntax import (
    Assignment,
    as_assignment,
    children_of,
    element,
    elements_in,
    is_kind,
    name_node,
    type_text,
)


@dataclass(frozen=True)
class Access:
    """An element of an array that a statement reads or writes; a scalar has no subscripts."""

    array: str
    subscripts: tuple[Affine, ...]
    node: Any


@dataclass(frozen=True)
class Statement:
    """One assignment.

    Attributes:
        name: `S0`, `S1` and so on, in the order of the text.
        iterators: of the loops around it, from outside in; unique in the region.
        domain: isl's text of its instances.
        written: what it writes; it reads this, too, where `node.op` is not `=`.
        reads: what it reads beside.
        node: pycparser's assignment.
        names: the names of its iterators in C.
        line: of the file.
    """

    name: str
    iterators: tuple[str, ...]
    domain: str
    written: Access
    reads: tuple[Access, ...]
    node: Any
    names: Mapping[str, str]
    line: int

    def accesses(self) -> tuple[Access, ...]:
        """All of them, what is written first; what is written and read is there twice."""
        own = (self.written,) if self.node.op != "=" else ()
        return (self.written, *own, *self.reads)


@dataclass(frozen=True)
class Loop:
    """A loop of the original order: `step` below 0 counts down."""

    iterator: str
    step: int
    body: tuple[Loop | Statement, ...]
    line: int


@dataclass(frozen=True)
class Local:
    """A scalar that the region declares, in the body of loops with these iterators."""

    type: str
    iterators: tuple[str, ...]


@dataclass
class Scop:
    """A region.

    Attributes:
        body: its loops and statements as they are written.
        statements: all of them, in the order of the text.
        parameters: names that it needs numbers for, with these.
        locals: scalars that it declares.
        arrays: number of subscripts of each array (0: a scalar that is written).
        constants: names that are read and never written, without subscripts.
    """

    body: tuple[Loop | Statement, ...] = ()
    statements: list[Statement] = field(default_factory=list)
    parameters: dict[str, int] = field(default_factory=dict)
    locals: dict[str, Local] = field(default_factory=dict)
    arrays: dict[str, int] = field(default_factory=dict)
    constants: set[str] = field(default_factory=set)

    def statement(self, name: str) -> Statement:
        """The statement of this name."""
        return self.statements[int(name[1:])]


@dataclass
class _Place:
    """Where in the region we are: iterators, their names in C, and conditions on them."""

    iterators: tuple[str, ...] = ()
    names: dict[str, str] = field(default_factory=dict)
    conditions: tuple[str, ...] = ()

    def inner(self, name: str, unique: str, conditions: tuple[str, ...]) -> _Place:
        return _Place(
            (*self.iterators, unique),
            {**self.names, name: unique},
            (*self.conditions, *conditions),
        )

    def where(self, condition: str) -> _Place:
        return _Place(self.iterators, self.names, (*self.conditions, condition))


def parameters_of(tree: Any) -> tuple[str, ...]:
    """Names in bounds, conditions and subscripts that no loop counts: they need numbers.

    Raises:
        RegionError: something is not affine, or is no loop, condition or assignment.
    """
    reader = _Reader({})
    reader.read(tree)
    return tuple(sorted(reader.unknown))


def build(tree: Any, values: Mapping[str, int]) -> Scop:
    """The model of a region.

    Args:
        tree: pycparser's compound statement.
        values: of the parameters.

    Raises:
        RegionError: something is not affine, or is no loop, condition or assignment.
    """
    reader = _Reader(values)
    return reader.read(tree)


class _Reader:
    def __init__(self, values: Mapping[str, int]) -> None:
        self._values = values
        self._scop = Scop(parameters=dict(values))
        self._count = 0
        self.unknown: set[str] = set()
        self._written: set[str] = set()

    def read(self, tree: Any) -> Scop:
        self._written = set(_written_names(tree))
        self._scop.body = tuple(self._block(tree, _Place()))
        if not self._scop.statements:
            raise RegionError("the region has no statement", line_of(tree))
        bad = self.unknown & self._written
        if bad:
            name = min(bad)
            raise RegionError(f"{name} is written in the region: nothing with it is affine")
        return self._scop

    def _block(self, node: Any, place: _Place) -> Iterator[Loop | Statement]:
        kind = type(node).__name__
        if kind == "Compound":
            for child in node.block_items or ():
                yield from self._block(child, place)
        elif kind == "For":
            yield self._loop(node, place)
        elif kind == "If":
            condition = self._condition(node.cond, place)
            yield from self._block(node.iftrue, place.where(condition))
            if node.iffalse is not None:
                yield from self._block(node.iffalse, place.where(f"not ({condition})"))
        elif kind == "Assignment":
            yield self._statement(as_assignment(node), place)
        elif kind == "Decl":
            yield from self._declaration(node, place)
        elif kind == "UnaryOp" and node.op in ("p++", "++", "p--", "--"):
            yield self._statement(as_assignment(node), place)
        elif kind not in ("EmptyStatement", "Pragma"):
            what = kind.lower()
            raise RegionError(f"a {what} is no loop, condition or assignment", line_of(node))

    def _declaration(self, node: Any, place: _Place) -> Iterator[Statement]:
        name, text = node.name, type_text(node)
        known = self._scop.locals.setdefault(name, Local(text, place.iterators))
        if known != Local(text, place.iterators):
            raise RegionError(f"{name} is declared twice, differently", line_of(node))
        if node.init is not None:
            made = Assignment(name_node(name, node.coord), "=", node.init, node.coord)
            yield self._statement(made, place)

    def _loop(self, node: Any, place: _Place) -> Loop:
        name, first = _start(node)
        if name in place.names:
            raise RegionError(f"{name} is the iterator of a loop around this one", line_of(node))
        step = _step(node, name)
        unique = f"{name}{self._count}"
        self._count += 1
        low = self._in_isl(first, place)
        here = place.inner(name, unique, ())
        relation = ">=" if step > 0 else "<="
        self._check_bound(node.cond, name, step)
        conditions = [f"{unique} {relation} {low}", self._condition(node.cond, here)]
        if abs(step) != 1:
            conditions.append(f"({unique} - ({low})) mod {abs(step)} = 0")
        inner = place.inner(name, unique, tuple(conditions))
        return Loop(unique, step, tuple(self._block(node.stmt, inner)), line_of(node))

    def _check_bound(self, node: Any, name: str, step: int) -> None:
        """A loop ends where its condition first fails: what is below a bound must stay there."""
        if is_kind(node, "BinaryOp") and node.op == "&&":
            self._check_bound(node.left, name, step)
            self._check_bound(node.right, name, step)
            return
        slope = None
        if is_kind(node, "BinaryOp") and node.op in ("<", "<=", ">", ">="):
            sign = 1 if node.op[0] == "<" else -1
            slope = sign * affine(node.left).plus(affine(node.right), -1).terms.get(name, 0) * step
        if slope is None or slope < 0:
            raise RegionError("this condition does not bound the loop", line_of(node))

    def _statement(self, node: Any, place: _Place) -> Statement:
        written = self._access(node.target, place)
        if written.array in place.names:
            raise RegionError(f"the iterator {written.array} is written", line_of(node))
        found = (self._access(read, place) for read in elements_in(node.value))
        reads = tuple(read for read in found if self._is_memory(read, place))
        name = f"S{len(self._scop.statements)}"
        space = f"{name}[{', '.join(place.iterators)}]"
        conditions = " and ".join(f"({c})" for c in place.conditions)
        made = Statement(
            name=name,
            iterators=place.iterators,
            domain=f"{{ {space} : {conditions or 'true'} }}",
            written=written,
            reads=reads,
            node=node,
            names=dict(place.names),
            line=line_of(node),
        )
        self._scop.statements.append(made)
        return made

    def _is_memory(self, access: Access, place: _Place) -> bool:
        if access.array in place.names and not access.subscripts:
            return False
        if access.array in self._written or access.subscripts:
            return True
        self._scop.constants.add(access.array)
        return False

    def _access(self, node: Any, place: _Place) -> Access:
        array, nodes = element(node)
        local = self._scop.locals.get(array)
        if local is not None:
            if nodes:
                raise RegionError(f"{array} is a scalar", line_of(node))
            # A scalar of a loop's body lives for one iteration: as if it were one for each.
            if local.iterators != place.iterators[: len(local.iterators)]:
                raise RegionError(f"{array} is used where it is not declared", line_of(node))
            return self._known(Access(array, tuple(Affine({i: 1}) for i in local.iterators), node))
        found = tuple(self._affine(each, place) for each in nodes)
        return self._known(Access(array, found, node))

    def _known(self, access: Access) -> Access:
        count = len(access.subscripts)
        if access.array in self._written or count:
            before = self._scop.arrays.setdefault(access.array, count)
            if before != count:
                line = line_of(access.node)
                raise RegionError(f"{access.array} has {before} subscripts, and here {count}", line)
        return access

    def _affine(self, node: Any, place: _Place) -> Affine:
        found = affine(node)
        renamed = Affine({}, found.constant)
        for name, factor in found.terms.items():
            if name not in place.names and name not in self._values:
                self.unknown.add(name)
            renamed = renamed.plus(Affine({place.names.get(name, name): 1}), factor)
        return renamed.fix(self._values)

    def _in_isl(self, node: Any, place: _Place) -> str:
        return str(self._affine(node, place))

    def _condition(self, node: Any, place: _Place) -> str:
        if not is_kind(node, "BinaryOp"):
            raise RegionError("this condition does not compare affine expressions", line_of(node))
        if node.op in ("&&", "||"):
            joined = {"&&": "and", "||": "or"}[node.op]
            left, right = self._condition(node.left, place), self._condition(node.right, place)
            return f"(({left}) {joined} ({right}))"
        if node.op not in ("<", "<=", ">", ">=", "==", "!="):
            raise RegionError("this condition does not compare affine expressions", line_of(node))
        relation = {"==": "="}.get(node.op, node.op)
        return f"{self._in_isl(node.left, place)} {relation} {self._in_isl(node.right, place)}"


def _start(node: Any) -> tuple[str, Any]:
    """The iterator of a loop, and where it begins."""
    init = node.init
    if is_kind(init, "DeclList") and len(init.decls) == 1 and init.decls[0].init is not None:
        return init.decls[0].name, init.decls[0].init
    if is_kind(init, "Assignment") and init.op == "=" and is_kind(init.lvalue, "ID"):
        return init.lvalue.name, init.rvalue
    raise RegionError("a loop must begin with one iterator and its first value", line_of(node))


def _step(node: Any, name: str) -> int:
    """By how much the iterator moves each time."""
    found: int | None = None
    move = node.next
    if is_kind(move, "UnaryOp") and is_kind(move.expr, "ID") and move.expr.name == name:
        found = {"p++": 1, "++": 1, "p--": -1, "--": -1}.get(move.op)
    elif is_kind(move, "Assignment") and is_kind(move.lvalue, "ID") and move.lvalue.name == name:
        if move.op in ("+=", "-="):
            by = affine(move.rvalue)
            found = None if by.terms else by.constant * (1 if move.op == "+=" else -1)
        elif move.op == "=":
            by = affine(move.rvalue).plus(Affine({name: 1}), -1)
            found = None if by.terms else by.constant
    if not found:
        raise RegionError("a loop must move by a constant each time", line_of(node))
    if node.cond is None:
        raise RegionError("a loop must have a bound", line_of(node))
    return found


def _written_names(node: Any) -> Iterator[str]:
    for child in children_of(node):
        if is_kind(child, "For"):
            yield from _written_names(child.stmt)
            continue
        if is_kind(child, "Assignment"):
            yield element(child.lvalue)[0]
        elif is_kind(child, "Decl"):
            yield child.name
        elif is_kind(child, "UnaryOp") and child.op in ("p++", "++", "p--", "--"):
            yield element(child.expr)[0]
        yield from _written_names(child)
