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

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from acumen.compilers.loop_nests.dependences import Model
from acumen.compilers.loop_nests.isl import load
from acumen.compilers.loop_nests.keeping import keepable
from acumen.compilers.loop_nests.scop import Statement
from acumen.compilers.loop_nests.syntax import Assignment, element, is_kind, print_expression
from acumen.compilers.loop_nests.transform import FREE, PARALLEL, VECTOR, WHOLE

MACROS = """#define acumen_min(a, b) ((a) < (b) ? (a) : (b))
#define acumen_max(a, b) ((a) > (b) ? (a) : (b))
#define acumen_floord(n, d) ((n) < 0 ? -((-(n) + (d) - 1) / (d)) : (n) / (d))
"""
_ISL_MACRO = re.compile(r"\b(min|max|floord)\(")
_OPENMP = "#pragma omp parallel for num_threads({})"
# GCC 12 keeps a loop's promise of independence when it has jammed it with others, for which nobody
# promised anything, and then vectorises wrongly.
_CAREFUL = '#pragma GCC optimize("no-loop-unroll-and-jam", "no-loop-interchange")\n'
_BYTES = {"double": 8, "float": 4}


class _PlainError(Exception):
    """This register tile cannot be written out; it stays a nest of loops."""


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
    typedefs: set[tuple[str, int]] = field(default_factory=set)
    keepable: dict[str, bool] = field(default_factory=dict)
    kept: int = 0
    pending: str = ""
    hints: bool = False

    def text(self, schedule: Any) -> str:
        """The loops of a schedule tree as C."""
        isl = load()
        self.keepable = keepable(self.model, schedule)
        build = isl.AstBuild.from_context(isl.Set("{ : }"))
        build, _handle = build.set_at_each_domain(self._note)
        tree = build.node_from_schedule(schedule)
        lines = self._node(tree, {})
        return "\n".join(lines)

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
            iterators[iterator] = _c(build.expr_from_pw_aff(value))
            along[iterator] = _slope(value, dims)
        key = f"call{len(self.calls)}"
        self.calls[key] = _Call(statement, iterators, along)
        return node.set_annotation(isl.Id(key))

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
            lines = [f"if ({_c(node.if_get_cond())}) {{", *self._node(node.if_get_then(), fixed)]
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
        if name.startswith(PARALLEL) and self.threads > 1:
            self.pending = f"c{name.removeprefix(PARALLEL)}"
            lines = self._node(below, fixed)
            self.pending = ""
            return lines
        if name == FREE and _is_loop(below) and not self.pending:
            self.hints = True
            return ["#pragma GCC ivdep", *self._loop(below, fixed)]
        if name.startswith(VECTOR) and _is_loop(below):
            return self._lanes(below, int(name.removeprefix(VECTOR)), fixed)
        if name.startswith(WHOLE):
            try:
                return [line for _, line in self._tile(below, name)]
            except _PlainError:
                pass
        return self._node(below, fixed)

    def _loop(self, node: Any, fixed: Mapping[str, int]) -> list[str]:
        name = _c(node.for_get_iterator())
        init = _c(node.for_get_init())
        if node.for_is_degenerate():
            return [
                "{",
                f"const long {name} = {init};",
                *self._node(node.for_get_body(), fixed),
                "}",
            ]
        cond, step = _c(node.for_get_cond()), _c(node.for_get_inc())
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
        name, init = _c(node.for_get_iterator()), _c(node.for_get_init())
        bound = re.fullmatch(rf"{name} <= (.*)", _c(node.for_get_cond()))
        calls: list[Any] = []
        try:
            if bound is None or init != "0":
                return plain
            self._unroll(node.for_get_body(), {**fixed, name: 0}, calls)
            lines = [self._one(self._call(c), at, range(lanes))[1] for c, at, _ in calls]
        except _PlainError:
            return plain
        return [f"if ({bound[1]} >= {lanes - 1}) {{", *lines, "} else {", *plain, "}"]

    def _kept(self, node: Any, name: str, head: str, fixed: Mapping[str, int]) -> list[str]:
        kept = self._keeping(node, name, head)
        return kept or [head, *self._node(node.for_get_body(), fixed), "}"]

    def _keeping(self, node: Any, name: str, head: str) -> list[str] | None:
        """The loop with what its register tile accumulates in variables, if it can be so."""
        body = node.for_get_body()
        if not _is_mark(body, WHOLE):
            return None
        try:
            tile = self._tile(body.mark_get_node(), body.mark_get_id().name)
        except _PlainError:
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
            whole = re.compile(rf"(?<!\w){re.escape(place)}")
            lines = [whole.sub(short, line) for line in lines]
        if not names:
            return [head, *lines, "}"]
        init, cond = _c(node.for_get_init()), _c(node.for_get_cond())
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
            _PlainError: it is not whole, or cannot be written so.
        """
        wanted = load().Set(mark.removeprefix(WHOLE)).count_val().to_python()
        places: list[tuple[Any, dict[str, int], range]] = []
        self._unroll(node, {}, places)
        count = sum(max(len(lanes), 1) for _, _, lanes in places)
        statements = {id(self._call(call)) for call, _, _ in places}
        if count != wanted * len(statements):
            raise _PlainError
        return [self._one(self._call(call), fixed, lanes) for call, fixed, lanes in places]

    def _unroll(self, node: Any, fixed: dict[str, int], out: list[Any]) -> None:
        isl = load()
        kind, types = node.get_type(), isl.ast_node_type
        if _is_mark(node, VECTOR):
            loop = node.mark_get_node()
            name, values = _constant_loop(loop)
            lanes: list[Any] = []
            self._unroll(loop.for_get_body(), {**fixed, name: values[0]}, lanes)
            # The lanes' variable comes last among those that have a number.
            out += [(call, at, values) for call, at, _ in lanes]
        elif kind == types.mark:
            self._unroll(node.mark_get_node(), fixed, out)
        elif kind == types.for_:
            name, values = _constant_loop(node)
            for value in values:
                self._unroll(node.for_get_body(), {**fixed, name: value}, out)
        elif kind == types.block:
            children = node.block_get_children()
            for i in range(children.n_ast_node()):
                self._unroll(children.get_at(i), fixed, out)
        elif kind == types.user:
            out.append((node, fixed, range(0)))
        else:
            raise _PlainError

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
        """A name or an element in terms of the loops' variables."""
        statement = call.statement
        if is_kind(node, "ID") and node.name in statement.names:
            return f"(int)({_fixed(call.iterators[statement.names[node.name]], fixed)})"
        name, nodes = element(node)
        local = self.model.scop.locals.get(name)
        if local is not None:
            return name + "".join(f"[{_fixed(call.iterators[i], fixed)}]" for i in local.iterators)
        return name + "".join(
            f"[{_fixed(print_expression(each, lambda leaf: self._index(call, leaf)), fixed)}]"
            for each in nodes
        )

    def _index(self, call: _Call, node: Any) -> str:
        if is_kind(node, "ID") and node.name in call.statement.names:
            return f"({call.iterators[call.statement.names[node.name]]})"
        return element(node)[0]

    def _vector_value(self, call: _Call, fixed: Mapping[str, int], lanes: range) -> str:
        value, written = call.statement.node.value, call.statement.written.array
        found = False

        def leaf(node: Any) -> str:
            nonlocal found
            if is_kind(node, "ID") and node.name in call.statement.names:
                raise _PlainError
            if self.types.get(element(node)[0]) != self.types.get(written):
                raise _PlainError
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
        nodes = element(node)[1]
        found = next((a for a in call.statement.accesses() if a.node is node), None)
        if found is None:
            return 0 if not nodes else None
        slopes = [_moved(index.terms, call.along) for index in found.subscripts]
        if any(slope is None for slope in slopes):
            return None
        if not any(slopes):
            return 0
        return 1 if not any(slopes[:-1]) and slopes[-1] == 1 else None

    def _vector(self, call: _Call, node: Any, fixed: Mapping[str, int], lanes: range) -> str:
        if self._stride(call, node) != 1:
            raise _PlainError
        kind = self._typedef(element(node)[0], len(lanes))
        return f"(*({kind} *)&{self._scalar(call, node, fixed)})"

    def _gathered(self, call: _Call, node: Any, fixed: Mapping[str, int], lanes: range) -> str:
        """A vector of elements that do not lie side by side."""
        name = list(fixed)[-1]
        each = (self._scalar(call, node, {**fixed, name: value}) for value in lanes)
        return f"({self._typedef(element(node)[0], len(lanes))}){{{', '.join(each)}}}"

    def _typedef(self, array: str, lanes: int) -> str:
        element_type = self.types.get(array, "")
        if element_type not in _BYTES:
            raise _PlainError
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
            raise _PlainError
        return
    if is_kind(node, "BinaryOp") and node.op in ("+", "-", "*", "/"):
        _check_vector(node.left, kind)
        _check_vector(node.right, kind)
        return
    if is_kind(node, "UnaryOp") and node.op in ("-", "+"):
        _check_vector(node.expr, kind)
        return
    raise _PlainError


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


def _c(expression: Any) -> str:
    return _ISL_MACRO.sub(r"acumen_\1(", expression.to_C_str())


def _is_loop(node: Any) -> bool:
    isl = load()
    return bool(node.get_type() == isl.ast_node_type.for_) and not node.for_is_degenerate()


def _is_mark(node: Any, name: str) -> bool:
    isl = load()
    return bool(node.get_type() == isl.ast_node_type.mark) and node.mark_get_id().name.startswith(
        name
    )


def _constant_loop(node: Any) -> tuple[str, range]:
    """The variable of a loop whose bounds are numbers, and its values.

    Raises:
        _PlainError: it is not a loop, or its bounds are not numbers.
    """
    if not _is_loop(node):
        raise _PlainError
    name = _c(node.for_get_iterator())
    bound = re.fullmatch(rf"{name} (<=?) (-?\d+)", _c(node.for_get_cond()))
    init, step = _c(node.for_get_init()), _c(node.for_get_inc())
    if bound is None or not re.fullmatch(r"-?\d+", init) or not step.isdigit():
        raise _PlainError
    return name, range(int(init), int(bound[2]) + (bound[1] == "<="), int(step))


def _slope(value: Any, dims: int) -> int | None:
    """By how much an iterator moves with the last dimension of the schedule."""
    isl = load()
    pieces: list[Any] = []
    value.foreach_piece(lambda _, piece: pieces.append(piece))
    if len(pieces) != 1 or not dims:
        return None
    aff = pieces[0]
    for i in range(aff.dim(isl.dim_type.div)):
        if not aff.get_coefficient_val(isl.dim_type.div, i).is_zero():
            return None
    slope = aff.get_coefficient_val(isl.dim_type.in_, dims - 1)
    return int(slope.to_python()) if slope.is_int() else None
