"""Print an operator's identity token, as `gcloud auth print-identity-token` does.

Run by path, with any Python: `python local_cloud/stack/token.py URL`.
"""

import sys
import urllib.request

_TIMEOUT_S = 10


def main() -> None:
    """Print what the identity stand-in gives for the URL."""
    # The stack's own identity stand-in, on loopback.
    with urllib.request.urlopen(sys.argv[1], timeout=_TIMEOUT_S) as reply:  # noqa: S310
        print(reply.read().decode())  # noqa: T201 - the command's result


if __name__ == "__main__":
    main()
