"""The extension's type stub says what the extension takes."""

from __future__ import annotations

import ast

from stub import PATH, stub


def test_the_stub_is_that_of_the_bindings() -> None:
    committed, loaded = (ast.unparse(ast.parse(text)) for text in (PATH.read_text(), stub()))
    assert committed == loaded, "run python tests/helpers/stub.py, then ruff format"
