"""How a field of an options class becomes an argument, on the command line and in Python, and is checked."""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import math
import os
import re
import textwrap
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from numbers import Integral, Real
from pathlib import Path
from types import MappingProxyType, UnionType
from typing import Annotated, Any, Literal, ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints

from tyro.constructors import PrimitiveConstructorSpec

from ..constants import Source

_P = ParamSpec("_P")
_Options = TypeVar("_Options")
_Result = TypeVar("_Result")
_MOST_SHOWN = 80  # letters of a value in a message


def one_word(
    metavar: str, make: Callable[[str], Any], shown: Callable[[Any], str] = str
) -> PrimitiveConstructorSpec[Any]:
    """How one word of a command line becomes a value."""
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=metavar,
        instance_from_str=lambda words: make(words[0]),
        is_instance=lambda value: True,
        str_from_instance=lambda value: [shown(value)],
    )


def _some_paths(words: list[str]) -> list[Path]:
    if not words:
        raise ValueError("is missing: folders, zip or tar files, lists (.txt) or pictures")
    return [Path(word) for word in words]


FilePath = Annotated[str | os.PathLike[str], one_word("PATH", Path)]
NameOrPath = Annotated[str | os.PathLike[str], one_word("NAME", str)]
Sources = Annotated[
    Source,
    PrimitiveConstructorSpec(
        nargs="*",
        metavar="PATH [PATH ...]",
        instance_from_str=_some_paths,
        is_instance=lambda value: True,
        str_from_instance=lambda value: [str(value)],
    ),
]


@dataclass(frozen=True)
class Must:
    """A rule for a field's values, as in Annotated[float, Must("lie in 0..1", ...)]; whether they are numbers or None
    is for the type to say.

    Args:
        rule: what a value must do. holds: whether one does.
    """

    rule: str
    holds: Callable[[Any], bool]


def seconds(words: str) -> float:
    """The seconds that "2.5", "0:02" or "1:02:03.5" mean.

    Raises:
        ValueError: it is written in another way.
    """
    if ":" not in words and "_" not in words:  # of 1_05 float makes 105
        return float(words)
    found = re.fullmatch(r"(?:(\d{1,6}):)?(\d{1,6}):([0-5]\d(?:\.\d*)?)", words.strip(), re.ASCII)
    if not found or (found[1] and int(found[2]) > 59):
        raise ValueError(f"must be seconds or [HH:]MM:SS, got {words!r}")
    return int(found[1] or 0) * 3600 + int(found[2]) * 60 + float(found[3])


Time = Annotated[float, one_word("[HH:]MM:SS", seconds)]


class Options:
    """The base of dataclasses whose fields carry their own rules."""

    def check(self) -> None:
        """Compare every field with what its annotation says of it.

        Raises:
            ValueError: a field is none of its Literal's values, or breaks its rule.
        """
        kind: type = type(self)  # which is hashable, whether or not its instances are
        for name, hint in rules(kind).items():
            check_value(name, getattr(self, name), hint)


@functools.cache
def rules(kind: type) -> Mapping[str, Any]:
    """Every field's annotation."""
    hints = get_type_hints(kind, include_extras=True)
    return MappingProxyType({field.name: hints[field.name] for field in dataclasses.fields(kind)})


def check_value(name: str, value: Any, hint: Any) -> None:
    """Compare one value with its field's annotation.

    Raises:
        ValueError: it is no such number or switch, none of a Literal's values, or breaks a rule.
    """
    musts, kinds = _taken_apart(hint)
    if value is None and type(None) in kinds:
        return
    if set(kinds) <= {int, float, bool, type(None)}:
        _check_kind(name, value, kinds)
    for must in musts:
        if not must.holds(value):
            raise ValueError(
                f"{name}: must {must.rule}, got {f'{value:g}' if isinstance(value, float) else shown(value)}"
            )
    choices = [one for kind in kinds if get_origin(kind) is Literal for one in get_args(kind)]
    if choices and not _among(value, choices):
        raise ValueError(f"{name}: must be one of {', '.join(map(str, choices))}, got {shown(value)}")


def is_number(value: object) -> bool:
    """Whether a value is a number to compute with: finite, of a size that floats have, and no switch."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number of hundreds of digits
        return False


def shown(value: object) -> str:
    """A value in a message, however long it is."""
    try:
        words = repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits, lists in lists in lists
        return "a value too long to be shown"
    return words if len(words) <= _MOST_SHOWN else f"{words[:_MOST_SHOWN]}..."


def _taken_apart(hint: Any) -> tuple[list[Must], list[Any]]:
    """An annotation's rules, and the types that it allows."""
    if get_origin(hint) is Annotated:
        inner, *more = get_args(hint)
        musts, kinds = _taken_apart(inner)
        return [*musts, *(one for one in more if isinstance(one, Must))], kinds
    if get_origin(hint) in (Union, UnionType):
        parts = [_taken_apart(one) for one in get_args(hint)]
        return [one for musts, _ in parts for one in musts], [one for _, kinds in parts for one in kinds]
    return [], [hint]


def _among(value: Any, choices: Sequence[Any]) -> bool:
    try:
        return isinstance(value, Hashable) and value in choices
    except (ValueError, RuntimeError):  # many numbers in one object, whose comparison is no answer
        return False


def _check_kind(name: str, value: Any, kinds: Sequence[Any]) -> None:
    """ValueError: a value is not the number or switch that these types stand for."""
    number = isinstance(value, Real) and not isinstance(value, bool)
    if bool in kinds:
        fits = not isinstance(value, str) and _among(value, (True, False))
        kind = "True or False"
    elif float in kinds:
        fits, kind = number and (is_number(value) or isinstance(value, float)), "a number"  # a rule refuses NaN
    else:
        fits, kind = number and isinstance(value, Integral) and -(1 << 63) <= int(value) < 1 << 63, "a whole number"
    if not fits:
        raise ValueError(f"{name}: must be {kind}, got {shown(value)}")


def takes(options: Callable[_P, _Options]) -> Callable[[Callable[[_Options], _Result]], Callable[_P, _Result]]:
    """Make a function of an options object one of its fields: types, names and defaults are those of the class, for
    type checkers, editors, `inspect.signature` and `help`.

    Example:
        >>> @dataclass
        ... class Sum:
        ...     a: int
        ...     b: int = 1
        >>> @takes(Sum)
        ... def add(options):
        ...     return options.a + options.b
        >>> add(2), add(2, b=3), str(inspect.signature(add))
        (3, 5, '(a: int, b: int = 1)')
    """

    def decorate(work: Callable[[_Options], _Result]) -> Callable[_P, _Result]:
        @functools.wraps(work)
        def call(*arguments: _P.args, **named: _P.kwargs) -> _Result:
            return work(options(*arguments, **named))

        del call.__wrapped__  # whose signature is another
        types = get_type_hints(options) | {"return": get_type_hints(work).get("return", inspect.Signature.empty)}
        signature = inspect.signature(options)
        named = [one.replace(annotation=types[one.name]) for one in signature.parameters.values()]
        call.__signature__ = signature.replace(parameters=named, return_annotation=types["return"])  # type: ignore[attr-defined]
        call.__annotations__ = {name: types[name] for name in (*signature.parameters, "return")}
        if call.__doc__ and isinstance(options, type):
            said = meanings(options)
            lines = [f"    {name}: {said[name]}" for name in signature.parameters if name in said]
            call.__doc__ = "\n".join([inspect.cleandoc(call.__doc__), "", "Options:", *lines, ""])
        return call

    return decorate


def meanings(kind: type) -> dict[str, str]:
    """What the line under each field of a class and of its bases says; nothing where the source is not at hand."""
    said: dict[str, str] = {}
    for one in kind.__mro__:
        if not dataclasses.is_dataclass(one):
            continue
        try:
            body = ast.parse(textwrap.dedent(inspect.getsource(one))).body[0]
        except (OSError, TypeError):
            continue
        statements = body.body if isinstance(body, ast.ClassDef) else []
        for field, text in pairwise(statements):
            match field, text:
                case ast.AnnAssign(target=ast.Name(name)), ast.Expr(value=ast.Constant(str(words))):
                    said.setdefault(name, " ".join(words.split()))
    return {field.name: said[field.name] for field in dataclasses.fields(kind) if field.name in said}
