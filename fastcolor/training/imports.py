"""Objects of the user's own, by import path."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any


def imported(path: str, argument: str) -> Any:
    """The object that "package.module:name" names, of what is installed or lies in the folder one works in.

    Args:
        argument: for the message of an error.

    Raises:
        ValueError: no such module, or no such name in it.

    Example:
        >>> imported("math:pi", "number")
        3.141592653589793
    """
    module_name, colon, name = path.partition(":")
    if not (module_name and colon and name):
        raise ValueError(f"{argument}: must be an import path, package.module:name, got {path!r}")
    here = os.getcwd()
    added = here not in sys.path and "" not in sys.path
    if added:  # an installed command's path begins in its own folder
        sys.path.append(here)
    try:
        found = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise ValueError(f"{argument}: must name a module that can be imported, got {path!r} ({error})") from None
    finally:
        if added:
            sys.path.remove(here)
    if not hasattr(found, name):
        raise ValueError(f"{argument}: must name what {module_name} holds, got no {name!r} in {found.__file__}")
    return getattr(found, name)
