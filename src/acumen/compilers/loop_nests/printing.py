"""C from a schedule tree: isl finds the loops, this prints them.

Loops are printed as isl has them. Register tiles that are whole are written out: one statement for
each place in the tile, with vectors of GCC's (`vector_size`) where the tile has lanes. What such a
tile accumulates along a loop is kept in variables meanwhile, so that it stays in registers:

    V r0 = C[i+0][j..j+7], r1 = C[i+1][j..j+7];
    for (k …) { r0 += A[i+0][k] * B[k][j..j+7];  r1 += A[i+1][k] * B[k][j..j+7]; }
    C[i+0][j..j+7] = r0, C[i+1][j..j+7] = r1;

That is allowed only where nothing else that the loop touches can be the same element, which is
computed exactly (`keeping.py`), not guessed from names.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from acumen.compilers.loop_nests.affine import Affine
from acumen.compilers.loop_nests.dependences import Model
from acumen.compilers.loop_nests.errors import LoopNestError
from acumen.compilers.loop_nests.isl import load
from acumen.compilers.loop_nests.keeping import keepable
from acumen.compilers.loop_nests.loop_trees import (
    MACROS,
    PlainError,
    c_text,
    constant_loop,
    is_loop,
    is_mark,
    slope_of,
)
from acumen.compilers.loop_nests.privacy import HOME, Home, home_of, moved_out, torn, touches
from acumen.compilers.loop_nests.scop import Access, Statement
from acumen.compilers.loop_nests.syntax import Assignment, element, is_kind, print_expression
from acumen.compilers.loop_nests.transform import FREE, PARALLEL, VECTOR, WHOLE

# No program has such names; the depth of the loop comes behind.
_VARIABLE = "acumen_c"
_DEPTH_MAX = 100
_OPENMP = "#pragma omp parallel for num_threads({})"
# GCC 12 keeps a loop's promise of independence when it has jammed it with others, for which nobody
# promised anything, and then vectorises wrongly.
_CAREFUL = '#pragma GCC optimize("no-loop-unroll-and-jam", "no-loop-interchange")\n'
_BYTES = {"double": 8, "float": 4}
# A scalar of a loop's body that needs more elements than the first has them on the heap; than the
# second, not at all.
_STACK_MAX, _HEAP_MAX = 4096, 1 << 25


@dataclass(frozen=True)
class _Call:
    """An instance of a statement in the tree of loops.

    Attributes:
        statement: whose.
        iterators: the values of its iterators, as C in terms of the loops' variables.
        along: of each iterator, by how much it moves with the innermost loop; None: not linear.
    """

    statement: Statement
    iterators: Mapping[str, str]
    along: Mapping[str, int | None]


@dataclass
class Printer:
    """Prints one tree.

    Attributes:
        model: the region.
        types: of arrays and scalars, as C; others are not known.
        threads: of marked loops.
        lanes_bytes: of a vector.
    """

    model: Model
    types: Mapping[str, str]
    threads: int = 1
    calls: dict[str, _Call] = field(default_factory=dict)
    homes: dict[str, Home] = field(default_factory=dict)
    at_home: dict[str, Home] = field(default_factory=dict)
    typedefs: set[tuple[str, int]] = field(default_factory=set)
    keepable: dict[str, bool] = field(default_factory=dict)
    rooms: int = 0
    kept: int = 0
    pending: str = ""
    hints: bool = False

    def text(self, schedule: Any) -> str:
        """The loops of a schedule tree as C."""
        self.keepable = keepable(self.model, schedule)
        tree = self._built(schedule)
        while name := torn(self.homes.values()):
            schedule = moved_out(schedule, name)
            tree = self._built(schedule)
        return "\n".join(self._node(tree, {}))

    def _built(self, schedule: Any) -> Any:
        """The tree of loops that isl finds; what is noted on the way is in `calls` and `homes`."""
        isl = load()
        self.calls, self.homes = {}, {}
        build = isl.AstBuild.from_context(isl.Set("{ : }"))
        names = isl.IdList.alloc(build.get_ctx(), _DEPTH_MAX)
        for depth in range(_DEPTH_MAX):
            names = names.add(isl.Id(f"{_VARIABLE}{depth}"))
        build, _handle = build.set_iterators(names).set_at_each_domain(self._note)
        build, _other = build.set_after_each_mark(self._note_home)
        return build.node_from_schedule(schedule)

    def _note(self, node: Any, build: Any) -> Any:
        isl = load()
        pairs = isl.Map.from_union_map(build.get_schedule())
        name = pairs.get_tuple_name(isl.dim_type.in_)
        statement = self.model.scop.statement(name)
        places = isl.PwMultiAff.from_map(pairs.reverse())
        dims = pairs.dim(isl.dim_type.out)
        iterators, along = {}, {}
        for i, iterator in enumerate(statement.iterators):
            value = places.get_pw_aff(i)
            iterators[iterator] = c_text(build.expr_from_pw_aff(value))
            along[iterator] = slope_of(value, dims)
        key = f"call{len(self.calls)}"
        self.calls[key] = _Call(statement, iterators, along)
        return node.set_annotation(isl.Id(key))

    def _note_home(self, node: Any, build: Any) -> Any:
        mark = node.mark_get_id().name
        if not mark.startswith(HOME):
            return node
        name = mark.removeprefix(HOME)
        home = home_of(name, touches(self.model, name), build)
        key = f"home{len(self.homes)}" if home is not None else ""
        if home is not None:
            self.homes[key] = home
        return node.set_annotation(load().Id(key))

    def _node(self, node: Any, fixed: Mapping[str, int]) -> list[str]:
        isl = load()
        kind, types = node.get_type(), isl.ast_node_type
        if kind == types.block:
            children = node.block_get_children()
            lines = []
            for i in range(children.n_ast_node()):
                lines += self._node(children.get_at(i), fixed)
            return lines
        if kind == types.for_:
            return self._loop(node, fixed)
        if kind == types.if_:
            lines = [
                f"if ({c_text(node.if_get_cond())}) {{",
                *self._node(node.if_get_then(), fixed),
            ]
            if node.if_has_else():
                lines += ["} else {", *self._node(node.if_get_else(), fixed)]
            return [*lines, "}"]
        if kind == types.mark:
            return self._mark(node, fixed)
        return [self._plain(self._call(node), fixed)]

    def _call(self, node: Any) -> _Call:
        return self.calls[node.get_annotation().name]

    def _mark(self, node: Any, fixed: Mapping[str, int]) -> list[str]:
        name, below = node.mark_get_id().name, node.mark_get_node()
        if name.startswith(HOME):
            home = self.homes.get(node.get_annotation().name or "")
            return self._home(home, below, fixed) if home is not None else self._node(below, fixed)
        if name.startswith(PARALLEL) and self.threads > 1:
            self.pending = f"{_VARIABLE}{name.removeprefix(PARALLEL)}"
            lines = self._node(below, fixed)
            self.pending = ""
            return lines
        if name == FREE and is_loop(below) and not self.pending:
            rooms = self.rooms
            lines = self._loop(below, fixed)
            if self.rooms > rooms:
                # All iterations have the same room in memory: they are not independent.
                return lines
            self.hints = True
            return ["#pragma GCC ivdep", *lines]
        if name.startswith(VECTOR) and is_loop(below):
            return self._lanes(below, int(name.removeprefix(VECTOR)), fixed)
        if name.startswith(WHOLE):
            try:
                return [line for _, line in self._tile(below, name)]
            except PlainError:
                pass
        return self._node(below, fixed)

    def _home(self, home: Home, below: Any, fixed: Mapping[str, int]) -> list[str]:
        """What is below a scalar's mark, with its declaration."""
        kind, sizes = self.model.scop.locals[home.name].type, [n for n in home.sizes if n > 1]
        lines = [
            f"const long {home.name}_low{i} = {low};" for i, low in enumerate(home.lows) if low
        ]
        count = math.prod(sizes)
        inner = "".join(f"[{size}]" for size in sizes[1:])
        freed = []
        if count > _HEAP_MAX:
            raise LoopNestError(f"{count:,} elements would have to be kept of one scalar")
        if count > _STACK_MAX:
            bytes_ = f"sizeof({kind}) * {count}"
            lines += [
                f"{kind} (*{home.name}){inner} = __builtin_malloc({bytes_});",
                f"if (!{home.name}) __builtin_abort();",
            ]
            freed = [f"__builtin_free({home.name});"]
        else:
            lines.append(f"{kind} {home.name}{f'[{sizes[0]}]' if sizes else ''}{inner};")
        self.rooms += bool(sizes)
        outer = self.at_home
        self.at_home = {**outer, home.name: home}
        lines += self._node(below, fixed)
        self.at_home = outer
        return ["{", *lines, *freed, "}"]

    def _loop(self, node: Any, fixed: Mapping[str, int]) -> list[str]:
        name = c_text(node.for_get_iterator())
        init = c_text(node.for_get_init())
        if node.for_is_degenerate():
            return [
                "{",
                f"const long {name} = {init};",
                *self._node(node.for_get_body(), fixed),
                "}",
            ]
        cond, step = c_text(node.for_get_cond()), c_text(node.for_get_inc())
        head = f"for (long {name} = {init}; {cond}; {name} += {step}) {{"
        if self.pending:
            # Each of the loops that the marked one was taken apart into; no other one below.
            pragma = [_OPENMP.format(self.threads)] if name == self.pending else []
            pending, self.pending = self.pending, ""
            lines = [*pragma, *self._kept(node, name, head, fixed)]
            self.pending = pending
            return lines
        return self._kept(node, name, head, fixed)

    def _lanes(self, node: Any, lanes: int, fixed: Mapping[str, int]) -> list[str]:
        """The loop over a vector's lanes at a border: a vector where all lanes are there."""
        plain = self._loop(node, fixed)
        name, init = c_text(node.for_get_iterator()), c_text(node.for_get_init())
        bound = re.fullmatch(rf"{name} <= (.*)", c_text(node.for_get_cond()))
        calls: list[Any] = []
        try:
            if bound is None or init != "0":
                return plain
            self._unroll(node.for_get_body(), {**fixed, name: 0}, calls)
            lines = [self._one(self._call(c), at, range(lanes))[1] for c, at, _ in calls]
        except PlainError:
            return plain
        return [f"if ({bound[1]} >= {lanes - 1}) {{", *lines, "} else {", *plain, "}"]

    def _kept(self, node: Any, name: str, head: str, fixed: Mapping[str, int]) -> list[str]:
        kept = self._keeping(node, name, head)
        return kept or [head, *self._node(node.for_get_body(), fixed), "}"]

    def _keeping(self, node: Any, name: str, head: str) -> list[str] | None:
        """The loop with what its register tile accumulates in variables, if it can be so."""
        body = node.for_get_body()
        if not is_mark(body, WHOLE):
            return None
        try:
            tile = self._tile(body.mark_get_node(), body.mark_get_id().name)
        except PlainError:
            return None
        before: list[str] = []
        after: list[str] = []
        names: dict[str, str] = {}
        for place, _ in tile:
            if place is None or place in names or re.search(rf"\b{name}\b", place):
                continue
            names[place] = f"acumen_r{self.kept}"
            self.kept += 1
            before.append(f"__typeof__({place}) {names[place]} = {place};")
            after.append(f"{place} = {names[place]};")
        lines = [line for _, line in tile]
        for place, short in names.items():
            whole = re.compile(rf"(?<!\w){re.escape(place)}(?!\w)")
            lines = [whole.sub(short, line) for line in lines]
        if not names:
            return [head, *lines, "}"]
        init, cond = c_text(node.for_get_init()), c_text(node.for_get_cond())
        first = f"{{ const long {name} = {init}; acumen_any = {cond}; }}"
        return [
            "{ int acumen_any;",
            first,
            "if (acumen_any) {",
            *before,
            head,
            *lines,
            "}",
            *after,
            "}}",
        ]

    def _tile(self, node: Any, mark: str) -> list[tuple[str | None, str]]:
        """A whole register tile: what each statement may keep in a variable, and the statement.

        Raises:
            PlainError: it is not whole, or cannot be written so.
        """
        wanted = load().Set(mark.removeprefix(WHOLE)).count_val().to_python()
        places: list[tuple[Any, dict[str, int], range]] = []
        self._unroll(node, {}, places)
        count = sum(max(len(lanes), 1) for _, _, lanes in places)
        statements = {id(self._call(call)) for call, _, _ in places}
        if count != wanted * len(statements):
            raise PlainError
        return [self._one(self._call(call), fixed, lanes) for call, fixed, lanes in places]

    def _unroll(self, node: Any, fixed: dict[str, int], out: list[Any]) -> None:
        isl = load()
        kind, types = node.get_type(), isl.ast_node_type
        if is_mark(node, VECTOR):
            loop = node.mark_get_node()
            name, values = constant_loop(loop)
            lanes: list[Any] = []
            self._unroll(loop.for_get_body(), {**fixed, name: values[0]}, lanes)
            # The lanes' variable comes last among those that have a number.
            out += [(call, at, values) for call, at, _ in lanes]
        elif kind == types.mark:
            self._unroll(node.mark_get_node(), fixed, out)
        elif kind == types.for_:
            name, values = constant_loop(node)
            for value in values:
                self._unroll(node.for_get_body(), {**fixed, name: value}, out)
        elif kind == types.block:
            children = node.block_get_children()
            for i in range(children.n_ast_node()):
                self._unroll(children.get_at(i), fixed, out)
        elif kind == types.user:
            out.append((node, fixed, range(0)))
        else:
            raise PlainError

    def _one(self, call: _Call, fixed: Mapping[str, int], lanes: range) -> tuple[str | None, str]:
        assignment: Assignment = call.statement.node
        if lanes:
            target = self._vector(call, assignment.target, fixed, lanes)
            value = self._vector_value(call, fixed, lanes)
        else:
            target = self._scalar(call, assignment.target, fixed)
            value = self._value(call, fixed)
        keep = target if self.keepable.get(call.statement.name) else None
        return keep, f"{target} {assignment.op} {value};"

    def _plain(self, call: _Call, fixed: Mapping[str, int]) -> str:
        assignment: Assignment = call.statement.node
        target = self._scalar(call, assignment.target, fixed)
        return f"{target} {assignment.op} {self._value(call, fixed)};"

    def _value(self, call: _Call, fixed: Mapping[str, int]) -> str:
        value = call.statement.node.value
        return print_expression(value, lambda leaf: self._scalar(call, leaf, fixed))

    def _scalar(self, call: _Call, node: Any, fixed: Mapping[str, int]) -> str:
        """A name or an element in terms of the loops' variables; equal ones have equal texts."""
        statement = call.statement
        iterator = statement.names.get(node.name) if is_kind(node, "ID") else None
        access = _access_of(call, node)
        if iterator is not None and access is None:
            kind = self.model.scop.counters[iterator]
            return f"({kind})({_fixed(call.iterators[iterator], fixed)})"
        if access is None:
            return element(node)[0]
        indices = [_fixed(_sum(each, call.iterators), fixed) for each in access.subscripts]
        home = self.at_home.get(access.array)
        if home is not None:
            return home.index(indices)
        return access.array + "".join(f"[{index}]" for index in indices)

    def _vector_value(self, call: _Call, fixed: Mapping[str, int], lanes: range) -> str:
        value, written = call.statement.node.value, call.statement.written.array
        found = False

        def leaf(node: Any) -> str:
            nonlocal found
            if is_kind(node, "ID") and node.name in call.statement.names:
                raise PlainError
            if self.types.get(_name_of(call, node)) != self.types.get(written):
                raise PlainError
            stride = self._stride(call, node)
            found |= stride == 1
            if stride == 1:
                return self._vector(call, node, fixed, lanes)
            if stride == 0:
                return self._scalar(call, node, fixed)
            found = True
            return self._gathered(call, node, fixed, lanes)

        _check_vector(value, self.types.get(written, ""))
        text = print_expression(value, leaf)
        if found or call.statement.node.op != "=":
            return f"({text})"
        # A vector of one value: adding it to zeros would change the sign of a zero.
        return f"({self._typedef(written, len(lanes))}){{{', '.join([f'({text})'] * len(lanes))}}}"

    def _stride(self, call: _Call, node: Any) -> int | None:
        """How many elements an access moves with a lane; None: neither 0 nor 1."""
        found = _access_of(call, node)
        if found is None:
            return 0
        slopes = [_moved(index.terms, call.along) for index in found.subscripts]
        if any(slope is None for slope in slopes):
            return None
        if not any(slopes):
            return 0
        return 1 if not any(slopes[:-1]) and slopes[-1] == 1 else None

    def _vector(self, call: _Call, node: Any, fixed: Mapping[str, int], lanes: range) -> str:
        if self._stride(call, node) != 1:
            raise PlainError
        kind = self._typedef(_name_of(call, node), len(lanes))
        return f"(*({kind} *)&{self._scalar(call, node, fixed)})"

    def _gathered(self, call: _Call, node: Any, fixed: Mapping[str, int], lanes: range) -> str:
        """A vector of elements that do not lie side by side."""
        name = list(fixed)[-1]
        each = (self._scalar(call, node, {**fixed, name: value}) for value in lanes)
        return f"({self._typedef(_name_of(call, node), len(lanes))}){{{', '.join(each)}}}"

    def _typedef(self, array: str, lanes: int) -> str:
        element_type = self.types.get(array, "")
        if element_type not in _BYTES:
            raise PlainError
        self.typedefs.add((element_type, lanes))
        return f"acumen_{element_type}{lanes}"

    def preamble(self) -> str:
        """What the file needs before all else."""
        typedefs = "".join(
            f"typedef {kind} acumen_{kind}{lanes}"
            f" __attribute__((vector_size({_BYTES[kind] * lanes}),"
            f" aligned({_BYTES[kind]}), may_alias));\n"
            for kind, lanes in sorted(self.typedefs)
        )
        return (_CAREFUL if self.hints else "") + typedefs + MACROS


def _check_vector(node: Any, kind: str) -> None:
    """Whether an expression means the same for vectors as for their elements."""
    if is_kind(node, "ID", "ArrayRef"):
        return
    if is_kind(node, "Constant"):
        is_float = node.value.lower().endswith("f")
        if node.type in ("double", "float") and is_float != (kind == "float"):
            raise PlainError
        return
    if is_kind(node, "BinaryOp") and node.op in ("+", "-", "*", "/"):
        _check_vector(node.left, kind)
        _check_vector(node.right, kind)
        return
    if is_kind(node, "UnaryOp") and node.op in ("-", "+"):
        _check_vector(node.expr, kind)
        return
    raise PlainError


def _access_of(call: _Call, node: Any) -> Access | None:
    """What a node of a statement touches; nothing where it is an iterator or never written."""
    return next((each for each in call.statement.accesses() if each.node is node), None)


def _name_of(call: _Call, node: Any) -> str:
    access = _access_of(call, node)
    return access.array if access is not None else str(element(node)[0])


def _sum(index: Affine, iterators: Mapping[str, str]) -> str:
    parts = [
        f"{'' if factor == 1 else f'{factor} * '}({iterators[name]})"
        for name, factor in index.terms.items()
    ]
    return " + ".join([*parts, str(index.constant)] if index.constant or not parts else parts)


def _moved(terms: Mapping[str, int], along: Mapping[str, int | None]) -> int | None:
    total = 0
    for name, factor in terms.items():
        by = along.get(name, 0)
        if by is None:
            return None
        total += factor * by
    return total


def _fixed(text: str, fixed: Mapping[str, int]) -> str:
    for name, value in fixed.items():
        text = re.sub(rf"\b{name}\b", str(value), text)
    return text
