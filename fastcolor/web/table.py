"""Cells of tables that spreadsheets open."""

from __future__ import annotations

_FORMULAS = ("=", "+", "-", "@", "\t", "\r")


def cell(value: object) -> str:
    """A value as a table's cell, with a mark before what a spreadsheet would take for a formula and run.

    Example:
        >>> cell("=1+1"), cell("\\t=1"), cell(-0.5), cell(None)
        ("'=1+1", "'\\t=1", '-0.5', '')
    """
    text = "" if value is None else str(value)
    return f"'{text}" if isinstance(value, str) and text.startswith(_FORMULAS) else text
