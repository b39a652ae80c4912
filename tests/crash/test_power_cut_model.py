"""Every power cut that POSIX allows, at every durable step of a whole life.

`make crash` looks at every state that the model gives; `make test` at a sample.
"""

from dataclasses import dataclass, field

import pytest

from tests.crash.disk import Disk
from tests.crash.invariant import History, Observation, Timeline, next_report, observe
from tests.crash.scope import IS_WHOLE, tally
from tests.crash.steps import materialise, read_tree

STATES = None if IS_WHOLE else 12
"""Looked at by the product's readers at each step; None for all."""
STRIDE = 1 if IS_WHOLE else 7
"""Every so many steps are looked at."""


def test_the_model_makes_the_same_files_as_the_processes_did(life):
    disk = Disk()
    for chapter in life.chapters:
        found, made = read_tree(chapter.before), disk.tree()
        scratch = {path for path in found if path.startswith(("run", "trust/scratch"))}
        differing = {
            p for p in found.keys() | made.keys() if found.get(p) != made.get(p)
        }
        if chapter is not life.chapters[0]:
            assert differing <= scratch
        for step in chapter.steps:
            disk.take(step)


@dataclass
class Walker:
    """Walks through the states, and keeps one folder like each in turn."""

    folder: object
    scratch: object
    tree: dict = field(default_factory=dict)
    seen: dict = field(default_factory=dict)
    numbers: dict = field(default_factory=dict)

    def observe(self, tree) -> Observation:
        """Return what the product finds in `tree`; each distinct one is read once."""
        key = hash(frozenset(tree.items()))
        if key not in self.seen:
            materialise(tree, self.folder, self.tree)
            self.tree = tree
            self.seen[key] = observe(self.folder)
        return self.seen[key]

    def next_report(self, tree):
        spooled = frozenset(i for i in tree.items() if i[0].startswith("spool"))
        if spooled not in self.numbers:
            materialise(tree, self.folder, self.tree)
            self.tree = tree
            self.numbers[spooled] = next_report(self.folder / "spool", self.scratch)
        return self.numbers[spooled]


def test_every_power_cut_leaves_the_old_or_the_new(life, ram):
    (ram / "state").mkdir()
    walker = Walker(ram / "state", ram / "spool")
    disk, history, timeline = Disk(), History(), Timeline()
    states = 0
    steps = [step for chapter in life.chapters for step in chapter.steps]
    for number, step in enumerate(steps):
        disk.take(step)
        now = disk.tree()
        history.note(step, now)
        if number % STRIDE:
            continue
        durable = walker.observe(disk.durable_tree())
        timeline.note(durable)
        for tree in spread(disk.states(), STATES):
            states += 1
            try:
                history.check(tree)
                timeline.check(walker.observe(tree), durable, walker.observe(now))
                assert walker.next_report(tree) > history.newest_report, "used twice"
            except Exception as error:
                raise AssertionError(f"after step {number}, {step!r:.200}") from error
    tally("power cuts, by the model", steps=len(steps), states=states)


def spread(states, count):
    """Return `count` of the states, far from one another; all for None."""
    if count is None:
        return states
    states = list(states)
    return states[:: max(1, len(states) // count)]


@pytest.mark.parametrize("lost", ["fsync", "fsync_dir"])
def test_the_model_notices_a_flush_that_is_missing(life, lost):
    """A test that cannot fail is worth nothing."""
    steps = life.chapters[0].steps + life.chapters[1].steps
    with pytest.raises(AssertionError):
        check_without(lost, steps)


def check_without(lost, steps):
    disk, history = Disk(), History()
    for step in steps:
        if step[0] != lost:
            disk.take(step)
        history.note(step, disk.tree())
        for tree in disk.states():
            history.check(tree)
