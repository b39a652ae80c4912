"""`edge-runtime log`: print what was predicted, and what comes."""

import io
import os
import select
import sys
from argparse import Namespace
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from edge_runtime import durable
from edge_runtime.errors import SettingsError
from edge_runtime.prediction_log.folder import DIRECTORY, segment_paths
from edge_runtime.prediction_log.frames import HEADER_BYTES, read_header
from edge_runtime.prediction_log.lines import json_line, text_line
from edge_runtime.prediction_log.options import (
    FOLLOW_LIMIT,
    Wanted,
    check_options,
    wanted,
)
from edge_runtime.prediction_log.reader import (
    CURSOR_MAX_BYTES,
    Cursor,
    LogReader,
    Record,
    decode_cursor,
)
from edge_runtime.settings.serve_settings import state_dir

FOLLOW_S = 0.5
"""How long `--follow` rests between two looks at the folder."""


def show_log(arguments: Namespace, environ: Mapping[str, str]) -> int:
    """Print what the arguments ask for; return the exit code.

    Raises:
        SettingsError: There is no such folder, or the cursor is none.
        OSError: The folder cannot be read, or the output not be written.
    """
    if problem := check_options(arguments):
        _note(problem)
        return 2
    directory = _directory(arguments, environ)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # any locale will do
    try:
        _Show(arguments, directory).run()
    except BrokenPipeError:
        _lose_output()  # whoever read it has seen enough
    except KeyboardInterrupt:
        if not arguments.follow:
            raise
    return 0


class _Show:
    """One run of the command."""

    def __init__(self, arguments: Namespace, directory: Path) -> None:
        self._arguments = arguments
        self._directory = directory
        self._wanted = wanted(arguments)
        self._cursor_file: Path | None = arguments.cursor_file
        self._reader = LogReader(directory, _load_cursor(self._cursor_file))
        self._since_s = self._wanted.since.timestamp() if self._wanted.since else 0.0
        self._printed = 0

    def run(self) -> None:
        """Print what is there, and go on where it is asked."""
        limit = self._arguments.limit
        if limit is None and self._is_plain_follow():
            limit = FOLLOW_LIMIT
        self._print(self._read() if limit is None else deque(self._read(), limit))
        if self._arguments.follow:
            self._follow()
        elif not self._printed:
            _note(f"no prediction matches in {self._directory}")
        for path in _strange(self._directory):
            _note(f"{path} is no segment that this version can read")

    def _is_plain_follow(self) -> bool:
        asked = self._arguments
        return asked.follow and not (asked.since or asked.cursor_file)

    def _follow(self) -> None:
        """Print what comes until told to stop, or until nobody reads it."""
        output = select.poll()
        output.register(sys.stdout.fileno(), 0)
        while not output.poll(1000 * FOLLOW_S):
            self._print(self._read())

    def _read(self) -> Iterable[Record]:
        records = self._reader.read(since_s=self._since_s)
        return (record for record in records if matches(self._wanted, record))

    def _print(self, records: Iterable[Record]) -> None:
        """Print records, and note how far that went once it is out."""
        places = dict(self._reader.cursor.places)
        for record in records:
            sys.stdout.write(f"{self._line(record)}\n")
            self._printed += 1
        sys.stdout.flush()
        if self._cursor_file and places != self._reader.cursor.places:
            body = self._reader.cursor.encode()
            durable.write_file(self._cursor_file, body, mode=0o600)

    def _line(self, record: Record) -> str:
        if self._arguments.json:
            return json_line(record, with_data=self._arguments.data)
        return text_line(record)


def matches(asked: Wanted, record: Record) -> bool:
    """Say whether a record is asked for."""
    document = record.document
    if not _is_within(asked, record.at):
        return False
    if not record.is_prediction:
        return not asked.is_picky
    release = f"{document.get('model')}@{document.get('version')}"
    trace = str(document.get("traceparent"))
    ids = (record.id, document.get("request_id"), trace, trace[3:35])
    return (
        (not asked.model or asked.model in {release, document.get("model")})
        and (not asked.outcome or asked.outcome == document.get("outcome"))
        and (not asked.id or asked.id in ids)
    )


def _is_within(asked: Wanted, text: str) -> bool:
    if not (asked.since or asked.until):
        return True
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return False
    return (asked.since is None or at >= asked.since) and (
        asked.until is None or at < asked.until
    )


def _directory(arguments: Namespace, environ: Mapping[str, str]) -> Path:
    chosen: Path | None = arguments.directory
    if chosen is not None:
        if not chosen.is_dir():
            raise SettingsError(f"--directory must name a folder, and {chosen} is none")
        return chosen
    return state_dir(environ) / DIRECTORY


def _load_cursor(path: Path | None) -> Cursor | None:
    if path is None or not path.exists():
        return None
    with path.open("rb") as file:
        return decode_cursor(file.read(CURSOR_MAX_BYTES))


def _strange(directory: Path) -> Iterable[Path]:
    """Find segments of another format; one that is only torn is left out."""
    for _, path in segment_paths(directory):
        with suppress(FileNotFoundError), path.open("rb") as file:
            size_bytes = os.fstat(file.fileno()).st_size
            if size_bytes >= HEADER_BYTES and read_header(file) is None:
                yield path


def _note(sentence: str) -> None:
    print(f"edge-runtime: {sentence}", file=sys.stderr)  # noqa: T201 - for people


def _lose_output() -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
