"""Files of JSON that people write, with a version: read strictly, so that nothing they say is lost without a word."""

from __future__ import annotations

import json
from collections.abc import Set
from pathlib import Path
from typing import Any

from .base import shown


def read_versioned(path: Path, option: str, shape: str, *, version: int, items: str, keys: Set[str]) -> dict[str, Any]:
    """The object that a file holds, `{"version": ..., items: [...]}`.

    Args:
        option: that names the file, for messages. shape: of such a file, in words. items: the key of its array.
        keys: all that the object may have.

    Raises:
        FileNotFoundError, ValueError: no such file, no JSON, a key twice, another shape or version, an unknown key.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{option}: no such file: {path}")
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{option}: {path} is no JSON ({error})") from None
    if not (isinstance(content, dict) and isinstance(content.get(items), list)):
        raise ValueError(f"{option}: {path} must be {shape}")
    found = content.get("version")
    if found != version or isinstance(found, bool):
        newer = isinstance(found, int) and found > version
        why = "; a newer fastcolor reads it" if newer else ""
        raise ValueError(f"{option}: {path} must be of version {version}, got {shown(found)}{why}")
    if unknown := sorted(content.keys() - keys):
        raise ValueError(f"{option}: {path} holds unknown {', '.join(unknown)}")
    return content


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object. ValueError: a key stands twice, of which JSON's reader would drop one."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"{name} stands twice in one object")
        found[name] = value
    return found
