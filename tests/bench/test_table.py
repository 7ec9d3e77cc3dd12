"""The generated parts of README.md and docs/: as bench/results has them."""

from __future__ import annotations

import re

import pytest

from bench import markdown, table


@pytest.mark.parametrize("page", table.PAGES)
def test_the_tables_are_those_of_the_results(page: str) -> None:
    text = (table.ROOT / page).read_text()
    assert table.filled(page, text, table.PAGES[page]) == text, "run python -m bench.table"


def test_every_figure_of_a_result_is_shown_somewhere() -> None:
    shown = "".join((table.ROOT / page).read_text() for page in table.PAGES)
    for row in markdown.load("ops")[0]["rows"]:
        assert f"| {row['name']} | {row['ms']:.2f} ms |" in shown


def test_what_is_missed_by_little_is_not_told_as_what_was_asked_for() -> None:
    assert [table.beside(*one) for one in ((1.00475, 1), (0.608, 0.6), (1, 1), (0.400004, 0.4))] == [
        "1.005", "0.608", "1", "0.400004",
    ]  # fmt: skip


PAGE = "before\n<!-- a: written by bench/table.py -->\nold\n<!-- end of a -->\nafter\n"


def test_a_table_takes_the_place_between_its_markers() -> None:
    assert table.filled("p.md", PAGE, {"a": lambda: r"| \1 |"}) == PAGE.replace("old", r"| \1 |")


@pytest.mark.parametrize(
    ("text", "tables", "problem"),
    [
        ("nothing", {"a": str}, "p.md: must hold <!-- a: written by bench/table.py --> and then <!-- end of a -->"),
        (PAGE.replace("<!-- end of a -->", ""), {"a": str}, "and then <!-- end of a -->, each once"),
        (PAGE + PAGE, {"a": str}, "each once"),
        (PAGE, {}, "alone, got a"),
    ],
    ids=["none", "no end", "twice", "unknown"],
)
def test_a_wrong_marker_is_an_error(text: str, tables: dict, problem: str) -> None:
    with pytest.raises(ValueError, match=re.escape(problem)):
        table.filled("p.md", text, tables)
