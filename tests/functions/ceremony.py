"""A repository in a bucket, and the people who keep its keys on their own machines.

Each person has a folder, and nothing but a stick goes from one to the other. The
bucket is what the functions and a gateway see of it all.
"""

import shutil
import tempfile
from datetime import UTC, datetime

from click.testing import CliRunner
from google.cloud import storage
from tuf.ngclient import Updater

from edge_runtime.agent.network.web import Web
from edge_runtime.agent.trust.trust import Trust
from functions.adapters.tuf_repository import TufRepository
from packhorse.assignment import RolloutDocument, encode_rollout
from packhorse.cli.keys import keys
from packhorse.signers import Signers

MODEL = "magika"
KEEPERS = {"root": ("anna", "ben", "cleo"), "targets": ("dora", "emil")}
ONLINE = ("snapshot", "timestamp", "rollouts", f"release-{MODEL}")


def packhorse(*words):
    """Run `packhorse keys` as one person does; return what it says."""
    result = CliRunner().invoke(keys, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    return result.output


class Ceremony:
    """One repository, from its first key on."""

    def __init__(self, folder, store, url):
        self.folder, self.store, self.url = folder, store, url
        self.uris = {}
        self.stick = folder / "stick"
        self.stick.mkdir()
        self.sequence = 0

    def machine(self, person):
        folder = self.folder / person
        folder.mkdir(exist_ok=True)
        return folder

    def make_key(self, person):
        """Let a person make a key; only its public half gets onto the stick."""
        private = self.machine(person) / f"{person}.pem"
        packhorse("make", private)
        return shutil.copy(f"{private}.pub", self.stick)

    def make_online_key(self, name):
        """Make a key that a function will hold; return its URI."""
        path = self.machine("cloud") / f"{name}.pem"
        packhorse("make", path)
        return f"file2:{path}"

    def begin(self, make_online_key=None, *options):
        """Make the root, signed by people who never meet, and upload it."""
        make = make_online_key or self.make_online_key
        people = [(role, person) for role, who in KEEPERS.items() for person in who]
        given = [f"{role}={self.make_key(person)}" for role, person in people]
        self.uris = {role: make(role) for role in ONLINE}
        given += [f"{role}={uri}" for role, uri in self.uris.items()]
        words = [word for each in given for word in ("--key", each)]
        first = self.stick / "first"
        packhorse("init", "--model", MODEL, "--repository-out", first, *words, *options)
        self.sign(first / "1.root.json", "anna", "cleo", *options)
        self.sign(first / "1.targets.json", "dora", "emil", *options)
        self.upload(*sorted(first.iterdir()))
        self.first_root = (first / "1.root.json").read_bytes()

    def copy_of_bucket(self):
        """Give the operator a copy of the bucket's metadata/, as gcloud would."""
        folder = self.folder / "operator" / "metadata"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        with storage.Client(project="demo") as client:
            for blob in client.list_blobs(self.store_name, prefix="metadata/"):
                blob.download_to_filename(folder / blob.name.rpartition("/")[2])
        return folder

    @property
    def store_name(self):
        return self.url.rpartition("/")[2]

    def change(self, what, *words):
        """Prepare the next version on the operator's machine; return its file."""
        out = self.stick / f"{what}-{len(list(self.stick.iterdir()))}"
        names = what.split()
        packhorse("change", *names, self.copy_of_bucket(), "--out", out, *words)
        role = names[-1]
        return max(out.glob(f"*.{role}.json"), key=lambda p: int(p.name.split(".")[0]))

    def sign(self, file, *people):
        """Carry the stick from machine to machine; each person signs there."""
        said = ""
        for person in people:
            here = self.machine(person) / f"stick-{file.parent.name}"
            shutil.rmtree(here, ignore_errors=True)
            shutil.copytree(file.parent, here)
            uri = f"file2:{self.machine(person)}/{person}.pem"
            said = packhorse("sign", here / file.name, "--key", uri)
            shutil.copy(here / file.name, file)
        return said

    def sign_online(self, file, uri):
        return packhorse("sign", file, "--key", uri)

    def upload(self, *files):
        """Put files into the bucket, the timestamp last; none is ever overwritten."""
        for file in sorted(files, key=lambda f: f.name == "timestamp.json"):
            body = file.read_bytes()
            assert self.store.write_if_generation(f"metadata/{file.name}", body, 0)

    def function(self, *roles, now=None, signers=None):
        """Return the repository as a function with the settings of today sees it."""
        held = {role: self.uris[role] for role in (*roles, "snapshot", "timestamp")}
        clock = now or (lambda: datetime.now(UTC))
        return TufRepository(self.store, held, now=clock, signers=signers or Signers())

    def refresh(self, **options):
        return self.function(**options).refresh_timestamp()

    def roll_out(self, **options):
        """Publish the next rollout document, as `advance_rollout` does."""
        self.sequence += 1
        body = encode_rollout(RolloutDocument(MODEL, self.sequence))
        return self.function("rollouts", **options).publish_rollout(MODEL, body)

    def gateway(self, name="gateway"):
        """Return a gateway's trust; under one name it remembers what it saw."""
        state_dir = self.folder / name
        state_dir.mkdir(exist_ok=True)
        return Trust(state_dir, self.url, self.first_root, Web())

    def sequence_at(self, name="gateway"):
        """Return which rollout document a gateway follows after a poll.

        A stock client, which never saw this repository before, must agree.
        """
        found = self.gateway(name).refresh(MODEL).document.sequence
        with tempfile.TemporaryDirectory() as folder:
            stock = Updater(folder, f"{self.url}/metadata/", bootstrap=self.first_root)
            info = stock.get_targetinfo(f"rollouts/{MODEL}.json")
        assert info.custom == {"sequence": found}
        return found
