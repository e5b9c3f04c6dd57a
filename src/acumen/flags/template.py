"""Flags that may be set, written where they stand: ``{unroll:--param=max-unroll-times=[2..32]}``.

A placeholder is a name and the text of a flag. Of the text, a part in brackets may vary, and all
of it may be left out if it ends with a question mark::

    {opt:-funroll-loops?}            given or not; by default it is not
    {opt:-funroll-loops?on}          given or not; by default it is
    {level:-O[1,2,3*]}               one of these; the default has the star, or is the first
    {vec:-f[,no-]tree-vectorize?}    -ftree-vectorize, -fno-tree-vectorize, or neither
    {size:--block=[1..64=8]}         a whole number, 8 by default
    {size:--block=[1..1024 log=64]}  the same in ratios: as many values from 1 to 32 as above
    {share:--share=[0.0..1.0=0.5]}   a number
    {unroll:--max=[2..32]}           without a default: it is left out by default

``{name}`` stands for a flag that is described elsewhere, ``{flags}`` for all that a space file
describes and that have no place of their own. What is no placeholder stays as it is.
"""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from acumen.learners.search import Categorical, Flag, Integer, Real, Setting, Space, When

ALL = "flags"
VARIABLE = "ACUMEN_FLAGS"
_NAME = r"[A-Za-z_]\w*"
_PLACE = re.compile(rf"\{{({_NAME})(?::([^{{}}]*))?\}}")
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_RANGE = re.compile(rf"\s*({_NUMBER})\.\.({_NUMBER})(\s*log)?(?:\s*=\s*({_NUMBER}))?\s*")


class TemplateError(ValueError):
    """A flag or a command is written in a way that cannot be understood, and why."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One flag: its text, and what of it may vary.

    Attributes:
        name: of its parameter.
        before: text in front of what varies.
        after: text behind it.
        parameter: what varies; None: nothing, the text is given or not.
        optional: whether the whole text may be left out.
        given: whether it is given by default, if it is optional.
    """

    name: str
    before: str
    after: str = ""
    parameter: Categorical | Integer | Real | None = None
    optional: bool = False
    given: bool = False

    @property
    def switch(self) -> str:
        """The name of the parameter that says whether it is given, where it needs one."""
        return self.name if self.parameter is None else f"use_{self.name}"

    def space(self) -> tuple[dict[str, Categorical | Integer | Real], dict[str, When]]:
        """Its parameters, and what they depend on."""
        if self.parameter is None:
            return {self.name: Flag(self.given)}, {}
        if not self.optional:
            return {self.name: self.parameter}, {}
        if isinstance(self.parameter, Categorical):
            # Left out is one more value; one parameter is searched better than two.
            default = self.parameter.default if self.given else None
            return {self.name: Categorical([None, *self.parameter.values], default=default)}, {}
        switched = {self.switch: Flag(self.given), self.name: self.parameter}
        return switched, {self.name: When(self.switch, True)}

    def render(self, setting: Setting) -> str | None:
        """Its text in a setting; None if it is left out."""
        if self.parameter is None:
            return self.before if setting.get(self.name) else None
        value = setting.get(self.name)
        if value is None:
            return None
        shown = f"{value:.6g}" if isinstance(value, float) else str(value)
        return f"{self.before}{shown}{self.after}"


def parse_piece(name: str, text: str, where: str = "") -> Piece:
    """One flag from its text.

    Args:
        name: of its parameter, an identifier.
        text: see the module.
        where: what to call it in errors.

    Raises:
        TemplateError: it says nothing that may vary, or something that cannot be.

    >>> parse_piece("unroll", "--param=max-unroll-times=[2..32]").render({"unroll": 7})
    '--param=max-unroll-times=7'
    """
    where = where or f"{name}: {text}"
    if not re.fullmatch(_NAME, name) or name == ALL:
        raise TemplateError(f"{where}: {name!r} cannot be a flag's name")
    body, mark, given = text, "", ""
    if found := re.fullmatch(r"(.*)(\?)(on)?", text, re.DOTALL):
        body, mark, given = found[1], found[2], found[3] or ""
    parts = re.split(r"\[([^\[\]]*)\]", body)
    if len(parts) == 1:
        if not mark:
            raise TemplateError(f"{where}: nothing may vary; write [...] or a ? at its end")
        return Piece(name, body, optional=True, given=bool(given))
    if len(parts) > 3:
        raise TemplateError(f"{where}: only one part in brackets may vary")
    before, inside, after = parts
    if found := _RANGE.fullmatch(inside):
        default = found[4]
        if given and default is None:
            raise TemplateError(f"{where}: given by default, but with which number? Write [..=N]")
        optional = bool(mark) or default is None
        return Piece(name, before, after, _range(found, where), optional, bool(given))
    return Piece(name, before, after, _choices(inside, where), bool(mark), bool(given))


def _range(found: re.Match[str], where: str) -> Integer | Real:
    low, high, log, default = found[1], found[2], bool(found[3]), found[4]
    whole = all(re.fullmatch(r"[-+]?\d+", one) for one in (low, high, default or "0"))
    try:
        if whole:
            return Integer(int(low), int(high), log, int(default) if default else None)
        return Real(float(low), float(high), log, float(default) if default else None)
    except ValueError as error:
        raise TemplateError(f"{where}: {error}") from None


def _choices(inside: str, where: str) -> Categorical:
    values = [value.strip() for value in inside.split(",")]
    starred = [value for value in values if value.endswith("*")]
    if len(values) < 2:
        raise TemplateError(f"{where}: [{inside}] is neither a range, [2..32], nor a choice, [a,b]")
    if len(starred) > 1:
        raise TemplateError(f"{where}: only one value can be the default")
    plain = [value.removesuffix("*") for value in values]
    try:
        return Categorical(plain, default=starred[0][:-1] if starred else plain[0])
    except ValueError as error:
        raise TemplateError(f"{where}: {error}") from None


Word = tuple[str | Piece, ...]


@dataclass(frozen=True)
class Template:
    """A command with places for flags.

    Attributes:
        steps: commands, each a list of words, each of them text and pieces in turn.
        pieces: every flag by its name.
        spread: names of those that go where ``{flags}`` stands.
        outside: names of those without a place: the environment variable ACUMEN_FLAGS has them.
        join: what stands between them there.
        shell: whether the command is one line for a shell.
        conditions: flags that have a meaning only with a value of another one.
        constraints: expressions that must hold.
    """

    steps: tuple[tuple[Word, ...], ...]
    pieces: Mapping[str, Piece]
    spread: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()
    join: str = " "
    shell: bool = False
    conditions: Mapping[str, When] = field(default_factory=dict)
    constraints: tuple[str, ...] = ()

    def space(self) -> Space:
        """Everything that may be set.

        Raises:
            TemplateError: conditions or constraints do not fit.
        """
        parameters: dict[str, Categorical | Integer | Real] = {}
        conditions = dict(self.conditions)
        for piece in self.pieces.values():
            own, switched = piece.space()
            if clash := set(own) & set(parameters):
                raise TemplateError(f"two flags are called {', '.join(sorted(clash))}")
            parameters |= own
            conditions |= switched
        if not parameters:
            raise TemplateError(
                "nothing may vary: write a flag such as {opt:-funroll-loops?} into the command,"
                " or name a --space"
            )
        try:
            return Space(parameters, conditions, self.constraints)
        except (TypeError, ValueError) as error:
            raise TemplateError(str(error)) from None

    def arguments(self, setting: Setting) -> tuple[tuple[str, ...], ...]:
        """The commands' argument lists in a setting."""
        if self.shell:
            text = " ".join("".join(self._text(word, setting)) for word in self.steps[0])
            return (("/bin/sh", "-c", text),)
        return tuple(
            tuple(argument for word in step for argument in self._words(word, setting))
            for step in self.steps
        )

    def environment(self, setting: Setting) -> dict[str, str]:
        """What is added to the environment in a setting."""
        if not self.outside:
            return {}
        texts = [self.pieces[name].render(setting) for name in self.outside]
        return {VARIABLE: self.join.join(text for text in texts if text is not None)}

    def shown(self, setting: Setting, redirected: str = "") -> str:
        """The command line of a setting, ready to paste.

        Args:
            setting: a valid one.
            redirected: what follows it, such as where its input comes from.
        """
        words = [f"{name}={shlex.quote(text)}" for name, text in self.environment(setting).items()]
        if self.shell:
            # It came to us as one line, and is pasted as one.
            text = self.arguments(setting)[0][2]
            whole = [*words, "sh -c", shlex.quote(text)] if words or redirected else [text]
            return " ".join(whole) + redirected
        steps = self.arguments(setting)
        return " && ".join(" ".join([*words, shlex.join(step)]) for step in steps) + redirected

    def _words(self, word: Word, setting: Setting) -> list[str]:
        """The arguments of a word: a flag by itself may be several, or none."""
        if len(word) > 1 or isinstance(word[0], str):
            return ["".join(self._text(word, setting))]
        pieces = [self.pieces[name] for name in self.spread] if word[0] is ALL_FLAGS else [word[0]]
        texts = [text for piece in pieces if (text := piece.render(setting)) is not None]
        return [argument for text in texts for argument in _split(text)]

    def _text(self, word: Word, setting: Setting) -> list[str]:
        parts = []
        for part in word:
            if part is ALL_FLAGS:
                texts = [self.pieces[name].render(setting) for name in self.spread]
                parts.append(self.join.join(text for text in texts if text is not None))
            else:
                parts.append(part if isinstance(part, str) else part.render(setting) or "")
        return parts


# Stands where all other flags go.
ALL_FLAGS = Piece(ALL, "")


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


def parse_command(
    arguments: Sequence[str],
    pieces: Mapping[str, Piece] | None = None,
    *,
    shell: bool = False,
    join: str = " ",
    conditions: Mapping[str, When] | None = None,
    constraints: Sequence[str] = (),
) -> Template:
    """A command as its user wrote it.

    Args:
        arguments: its words; ``&&`` as a word of its own begins the next command.
        pieces: flags that are described elsewhere.
        shell: take the words as one line for a shell, ``&&`` and all.
        join: what stands between flags where they become one text.
        conditions: see `Template`.
        constraints: see `Template`.

    Raises:
        TemplateError: it cannot be understood.

    >>> command = parse_command("cc {fast:-O[1,2,3]} a.c && ./a.out".split())
    >>> command.arguments({"fast": "3"})
    (('cc', '-O3', 'a.c'), ('./a.out',))
    """
    _check_expanded(arguments)
    known = dict(pieces or {})
    for argument in arguments:
        for name, text in _PLACE.findall(argument):
            if text and _is_piece(text):
                piece = parse_piece(name, text, f"{{{name}:{text}}}")
                if known.setdefault(name, piece) != piece:
                    raise TemplateError(f"two flags are called {name}")
    words: list[list[Word]] = [[]]
    for argument in arguments:
        if argument == "&&" and not shell:
            words.append([])
        else:
            words[-1].append(_word(argument, known, bool(pieces)))
    if not all(words):
        raise TemplateError("a command is missing" + (" beside &&" if len(words) > 1 else ""))
    everything = [part for step in words for word in step for part in word]
    placed = {part.name for part in everything if isinstance(part, Piece)}
    rest = tuple(name for name in known if name not in placed)
    spread, outside = (rest, ()) if ALL in placed else ((), rest)
    return Template(
        tuple(map(tuple, words)), known, spread, outside, join, shell,
        dict(conditions or {}), tuple(constraints),
    )  # fmt: skip


def _is_piece(text: str) -> bool:
    return bool(re.search(r"\[[^\[\]]*\]|\?(on)?$", text))


def _word(argument: str, known: Mapping[str, Piece], has_more: bool) -> Word:
    parts: list[str | Piece] = []
    end = 0
    for found in _PLACE.finditer(argument):
        name, text = found[1], found[2]
        if text is None and name == ALL and has_more:
            piece = ALL_FLAGS
        elif name in known and (text is None or _is_piece(text)):
            piece = known[name]
        else:
            continue
        parts += [argument[end : found.start()], piece]
        end = found.end()
    parts.append(argument[end:])
    word = tuple(part for part in parts if part != "") or ("",)
    for part in word:
        if isinstance(part, Piece) and len(word) > 1 and part is not ALL_FLAGS:
            _check_inner(part, argument)
    return word


def _check_inner(piece: Piece, argument: str) -> None:
    if isinstance(piece.parameter, Integer | Real) and piece.optional and not piece.given:
        raise TemplateError(
            f"{argument}: {{{piece.name}}} is only a part of its word, which cannot be left out;"
            " say which value is the default, as in [1..9=4]"
        )


def _check_expanded(arguments: Sequence[str]) -> None:
    """A shell takes {a,b} apart before anybody sees it."""
    for first, second in itertools.pairwise(arguments):
        if re.fullmatch(rf"{_NAME}:[^\]]*\[[^\]]*", first) and "{" not in first:
            raise TemplateError(
                f"{first} {second} …: your shell has taken a {{…,…}} apart; put it between quotes"
            )
