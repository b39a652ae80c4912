"""The gateway's own TUF client as a small command, which any TUF suite can drive.

    tuf_client --metadata-dir D init ROOT_FILE
    tuf_client --metadata-url U --metadata-dir D refresh
    tuf_client --metadata-url U --metadata-dir D --target-name T [--target-name T2 ...]
               --target-dir X --target-base-url B download

It ends with 0, or with 1 and a sentence on standard error. Nothing is decided here:
`TrustedRepository` verifies and keeps the metadata and `Downloads` fetches, as on a
gateway. Only the clock has no floor: a suite may set it to any date, and back.

    D/root.json, D/timestamp.json, D/<role, quoted>.json    what is trusted now
    D/gateway/                                              a gateway's state directory
    X/<target, quoted>                                      finished downloads alone

Source: ../shared/reference/ota.md, 5
"""

import argparse
import errno
import sys
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

if __name__ == "__main__":
    # securesystemslib would load all of Google's library for KMS where it is
    # installed, for 0.3 s at each start; on a gateway it is not.
    sys.modules["google.cloud.kms"] = None

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root

from edge_runtime import durable
from edge_runtime.agent.clock import Clock
from edge_runtime.agent.errors import AgentError
from edge_runtime.agent.network.web import Web
from edge_runtime.agent.pull import Downloads
from edge_runtime.agent.trust.strict_updater import ROOT_MAX_BYTES
from edge_runtime.agent.trust.trusted_repository import TrustedRepository
from packhorse.assignment import BundleRef
from packhorse.errors import PackhorseError

LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
TARGET_MAX_BYTES = 64 * 1024 * 1024
"""Of a target that no bundle can be: one without SHA-256, or empty."""


class Arguments(argparse.ArgumentParser):
    def error(self, message):
        raise SystemExit(f"{self.format_usage()}{self.prog}: {message}")


def main(arguments=None):
    options = _read_arguments(arguments)
    try:
        {"init": _init, "refresh": _refresh, "download": _download}[options.verb](
            options
        )
    except (AgentError, PackhorseError, RepositoryError, OSError, ValueError) as error:
        sys.stderr.write(f"tuf_client: {error}\n")
        return 1
    return 0


def _read_arguments(arguments):
    parser = Arguments(prog="tuf_client", allow_abbrev=False)
    parser.add_argument("--metadata-dir", type=Path, required=True)
    parser.add_argument("--metadata-url")
    parser.add_argument("--target-name", action="append", default=[])
    parser.add_argument("--target-dir", type=Path)
    parser.add_argument("--target-base-url")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("init").add_argument("root_file", type=Path)
    verbs.add_parser("refresh")
    verbs.add_parser("download")
    options = parser.parse_args(arguments)
    needed = {"init": [], "refresh": ["metadata_url"]}.get(
        options.verb, ["metadata_url", "target_name", "target_dir", "target_base_url"]
    )
    for name in needed:
        if not getattr(options, name):
            parser.error(f"{options.verb} needs --{name.replace('_', '-')}")
    return options


def _init(options):
    """Ship the root with a new gateway; it must at least be signed by itself."""
    with options.root_file.open("rb") as file:
        body = file.read(ROOT_MAX_BYTES + 1)
    if len(body) > ROOT_MAX_BYTES:
        raise ValueError(f"a root may have {ROOT_MAX_BYTES} bytes, this one has more")
    root = Metadata[Root].from_bytes(body)
    root.signed.verify_delegate(Root.type, root.signed_bytes, root.signatures)
    state_dir = _state_dir(options)
    durable.make_dir(options.metadata_dir)
    if state_dir.exists():
        durable.remove_tree(state_dir)
    durable.write_tree(state_dir / "trust" / "1", {"root.json": body})
    durable.write_file(state_dir / "root", body)
    durable.symlink_swap(state_dir / "trusted", "trust/1")
    _show_trusted(options)


def _refresh(options):
    try:
        with _repository(options, Web()).opened():
            pass
    finally:
        _show_trusted(options)


def _download(options):
    web = Web()
    try:
        with _repository(options, web).opened() as view:
            for name in options.target_name:
                _fetch(view, name, options, web)
    finally:
        _show_trusted(options)


def _fetch(view, name, options, web):
    target = view.find(name)
    if target is None:
        raise ValueError(f"no role vouches for {name}")
    path = options.target_dir / quote(name, safe="")
    if _matches(path, target):
        return
    algorithm, digest = next(iter(target.hashes.items()))
    is_bundle = algorithm == "sha256" and target.length > 0
    if is_bundle and view.updater.root.consistent_snapshot:
        bundle = BundleRef(name, target.length, digest)
        folder = _state_dir(options) / "downloads"
        locate = lambda _, __: view.url(target)  # noqa: E731
        downloads = Downloads(folder, "", web, locate=locate)
        body = downloads.pull(bundle).read_bytes()
        downloads.remove(bundle)
        target.verify_length_and_hashes(body)
    else:
        body = view.read(target, most_bytes=TARGET_MAX_BYTES)
    durable.make_dir(options.target_dir)
    _finish(body, _state_dir(options) / "finished", path)


def _finish(body, partial, path):
    """Give a whole download its name, whatever file system it belongs to."""
    durable.write_file(partial, body)
    try:
        durable.rename(partial, path)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        durable.write_file(path, body)
        durable.unlink(partial)


def _matches(path, target):
    try:
        target.verify_length_and_hashes(path.read_bytes())
    except (OSError, RepositoryError):
        return False
    return True


def _repository(options, web):
    state_dir = _state_dir(options)
    return TrustedRepository(
        state_dir,
        options.metadata_url.rstrip("/"),
        (options.target_base_url or "").rstrip("/"),
        (state_dir / "root").read_bytes(),
        web,
        Clock(state_dir, is_synchronised=lambda: False, built_at=lambda: LONG_AGO),
    )


def _show_trusted(options):
    """Let D show the trusted metadata as a suite expects it."""
    trusted = _state_dir(options) / "trusted"
    names = {path.name for path in trusted.glob("*.json")}
    for shown in options.metadata_dir.glob("*.json"):
        if shown.name not in names:
            shown.unlink()
    for name in names:
        shown = options.metadata_dir / name
        if not shown.is_symlink():
            shown.unlink(missing_ok=True)
            shown.symlink_to(f"gateway/trusted/{name}")


def _state_dir(options):
    return options.metadata_dir / "gateway"


if __name__ == "__main__":
    sys.exit(main())
