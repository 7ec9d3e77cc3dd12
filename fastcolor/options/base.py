"""How a field of an options class becomes an argument, on the command line and in Python, and is checked."""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import os
import re
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, ParamSpec, TypeVar, get_args, get_origin, get_type_hints

from tyro.constructors import PrimitiveConstructorSpec

from ..constants import Source

_P = ParamSpec("_P")
_Options = TypeVar("_Options")
_Result = TypeVar("_Result")


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
    """A rule for a field's values, as in Annotated[float, Must("lie in 0..1", ...)]; None is for the type to allow.

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
    if ":" not in words:
        return float(words)
    found = re.fullmatch(r"(?:(\d+):)?(\d+):([0-5]\d(?:\.\d*)?)", words.strip(), re.ASCII)
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
        ValueError: it is none of a Literal's values, or breaks a rule.
    """
    if value is None:
        return
    if get_origin(hint) is Annotated:
        for rule in get_args(hint)[1:]:
            if isinstance(rule, Must) and not rule.holds(value):
                raise ValueError(f"{name}: must {rule.rule}, got {_shown(value)}")
        hint = get_args(hint)[0]
    if get_origin(hint) is Literal and value not in get_args(hint):
        raise ValueError(f"{name}: must be one of {', '.join(map(str, get_args(hint)))}, got {value!r}")


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else repr(value)


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
