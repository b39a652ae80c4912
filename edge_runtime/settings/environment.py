"""Read one setting at a time, or raise a `SettingsError` that names it."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from edge_runtime.errors import SettingsError
from packhorse.errors import PackhorseError

_DAY_S = 86_400.0
_DIGITS_MAX = 20


class Environment:
    """The process's environment, or what a test passes for it."""

    def __init__(self, values: Mapping[str, str]) -> None:
        """Read from `values`; an empty value counts as a missing one."""
        self._values = values

    def __contains__(self, name: str) -> bool:
        """Say whether the setting is there."""
        return bool(self._values.get(name))

    def text(self, name: str, default: str) -> str:
        """Return a setting that may be missing and may be anything."""
        return self._values.get(name) or default

    def required(self, name: str) -> str:
        """Return a setting that must be there."""
        value = self._values.get(name, "")
        if not value:
            raise SettingsError(f"the setting {name} is missing")
        return value

    def require(self, *names: str) -> None:
        """Refuse at once all settings that must be there and are not."""
        missing = [name for name in names if name not in self]
        if len(missing) > 1:
            raise SettingsError(f"the settings {', '.join(missing)} are missing")
        if missing:
            self.required(missing[0])

    def matching(self, name: str, pattern: str, *, default: str | None = None) -> str:
        """Return a setting that matches a regular expression as a whole."""
        value = self._values.get(name) or default or self.required(name)
        if re.fullmatch(pattern, value) is None:
            raise SettingsError(f"{name} must match {pattern}, not {value!r}")
        return value

    def choice(self, name: str, choices: Sequence[str], *, default: str) -> str:
        """Return a setting that is one of a few words."""
        value = self._values.get(name) or default
        if value not in choices:
            raise SettingsError(
                f"{name} must be one of {', '.join(choices)}, not {value!r}"
            )
        return value

    def checked(
        self, name: str, check: Callable[[str], str], *, default: str | None = None
    ) -> str:
        """Return a setting that `check` lets pass; `default` needs no check."""
        if default is not None and name not in self:
            return default
        try:
            return check(self.required(name))
        except PackhorseError as error:
            raise SettingsError(f"{name}: {error}") from error

    def url(self, name: str) -> str:
        """Return an HTTP address without a slash at its end."""
        value = self.required(name)
        if re.fullmatch(r"https?://[^\s]+", value) is None:
            raise SettingsError(
                f"{name} must be an address as https://host/path, not {value!r}"
            )
        return value.rstrip("/")

    def route(self, name: str) -> str:
        """Return the path of an HTTP route."""
        return self.matching(name, r"/[A-Za-z0-9._~:/-]*")

    def file(self, name: str) -> Path:
        """Return the path of a file that is there."""
        path = Path(self.required(name))
        if not path.is_file():
            raise SettingsError(
                f"{name} must name a file, there is none at {str(path)!r}"
            )
        return path

    def directory(self, name: str) -> Path:
        """Return an absolute path; whether something is there is not looked at."""
        path = Path(self.required(name))
        if not path.is_absolute():
            raise SettingsError(f"{name} must be an absolute path, not {str(path)!r}")
        return path

    def optional_directory(self, name: str) -> Path | None:
        """Return the path of a folder that is there, where the setting is."""
        if name not in self:
            return None
        path = self.directory(name)
        if not path.is_dir():
            raise SettingsError(
                f"{name} must name a folder, there is none at {str(path)!r}"
            )
        return path

    def optional_file(self, name: str) -> Path | None:
        """Return the path of a file that is there, where the setting is."""
        return self.file(name) if name in self else None

    def integer(
        self, name: str, *, high: int, low: int = 0, default: int | None = None
    ) -> int:
        """Return an integer between `low` and `high`, both included."""
        if default is not None and name not in self:
            return default
        return self.in_range(name, self.required(name), high, low)

    def in_range(self, name: str, text: str, high: int, low: int = 0) -> int:
        """Read the setting's value, or a part of it, as an integer."""
        # Twenty digits are more than any limit; a million would take a while.
        is_number = text.isascii() and text.isdecimal() and len(text) <= _DIGITS_MAX
        if not is_number or not low <= int(text) <= high:
            raise SettingsError(f"{name} must lie in {low}..{high}, not {text!r}")
        return int(text)

    def flag(self, name: str) -> bool:
        """Return whether a setting is 1; it may be 0, or missing."""
        return self.choice(name, ("0", "1"), default="0") == "1"

    def ratio(self, name: str, *, default: float) -> float:
        """Return a number between 0 and 1, both included."""
        text = self._values.get(name) or str(default)
        value = _parse_number(text)
        if not 0.0 <= value <= 1.0:
            raise SettingsError(f"{name} must lie in 0..1, not {text!r}")
        return value

    def number(self, name: str, *, high: float) -> float | None:
        """Return a number above 0 and at most `high`, or None without the setting."""
        if name not in self:
            return None
        text = self.required(name)
        value = _parse_number(text)
        if not 0.0 < value <= high:
            raise SettingsError(f"{name} must lie in (0, {high:g}], not {text!r}")
        return value

    def seconds(self, name: str, *, default: float) -> float:
        """Return a time in seconds, above 0 and at most a day."""
        text = self._values.get(name) or str(default)
        value = _parse_number(text)
        if not 0.0 < value <= _DAY_S:
            raise SettingsError(
                f"{name} must be seconds between 0 and {_DAY_S:g}, not {text!r}"
            )
        return value


def _parse_number(text: str) -> float:
    """Return the number in `text`; one below every range where there is none."""
    try:
        return float(text)
    except ValueError:
        return -1.0
