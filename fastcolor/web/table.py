"""Tables that spreadsheets open."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from .store import Item

_FORMULAS = ("=", "+", "-", "@", "\t", "\r")


def cell(value: object) -> str:
    """A value as a table's cell, with a mark before what a spreadsheet would take for a formula and run.

    Example:
        >>> cell("=1+1"), cell("\\t=1"), cell(-0.5), cell(None)
        ("'=1+1", "'\\t=1", '-0.5', '')
    """
    text = "" if value is None else str(value)
    return f"'{text}" if isinstance(value, str) and text.startswith(_FORMULAS) else text


def review(items: Iterable[Item]) -> str:
    """All pictures and marks as CSV, those first of which the network is least sure."""
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(["folder", "name", "mark", "doubt", "width", "height", "in_colour_before"])
    for item in sorted(items, key=lambda one: -(one.facts.get("doubt") or 0.0)):
        if item.kind == "picture":
            facts = item.facts
            doubt = facts.get("doubt")
            shown = "" if doubt is None else f"{doubt:.2f}"
            cells = [item.inside, item.name, item.mark, shown, facts.get("width"), facts.get("height")]
            rows.writerow(map(cell, [*cells, facts.get("colored")]))
    return text.getvalue()
