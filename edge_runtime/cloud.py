"""Fetch the serving container's bundle from Cloud Storage, over plain HTTP.

No Google library: the gateway's installation carries none. The bundle is the one
whose SHA-256 the container's environment names, whatever the address says, so a
bucket that was tampered with can stop a container and not change it.

Source: Cloud Storage JSON API, `objects.get`, `objects.list`; Compute Engine,
"About VM metadata"
"""

import hashlib
import time
from pathlib import Path
from urllib.parse import quote, urlencode

import urllib3

from edge_runtime import durable
from edge_runtime.errors import AwayError, FetchError
from edge_runtime.log import log
from edge_runtime.settings.serve_settings import ContainerSettings
from edge_runtime.slots import Slot
from packhorse.bundle import BUNDLE_MAX_BYTES, CHUNK_BYTES, read_bundle
from packhorse.errors import MalformedError
from packhorse.strict_json import decode_json

_TIMEOUT = urllib3.Timeout(connect=5.0, read=60.0)
_METADATA_TIMEOUT = urllib3.Timeout(connect=2.0, read=5.0)
"""The metadata server is on this host; off Google's cloud there is none."""

_ANSWER_MAX_BYTES = 1 << 20
_TOKEN_PATH = "/computeMetadata/v1/instance/service-accounts/default/token"  # noqa: S105 - a path
_OK = 200
_LATER = frozenset({408, 429})
_SERVER_ERROR = 500

PATIENCE_S = 60.0
"""Time that Cloud Storage may be away. A container that ends is started again, but
only so often before its deployment is given up."""

_PAUSE_S = 1.0


def install_from_cloud(
    container: ContainerSettings, slot: Slot, *, patience_s: float = PATIENCE_S
) -> None:
    """Fetch the bundle, check it, and install it into `slot`.

    Raises:
        FetchError: It could not be had, or is not the one that was promised.
    """
    archive = slot.path.with_name("fetched.tar")
    until_s = time.monotonic() + patience_s
    while not _is_fetched(container, archive, is_last=time.monotonic() > until_s):
        time.sleep(_PAUSE_S)
    try:
        _unpack(archive, slot)
    except MalformedError as error:
        raise FetchError(f"the bundle is malformed: {error}") from error
    finally:
        archive.unlink(missing_ok=True)


def _is_fetched(container: ContainerSettings, archive: Path, *, is_last: bool) -> bool:
    """Try to fetch the bundle; say whether it is there.

    Raises:
        FetchError: Trying again cannot help, or this was the last time.
    """
    try:
        with urllib3.PoolManager(retries=False, timeout=_TIMEOUT) as http:
            _download(http, container, archive)
    except AwayError as error:
        if is_last:
            raise
        log("fetch_waits", reason=str(error))
        return False
    return True


def _unpack(archive: Path, slot: Slot) -> None:
    slot.clear()
    with archive.open("rb") as file:
        reader = read_bundle(file, limit_bytes=BUNDLE_MAX_BYTES)
        for member, chunks in reader.members():
            durable.write_file(slot.member_path(member.name), chunks)
    slot.seal(reader.manifest)


def _download(
    http: urllib3.PoolManager, container: ContainerSettings, archive: Path
) -> None:
    """Write the bundle to `archive` and compare its hash."""
    headers = _authorization(http, container.metadata_host)
    address = _address(http, container, headers)
    digest = hashlib.sha256()
    left = BUNDLE_MAX_BYTES
    try:
        answer = http.request("GET", address, headers=headers, preload_content=False)
        _check_status(answer, address)
        with archive.open("wb") as file:
            for chunk in answer.stream(CHUNK_BYTES):
                left -= len(chunk)
                if left < 0:
                    raise FetchError(f"a bundle may be {BUNDLE_MAX_BYTES} bytes long")
                digest.update(chunk)
                file.write(chunk)
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise AwayError(f"Cloud Storage did not give {address}") from error
    if digest.hexdigest() != container.bundle_sha256:
        raise FetchError(
            f"PACKHORSE_BUNDLE_SHA256 is {container.bundle_sha256},"
            f" the bundle at {container.storage_uri} has {digest.hexdigest()}"
        )


def _address(
    http: urllib3.PoolManager, container: ContainerSettings, headers: dict[str, str]
) -> str:
    """Return where the bundle's bytes are: the object, or the one below a prefix."""
    bucket, _, name = container.storage_uri.removeprefix("gs://").partition("/")
    objects = f"{container.storage_url}/storage/v1/b/{quote(bucket, safe='')}/o"
    if not name.endswith(".tar"):
        names = _list(http, f"{objects}?{urlencode({'prefix': name})}", headers)
        name = _choose(names, container)
    return f"{objects}/{quote(name, safe='')}?alt=media"


def _choose(names: list[str], container: ContainerSettings) -> str:
    """Return the bundle that is meant; its hash is checked later."""
    bundles = [name for name in names if name.endswith(".tar")]
    hashed = [name for name in bundles if container.bundle_sha256 in name]
    for found in (hashed, bundles):
        if len(found) == 1:
            return found[0]
    raise FetchError(
        f"expected one bundle under {container.storage_uri}, found {len(bundles)}"
    )


def _list(http: urllib3.PoolManager, url: str, headers: dict[str, str]) -> list[str]:
    document = _get_json(http, url, headers, _TIMEOUT)
    items = document.get("items", [])
    if not isinstance(items, list):
        raise FetchError("Cloud Storage answered with no list of objects")
    return [str(item["name"]) for item in items if isinstance(item, dict)]


def _authorization(http: urllib3.PoolManager, metadata_host: str) -> dict[str, str]:
    """Return this container's credential; none where no metadata server is."""
    url = f"http://{metadata_host}{_TOKEN_PATH}"
    flavor = {"Metadata-Flavor": "Google"}
    try:
        document = _get_json(http, url, flavor, _METADATA_TIMEOUT)
    except FetchError:
        return {}
    return {"Authorization": f"Bearer {document.get('access_token', '')}"}


def _get_json(
    http: urllib3.PoolManager,
    url: str,
    headers: dict[str, str],
    timeout: urllib3.Timeout,
) -> dict[str, object]:
    """Return a small JSON object."""
    try:
        answer = http.request(
            "GET", url, headers=headers, timeout=timeout, preload_content=False
        )
        _check_status(answer, url)
        body = answer.read(_ANSWER_MAX_BYTES + 1)
        document = decode_json(body, what="answer", limit_bytes=_ANSWER_MAX_BYTES)
    except (urllib3.exceptions.HTTPError, OSError, MalformedError) as error:
        raise AwayError(f"no usable answer from {url}") from error
    if not isinstance(document, dict):
        raise FetchError(f"no usable answer from {url}")
    return document


def _check_status(answer: urllib3.BaseHTTPResponse, url: str) -> None:
    if answer.status == _OK:
        return
    is_away = answer.status in _LATER or answer.status >= _SERVER_ERROR
    kind = AwayError if is_away else FetchError
    raise kind(f"{url} answered {answer.status}, expected {_OK}")
