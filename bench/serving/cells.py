"""The loads of the ring: which model, in which form, on how many connections."""

from collections.abc import Mapping
from dataclasses import dataclass

from bench.serving.entrants import Entrant

MANY = 32
"""Connections of a busy server."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One load, that every server takes in turn that speaks its form.

    Attributes:
        wish: A form, or `json` for the JSON that each server takes.
        is_varied: Every request's head differs and bodies take turns, so that
            no cache can answer.
        is_awake: No core falls asleep between requests.
    """

    name: str
    model: str
    wish: str
    connections: int
    title: str
    is_varied: bool = False
    is_awake: bool = False

    def suits(self, entrant: Entrant) -> bool:
        """Say whether the server takes part."""
        return self.model in entrant.models and bool(entrant.form(self.wish))


CELLS: Mapping[str, Cell] = {
    cell.name: cell
    for cell in (
        Cell("s_json", "S", "json", MANY, "S, JSON, 32 connections"),
        Cell("s_one", "S", "json", 1, "S, JSON, 1 connection"),
        Cell(
            "s_one_awake",
            "S",
            "json",
            1,
            "S, JSON, 1 connection, cores kept awake",
            is_awake=True,
        ),
        Cell(
            "s_varied",
            "S",
            "json",
            MANY,
            "S, JSON, 32 connections, no two requests alike",
            is_varied=True,
        ),
        Cell("s_binary", "S", "binary", MANY, "S, binary, 32 connections"),
        # What is in flight when a window closes costs and does not count: where
        # a request takes long, one connection is the fair load.
        Cell("m_json", "M", "json", 1, "M, JSON, 1 connection"),
        Cell("t_binary", "T", "binary", 1, "T, binary, 1 connection"),
        Cell("t_json", "T", "json", 1, "T, JSON, 1 connection"),
        Cell("t_instances", "T", "instances", 1, "T, instances, 1 connection"),
        Cell("w_binary", "W", "binary", MANY, "W, binary, 32 connections"),
    )
}
