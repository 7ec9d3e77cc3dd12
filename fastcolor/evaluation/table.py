"""The measures of several weights on one set, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .protocols import PROTOCOLS, protocol
from .report import Line

# What is the same whatever the weights stands in columns of its own: the gray pictures', and the true ones'.
_GRAY, _TRUTH = "gray_", "_truth"


@dataclass(frozen=True)
class Table:
    """A row for each measure, a column for each weights, then for the gray and the true pictures; None: no such value.

    Example:
        >>> table = Table.of({"a": {"auc": 90.0, "gray_auc": 88.0}, "b": {"auc": 91.0, "gray_auc": 88.0}})
        >>> table.columns, table.rows
        (('a', 'b', 'gray'), {'auc': (90.0, 91.0, 88.0)})
    """

    columns: tuple[str, ...]
    rows: Mapping[str, tuple[float | None, ...]]

    @staticmethod
    def of(results: Mapping[str, Mapping[str, float]]) -> Table:
        """results: what `evaluate` returned, by weights."""
        known = dict.fromkeys(name for result in results.values() for name in result)  # in order
        names = [name for name in known if _column(name) is None]
        asides = [column for column in ("gray", "truth") if column in map(_column, known)]
        first = next(iter(results.values()))
        rows = {}
        for name in names:
            values = [result.get(name) for result in results.values()]
            beside = {"gray": first.get(_GRAY + name), "truth": first.get(name + _TRUTH)}
            rows[name] = (*values, *(beside[column] for column in asides))
        return Table((*results, *asides), rows)

    def lines(self) -> list[Line]:
        """As a report shows them."""
        return [Line(name, values, *protocol(name)) for name, values in self.rows.items()]

    def __str__(self) -> str:
        widths = [max(10, len(column)) for column in self.columns]
        lines = [_row("", self.columns, widths, "", "")]
        for name, values in self.rows.items():
            shown = ["" if value is None else f"{value:.3f}" for value in values]
            lines.append(_row(name, shown, widths, *protocol(name)))
        return "\n".join(lines)


def _row(name: str, cells: Sequence[str], widths: Sequence[int], unit: str, words: str) -> str:
    values = " ".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
    return f"{name:24} {values} {unit:3}  {words}".rstrip()


def _column(name: str) -> str | None:
    """The column of a measure that does not depend on the weights."""
    if name.startswith(_GRAY):
        return "gray"
    return "truth" if name.endswith(_TRUTH) and name.removesuffix(_TRUTH) in PROTOCOLS else None
