"""What a person sets for the place where a gateway stands: when it may change.

Source: docs/run-a-gateway.md, "When it may change"
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from edge_runtime.commands import Command, parse_command
from edge_runtime.settings.environment import Environment
from edge_runtime.windows import Windows, parse_windows

HOOK_S = 60.0
"""A command that looks at a battery takes a second; one that tells a machine to
pause may take a while."""

_PASSED = (
    "PATH",
    "LANG",
    "TZ",
    "PACKHORSE_STATE_DIR",
    "PACKHORSE_DEVICE",
    "PACKHORSE_RING",
    "PACKHORSE_MODEL",
)
"""All that a command sees of the agent's environment: no token is among them."""


@dataclass(frozen=True, slots=True)
class SiteSettings:
    """When this site lets itself be changed, and whom it asks.

    Attributes:
        window: When a release may be installed, tried and switched to.
        download_window: When one may be pulled.
        hook_s: Longest time of one command, in seconds.
        environment: What every command finds in its environment.
    """

    window: Windows = field(default_factory=Windows)
    download_window: Windows = field(default_factory=Windows)
    may_download: Command | None = None
    may_switch: Command | None = None
    before_switch: Command | None = None
    after_switch: Command | None = None
    hook_s: float = HOOK_S
    environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


def site_settings(values: Mapping[str, str]) -> SiteSettings:
    """Read them.

    Raises:
        SettingsError: One is wrong; the message names it.
    """
    environ = Environment(values)

    def windows(name: str, default: str) -> Windows:
        return parse_windows(name, environ.text(name, default))

    def command(name: str) -> Command | None:
        return parse_command(name, environ.text(name, ""))

    window = environ.text("PACKHORSE_WINDOW", "")
    return SiteSettings(
        window=windows("PACKHORSE_WINDOW", ""),
        # Who says nothing about downloads means them too.
        download_window=windows("PACKHORSE_DOWNLOAD_WINDOW", window),
        may_download=command("PACKHORSE_MAY_DOWNLOAD"),
        may_switch=command("PACKHORSE_MAY_SWITCH"),
        before_switch=command("PACKHORSE_BEFORE_SWITCH"),
        after_switch=command("PACKHORSE_AFTER_SWITCH"),
        hook_s=environ.seconds("PACKHORSE_HOOK_S", default=HOOK_S),
        environment={name: values[name] for name in _PASSED if values.get(name)},
    )
