"""Parts of the sentences that people read."""

import signal


def one_line(text: str) -> str:
    """Return what can be shown of somebody else's text, on one line."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def signal_name(number: int) -> str:
    """Name a signal as people know it: `SIGKILL`."""
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal has no name
        return f"signal {number}"
