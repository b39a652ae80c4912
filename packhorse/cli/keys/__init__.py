"""`packhorse keys`: make keys, and change who is trusted.

A ceremony prepares the next version of one metadata file (`change`), carries it to
each keyholder (`sign`), and sees that nobody is missing (`check`). docs/operations.md
walks through each of them.
"""

import click

from packhorse.cli.keys.change import change
from packhorse.cli.keys.init import init
from packhorse.cli.keys.make import make, public
from packhorse.cli.keys.show import show
from packhorse.cli.keys.sign import check, sign
from packhorse.cli.options import examples


@click.group(
    epilog=examples(
        "packhorse keys init --model magika --directory keys --repository-out metadata",
        "packhorse keys show metadata",
        "packhorse keys change root metadata --out stick --add-key root=anna.pem.pub",
        "packhorse keys sign stick/2.root.json --key file2:anna.pem",
        "packhorse keys check stick/2.root.json",
    )
)
def keys() -> None:
    """Make signing keys, see what is trusted, and change it."""


for _command in (change, check, init, make, public, show, sign):
    keys.add_command(_command)
