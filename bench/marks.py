"""Measured text has its place in a page, between two marks."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Marks:
    """Where a bench writes: what lies between is its own."""

    begin: str
    end: str

    def write(self, page: Path, text: str) -> None:
        """Put the text between the marks of a page.

        Raises:
            ValueError: The page has no marks.
        """
        before, begin, rest = page.read_text().partition(self.begin)
        _, end, after = rest.partition(self.end)
        if not begin or not end:
            raise ValueError(f"expected {self.begin!r} and {self.end!r} in {page}")
        page.write_text(f"{before}{begin}\n\n{text.rstrip()}\n\n{end}{after}")
