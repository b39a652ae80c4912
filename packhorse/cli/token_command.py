"""The identity token that `operate` wants to see, printed by a command."""

import re
import shlex
import subprocess

from packhorse.cli.failure import CommandError

TIMEOUT_S = 30.0
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{1,16384}")
_ADVICE = "say with --token-command how to get one"
_SAID_MAX = 200


def run_token_command(command: str) -> str:
    """Return the token that the command prints.

    Raises:
        CommandError: It cannot be run, fails, or prints no token.
    """
    shown = command[:_SAID_MAX]
    try:
        words = shlex.split(command)
        done = subprocess.run(  # noqa: S603 - the operator's own command
            words, capture_output=True, timeout=TIMEOUT_S, check=False
        )
    except (ValueError, IndexError) as error:
        raise CommandError(
            f"the token command {shown!r} is no command; {_ADVICE}"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise CommandError(
            f"the token command {shown!r} took longer than {TIMEOUT_S:.0f} s"
        ) from error
    except OSError as error:
        raise CommandError(
            f"the token command {shown!r} cannot be run: {error.strerror}; {_ADVICE}"
        ) from error
    if done.returncode:
        raise CommandError(
            f"the token command {shown!r} failed with exit code {done.returncode}"
            f"{_said(done.stderr)}; {_ADVICE}"
        )
    return _check(done.stdout.decode(errors="replace").strip(), shown)


def _check(token: str, command: str) -> str:
    if not token:
        raise CommandError(f"the token command {command!r} printed nothing; {_ADVICE}")
    if _TOKEN.fullmatch(token) is None:
        raise CommandError(
            f"the token command {command!r} printed {len(token)} characters that are "
            f"no identity token; {_ADVICE}"
        )
    return token


def _said(stderr: bytes) -> str:
    """Return the last line that the command complained with."""
    lines = stderr.decode(errors="replace").strip().splitlines()
    return f" ({lines[-1][:_SAID_MAX]})" if lines else ""
