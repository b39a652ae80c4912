"""After a power cut at every kind of step, the gateway goes on by itself.

Of each kind of step the states that are furthest from what a running gateway has are
given to the real agent and the real `edge-runtime serve`.
"""

import random

import pytest

from tests.crash.disk import Disk
from tests.crash.recovery import Recovery
from tests.crash.scope import IS_WHOLE, sample, tally
from tests.crash.steps import materialise
from tests.crash.together import each

STATES = 2
"""Given to the gateway in `make test`."""


class State:
    """What a power cut left after a step."""

    def __init__(self, chapter, kind, tree):
        self.chapter = chapter
        self.kind = kind
        self.tree = tree

    def __str__(self):
        return f"power cut after {self.kind!r} in {self.chapter.name}"


def worst(disk, draw):
    """Return the worst that a cut may leave now, and one state of chance.

    The worst are two: nothing is there that was not flushed; every name is there, and
    no content that was not flushed.
    """
    states = list(disk.states())
    chosen = [disk.durable_tree(), disk.hollow_tree(), draw.choice(states)]
    return {frozenset(tree.items()): tree for tree in chosen}.values()


def states(life):
    """Return the states after each kind of step, in the order of the life.

    A state that is found after several kinds is given to the gateway once.
    """
    disk, draw, found, seen = Disk(), random.Random(1), [], {}
    for chapter in life.chapters:
        for _, kind, step in chapter.taken:
            disk.take(step)
            if kind in seen:
                continue
            seen[kind] = None
            found += [State(chapter, kind, tree) for tree in worst(disk, draw)]
    once = {(s.chapter.name, frozenset(s.tree.items())): s for s in reversed(found)}
    return len(seen), list(reversed(once.values()))


def wake(recovery: Recovery, state_dir, state):
    """Switch the gateway on with what the cut left."""
    state_dir.mkdir()
    materialise(state.tree, state_dir)
    recovery.recover(state.chapter, state_dir)
    return True


@pytest.mark.timeout(7200 if IS_WHOLE else 120)
def test_a_gateway_goes_on_after_a_cut_at_every_kind_of_step(life, ram):
    kinds, found = states(life)
    chosen = sample(found, STATES)
    _, bad = each(life, ram, chosen, wake)
    tally(
        "power cuts, gone on from",
        steps=sum(len(chapter.steps) for chapter in life.chapters),
        kinds=kinds,
        states=len(chosen),
        bad=len(bad),
    )
    assert not bad, "\n".join(bad)
