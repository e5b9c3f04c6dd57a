"""The polyhedral model of a region: statements, the instances of each, what they read and write.

A static control part (Feautrier, 1991) has loops and conditions whose bounds are affine in the
iterators around them and in parameters, and subscripts likewise. Then every instance of a
statement is an integer point, and everything about their order is exact arithmetic of integer
sets. Parameters are given their values here (the guard around the better code compares them).

C's unsigned numbers wrap around, integers do not: where a condition has them, all that it is
computed from must be provably no less than zero.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from acumen.compilers.loop_nests.affine import Affine, Pieces, affine, line_of, operands, pieces
from acumen.compilers.loop_nests.errors import RegionError
from acumen.compilers.loop_nests.isl import load
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
        names: of the names of its iterators in C, those here.
        locals: of the names of the region's own scalars where it stands, those here.
        line: of the file.
    """

    name: str
    iterators: tuple[str, ...]
    domain: str
    written: Access
    reads: tuple[Access, ...]
    node: Any
    names: Mapping[str, str]
    locals: Mapping[str, str]
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
        counters: the types of its iterators, as C.
        locals: scalars that it declares, by names that nothing else has.
        arrays: number of subscripts of each array (0: a scalar that is written).
        constants: names that are read and never written, without subscripts.
    """

    body: tuple[Loop | Statement, ...] = ()
    statements: list[Statement] = field(default_factory=list)
    parameters: dict[str, int] = field(default_factory=dict)
    counters: dict[str, str] = field(default_factory=dict)
    locals: dict[str, Local] = field(default_factory=dict)
    arrays: dict[str, int] = field(default_factory=dict)
    constants: set[str] = field(default_factory=set)

    def statement(self, name: str) -> Statement:
        """The statement of this name."""
        return self.statements[int(name[1:])]


@dataclass
class _Place:
    """Where in the region we are: iterators, names in C for them and for locals, conditions."""

    iterators: tuple[str, ...] = ()
    names: dict[str, str] = field(default_factory=dict)
    locals: dict[str, str] = field(default_factory=dict)
    conditions: tuple[str, ...] = ()

    def inner(self, name: str, unique: str, conditions: tuple[str, ...]) -> _Place:
        return _Place(
            (*self.iterators, unique),
            {**self.names, name: unique},
            {local: key for local, key in self.locals.items() if local != name},
            (*self.conditions, *conditions),
        )

    def where(self, condition: str) -> _Place:
        return replace(self, conditions=(*self.conditions, condition))

    def block(self) -> _Place:
        """The same in braces of its own: what is declared there is unknown outside."""
        return replace(self, locals=dict(self.locals))

    def set_of(self, more: str) -> Any:
        """The iterations that come here where something more holds (isl's set)."""
        conditions = " and ".join(f"({c})" for c in (*self.conditions, more))
        return load().Set(f"{{ [{', '.join(self.iterators)}] : {conditions} }}")


# In the place of a parameter whose number is not known yet: no bound, divisor or step is 0 then.
_STAND_IN = 9973
_STILL = Affine()


def sketch(tree: Any) -> Scop:
    """The region before its parameters are known: their names, and what it touches.

    Raises:
        RegionError: something is not affine, or is no loop, condition or assignment.
    """
    return _Reader(None).read(tree)


def build(tree: Any, values: Mapping[str, int], unsigned: Collection[str] = ()) -> Scop:
    """The model of a region.

    Args:
        tree: pycparser's compound statement.
        values: of the parameters.
        unsigned: parameters and types of iterators that are unsigned, and not promoted to `int`.

    Raises:
        RegionError: something is not affine, or is no loop, condition or assignment.
    """
    return _Reader(values, unsigned).read(tree)


class _Reader:
    def __init__(self, values: Mapping[str, int] | None, unsigned: Collection[str] = ()) -> None:
        self._values = values
        self._unsigned = frozenset(unsigned)
        self._scop = Scop(parameters=dict(values or {}))
        self._written: set[str] = set()
        self._counting: set[str] = set()

    def read(self, tree: Any) -> Scop:
        self._written = set(_written_names(tree))
        self._counting = set(_counting_names(tree))
        self._scop.body = tuple(self._block(tree, _Place()))
        if not self._scop.statements:
            raise RegionError("the region has no statement", line_of(tree))
        return self._scop

    def _block(self, node: Any, place: _Place) -> Iterator[Loop | Statement]:
        kind = type(node).__name__
        if kind == "Compound":
            inside = place.block()
            for child in node.block_items or ():
                yield from self._block(child, inside)
        elif kind == "For":
            yield self._loop(node, place)
        elif kind == "If":
            condition = self._condition(node.cond, place)
            self._check_wrapping(node.cond, place)
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
            raise RegionError(f"{_called(kind)} is no loop, condition or assignment", line_of(node))

    def _declaration(self, node: Any, place: _Place) -> Iterator[Statement]:
        name, text = node.name, type_text(node)
        if name in place.names:
            raise RegionError(f"{name} is the iterator of a loop around this", line_of(node))
        key = f"acumen_{name}{len(self._scop.locals)}"
        self._scop.locals[key] = Local(text, place.iterators)
        place.locals[name] = key
        if node.init is not None:
            made = Assignment(name_node(name, node.coord), "=", node.init, node.coord)
            yield self._statement(made, place)

    def _loop(self, node: Any, place: _Place) -> Loop:
        name, first, kind = _start(node)
        if name in place.names:
            raise RegionError(f"{name} is the iterator of a loop around this one", line_of(node))
        step = _step(node, name, lambda each: self._affine(each, place))
        unique = f"{name}_{len(self._scop.counters)}"
        self._scop.counters[unique] = kind
        low = self._pieces(first, place)
        here = place.inner(name, unique, ())
        self._check_bound(node.cond, here, unique, step)
        # A condition is evaluated where the iterator begins, and a step after each iteration.
        self._check_wrapping(node.cond, here.where(f"{unique} = {low.text}"))
        conditions = [f"{unique} {'>=' if step > 0 else '<='} {low.text}"]
        if abs(step) != 1:
            conditions.append(f"({unique} - ({low.text})) mod {abs(step)} = 0")
        conditions.append(self._condition(node.cond, here))
        inner = place.inner(name, unique, tuple(conditions))
        self._check_wrapping(node.cond, inner, Affine({unique: step}))
        return Loop(unique, step, tuple(self._block(node.stmt, inner)), line_of(node))

    def _check_bound(self, node: Any, place: _Place, iterator: str, step: int) -> None:
        """A loop ends where its condition first fails: what is below a bound must stay there."""
        if is_kind(node, "BinaryOp") and node.op == "&&":
            self._check_bound(node.left, place, iterator, step)
            self._check_bound(node.right, place, iterator, step)
            return
        if is_kind(node, "BinaryOp") and node.op in ("<", "<=", ">", ">="):
            sign = 1 if node.op[0] == "<" else -1
            left, right = (self._pieces(each, place).parts for each in (node.left, node.right))
            slopes = (a.plus(b, -1).terms.get(iterator, 0) for a in left for b in right)
            if all(sign * slope * step >= 0 for slope in slopes):
                return
        raise RegionError("this condition does not bound the loop", line_of(node))

    def _check_wrapping(self, node: Any, place: _Place, moved: Affine = _STILL) -> None:
        """Nothing in a condition with unsigned numbers may be below zero.

        It is looked at in a place, each iterator moved by what `moved` has for it.
        """
        parts = list(operands(node))
        if not any(self._is_unsigned(each, place) for each in parts):
            return
        for each in parts:
            if is_kind(each, "BinaryOp") and each.op in _COMPARISONS:
                continue
            for part in () if is_kind(each, "TernaryOp") else self._pieces(each, place).parts:
                by = sum(part.terms.get(name, 0) * step for name, step in moved.terms.items())
                if not place.set_of(f"{part.plus(Affine({}, by))} < 0").is_empty():
                    raise RegionError(
                        "unsigned numbers are compared that may be below zero", line_of(node)
                    )

    def _is_unsigned(self, node: Any, place: _Place) -> bool:
        if is_kind(node, "ID"):
            kind = self._scop.counters.get(place.names.get(node.name, ""), "")
            return kind in self._unsigned or (not kind and node.name in self._unsigned)
        if is_kind(node, "Cast"):
            return any(name in _UNSIGNED for name in node.to_type.type.type.names)
        return is_kind(node, "Constant") and "unsigned" in node.type

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
            locals=dict(place.locals),
            line=line_of(node),
        )
        self._scop.statements.append(made)
        return made

    def _is_memory(self, access: Access, place: _Place) -> bool:
        if access.array in place.names and not access.subscripts:
            return False
        if access.array in self._scop.arrays:
            return True
        self._scop.constants.add(access.array)
        return False

    def _access(self, node: Any, place: _Place) -> Access:
        name, nodes = element(node)
        if name in place.locals:
            if nodes:
                raise RegionError(f"{name} is a scalar", line_of(node))
            # A scalar of a loop's body lives for one iteration: as if it were one for each.
            key = place.locals[name]
            own = tuple(Affine({i: 1}) for i in self._scop.locals[key].iterators)
            return self._known(Access(key, own, node))
        self._check_counting(name, place, node)
        found = tuple(self._affine(each, place) for each in nodes)
        return self._known(Access(name, found, node))

    def _known(self, access: Access) -> Access:
        count = len(access.subscripts)
        if access.array in self._written or access.array in self._scop.locals or count:
            before = self._scop.arrays.setdefault(access.array, count)
            if before != count:
                line = line_of(access.node)
                raise RegionError(f"{access.array} has {before} subscripts, and here {count}", line)
        return access

    def _check_counting(self, name: str, place: _Place, node: Any) -> None:
        if name in self._counting and name not in place.names:
            raise RegionError(f"{name} is used outside of the loop that counts it", line_of(node))

    def _affine(self, node: Any, place: _Place) -> Affine:
        return affine(node, lambda name: self._number(name, place, node))

    def _pieces(self, node: Any, place: _Place) -> Pieces:
        return pieces(node, lambda name: self._number(name, place, node))

    def _number(self, name: str, place: _Place, node: Any) -> Affine:
        """What a name of an affine expression stands for."""
        if name in place.names:
            return Affine({place.names[name]: 1})
        self._check_counting(name, place, node)
        if name in self._written or name in place.locals:
            raise RegionError(
                f"{name} is written in the region: nothing with it is affine", line_of(node)
            )
        if self._values is None:
            self._scop.parameters[name] = _STAND_IN
        return Affine({}, self._scop.parameters[name])

    def _condition(self, node: Any, place: _Place) -> str:
        if is_kind(node, "BinaryOp") and node.op in ("&&", "||"):
            joined = {"&&": "and", "||": "or"}[node.op]
            left, right = self._condition(node.left, place), self._condition(node.right, place)
            return f"(({left}) {joined} ({right}))"
        if is_kind(node, "UnaryOp") and node.op == "!":
            return f"not ({self._condition(node.expr, place)})"
        if not is_kind(node, "BinaryOp") or node.op not in _COMPARISONS[:6]:
            raise RegionError("this condition does not compare affine expressions", line_of(node))
        relation = {"==": "="}.get(node.op, node.op)
        left, right = (self._pieces(each, place).text for each in (node.left, node.right))
        return f"({left}) {relation} ({right})"


_COMPARISONS = ("<", "<=", ">", ">=", "==", "!=", "&&", "||")
_UNSIGNED = ("unsigned", "size_t", "uint64_t")
_CALLED = {
    "FuncCall": "a call",
    "ExprList": "a list of expressions",
    "DoWhile": "a do loop",
    "ID": "an expression",
    "BinaryOp": "an expression",
    "UnaryOp": "an expression",
    "TernaryOp": "an expression",
}


def _called(kind: str) -> str:
    return _CALLED.get(kind, f"a {kind.lower()}")


def _start(node: Any) -> tuple[str, Any, str]:
    """The iterator of a loop, where it begins, and its type as C."""
    init = node.init
    if is_kind(init, "DeclList") and len(init.decls) == 1 and init.decls[0].init is not None:
        return init.decls[0].name, init.decls[0].init, type_text(init.decls[0])
    if is_kind(init, "Assignment") and init.op == "=" and is_kind(init.lvalue, "ID"):
        return init.lvalue.name, init.rvalue, f"__typeof__({init.lvalue.name})"
    raise RegionError("a loop must begin with one iterator and its first value", line_of(node))


def _step(node: Any, name: str, affine_of: Callable[[Any], Affine]) -> int:
    """By how much the iterator moves each time."""
    found: int | None = None
    move = node.next
    if is_kind(move, "UnaryOp") and is_kind(move.expr, "ID") and move.expr.name == name:
        found = {"p++": 1, "++": 1, "p--": -1, "--": -1}.get(move.op)
    elif is_kind(move, "Assignment") and is_kind(move.lvalue, "ID") and move.lvalue.name == name:
        if move.op in ("+=", "-="):
            by = affine_of(move.rvalue)
            found = None if by.terms else by.constant * (1 if move.op == "+=" else -1)
        elif move.op == "=":
            found = _moved(move.rvalue, name, affine_of)
    if not found:
        raise RegionError("a loop must move by a constant each time", line_of(node))
    if node.cond is None:
        raise RegionError("a loop must have a bound", line_of(node))
    return found


def _moved(node: Any, name: str, affine_of: Callable[[Any], Affine]) -> int | None:
    """By how much `i + 2` and `2 + i` and `i - 2` are more than `i`."""
    if not is_kind(node, "BinaryOp") or node.op not in ("+", "-"):
        return None
    left, right = node.left, node.right
    if node.op == "+" and is_kind(right, "ID"):
        left, right = right, left
    if not is_kind(left, "ID") or left.name != name:
        return None
    by = affine_of(right)
    return None if by.terms else by.constant * (1 if node.op == "+" else -1)


def _written_names(node: Any) -> Iterator[str]:
    """Names that are assigned; not those that a loop counts, nor those that are declared here."""
    if is_kind(node, "Assignment"):
        yield element(node.lvalue)[0]
    elif is_kind(node, "UnaryOp") and node.op in ("p++", "++", "p--", "--"):
        yield element(node.expr)[0]
    for child in (node.stmt,) if is_kind(node, "For") else children_of(node):
        yield from _written_names(child)


def _counting_names(node: Any) -> Iterator[str]:
    """Iterators that are declared outside of the region, or at least of their loop."""
    if is_kind(node, "For") and is_kind(node.init, "Assignment"):
        yield _start(node)[0]
    for child in children_of(node):
        yield from _counting_names(child)
