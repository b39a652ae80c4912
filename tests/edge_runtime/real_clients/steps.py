"""Runs a client's steps one after the other, and prints what each came to.

A step is a function; its result is printed as JSON under its name. A step that
the server refused tells how the client reported that, one that broke tells where.
"""

import json
import sys
import traceback

from samples import pack


def answers(result, names):
    """Return a result's arrays by name, packed."""
    return {name: pack(result.as_numpy(name)) for name in names}


def attempt(refusals, step, *arguments):
    """Run one step; return what it gave, or how it failed."""
    try:
        return step(*arguments)
    except refusals as error:
        return {"refused": str(error)}
    except Exception:  # noqa: BLE001 - the other steps are run all the same
        return {"broke": traceback.format_exc()}


def run_steps(steps, refusals, *arguments):
    """Run every step and print what they came to."""
    results = {s.__name__: attempt(refusals, s, *arguments) for s in steps}
    tell(results)


def tell(results):
    """Write what the test reads."""
    sys.stdout.write(json.dumps(results))
