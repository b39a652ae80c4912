"""From every kind of state that a crash leaves, the gateway goes on by itself.

States that differ only in numbers and in what somebody else wrote are one class; of
each class one state is given to the real agent and the real `edge-runtime serve`.
"""

import re
import shutil

import pytest

from tests.crash.disk import Disk
from tests.crash.recovery import Recovery
from tests.crash.scope import IS_WHOLE, sample, tally
from tests.crash.steps import materialise

CLASSES = 2
"""Given to the gateway in `make test`."""
CLASSES_STRIDE = 8
"""Of some two thousand classes, so many apart, in `make crash`."""
STRIDE = 1 if IS_WHOLE else 40
"""Every so many steps are looked at."""


def class_of(chapter, tree, now):
    """Name the kind of a state: which files are there, and which are not whole."""
    names = set()
    for path, node in tree.items():
        if path.startswith(("predictions", "run")) or node[0] == "directory":
            continue
        is_torn = node != now.get(path)
        names.add((re.sub(r"[0-9a-f]{64}|[0-9]+", "#", path), is_torn))
    return chapter.name, frozenset(names)


def classes(life):
    """Return one state of each class, with its chapter, in the order of the life."""
    disk, found = Disk(), {}
    for chapter in life.chapters:
        for number, step in enumerate(chapter.steps):
            disk.take(step)
            if number % STRIDE:
                continue
            now = disk.tree()
            for tree in disk.states():
                found.setdefault(class_of(chapter, tree, now), (chapter, tree))
    return list(found.values())


@pytest.fixture
def recovery(life, ram):
    recovery = Recovery(life, ram)
    yield recovery
    recovery.stop()


@pytest.mark.timeout(7200 if IS_WHOLE else 120)
def test_a_gateway_goes_on_from_every_kind_of_state(life, ram, recovery):
    found = classes(life)
    chosen = sample(found, CLASSES, stride=CLASSES_STRIDE)
    bad = []
    for number, (chapter, tree) in enumerate(chosen):
        state_dir = ram / f"state-{number}"
        state_dir.mkdir()
        materialise(tree, state_dir)
        try:
            recovery.recover(chapter, state_dir)
        except Exception as error:  # noqa: BLE001 - all are told at the end
            bad.append(f"{number} in {chapter.name}: {error!r}")
        else:
            shutil.rmtree(state_dir)
    tally("recoveries", classes=len(found), run=len(chosen), bad=len(bad))
    assert not bad, "\n".join(bad)
