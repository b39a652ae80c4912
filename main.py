"""Hand functions-framework the one function it was started for.

The builder's default source. It asks this module for the attribute that
`FUNCTION_TARGET` (or `--target`) names, and only then is that function's file
imported: a cold start pays for one function. Standing in the root, it also puts
the root on `sys.path`.
"""

import gc
import importlib
import importlib.util

import functions_framework

from functions import replies

functions_framework.errorhandler(Exception)(replies.last_answer)


def __getattr__(name: str) -> object:
    """Import `functions/<name>.py` and return the function of that name."""
    if name.startswith("_") or importlib.util.find_spec(f"functions.{name}") is None:
        raise AttributeError(f"there is no functions/{name}.py to load")
    # What is imported stays: looking for garbage meanwhile takes a sixth of a start.
    gc.disable()
    try:
        return getattr(importlib.import_module(f"functions.{name}"), name)
    finally:
        gc.enable()
