"""Judge a notice of the registry: does it announce a release, or why not.

The topic `gcr` carries the notices of every repository of the project, and a
notice says little: an action, a digest, sometimes a tag. Only an INSERT of the
model repository whose tag is a version number announces a release. The rest is
refused with a reason that a person can act on, or ignored where it is the
registry's daily business.

Source: Artifact Registry, "Configure Pub/Sub notifications"
"""

import hashlib
import re
from dataclasses import dataclass

from packhorse.errors import MalformedError
from packhorse.names import MODEL, SHA256, VERSION_MAX, Release
from packhorse.strict_json import decode_json

NOTICE_MAX_BYTES = 16_384
"""A notice has about 300 bytes; names may be longer."""

_REFERENCE_MAX = 1_000
_DIGEST = re.compile(f"sha256:{SHA256}")
_VERSION = re.compile(r"[1-9][0-9]{0,8}")
# cosign and ORAS hang what belongs to a digest on a tag that is made from it.
_ATTACHED = re.compile(f"sha256-{SHA256}(\\.[a-z0-9]+)?")


@dataclass(frozen=True, slots=True)
class Announced:
    """A push that may become a release.

    Attributes:
        image: `HOST/PROJECT/REPOSITORY/MODEL`.
        digest: Of the pushed manifest.
    """

    release: Release
    image: str
    digest: str

    @property
    def subject(self) -> str:
        """Name what it is about."""
        return str(self.release)


@dataclass(frozen=True, slots=True)
class Refused:
    """A notice that leads nowhere, and must be seen by a person.

    Attributes:
        subject: What it is about; one record is kept for each.
    """

    subject: str
    reason: str


@dataclass(frozen=True, slots=True)
class Ignored:
    """A notice that leads nowhere, as it should."""

    subject: str
    reason: str


@dataclass(frozen=True, slots=True)
class _Notice:
    action: str
    digest_image: str
    digest: str
    tag_image: str
    tag: str

    @property
    def image(self) -> str:
        return self.tag_image or self.digest_image

    @property
    def subject(self) -> str:
        if self.tag:
            return f"{self.image}:{self.tag}"
        return f"{self.image}@{self.digest}"


def judge_notice(
    body: bytes, *, repository: str, age_s: float, max_age_s: float
) -> Announced | Refused | Ignored:
    """Decide what a notice means.

    Args:
        body: The message's data, as the registry published it.
        repository: `HOST/PROJECT/REPOSITORY` that holds the models.
        age_s: How long ago it was published.
        max_age_s: From when on it is too old to act upon.
    """
    try:
        notice = _decode(body)
    except MalformedError as error:
        digest = hashlib.sha256(body).hexdigest()
        return Refused(f"message sha256:{digest}", str(error))
    if not notice.image.startswith(f"{repository}/"):
        # One record per repository: the topic carries all that happens in them.
        foreign = "/".join(notice.image.split("/")[:3])
        return Refused(foreign, f"models are pushed to {repository}, not here")
    if notice.action != "INSERT":
        return Refused(notice.subject, _not_inserted(notice.action))
    if not notice.tag:
        return Ignored(notice.subject, "the notice of the tag says the same")
    if age_s > max_age_s:
        return Refused(notice.subject, _too_old(age_s, max_age_s))
    return _judge_tag(notice, repository)


def _judge_tag(notice: _Notice, repository: str) -> Announced | Refused:
    if not notice.digest:
        return Refused(notice.subject, "a pushed tag's notice names its digest too")
    if notice.digest_image != notice.tag_image:
        return Refused(notice.subject, f"its digest is of {notice.digest_image}")
    if _ATTACHED.fullmatch(notice.tag):
        return Refused(
            notice.subject, "a signature, attestation or SBOM is not a release"
        )
    model = notice.image.removeprefix(f"{repository}/")
    if not re.fullmatch(MODEL, model):
        return Refused(notice.subject, f"a model's name must match {MODEL}")
    if not _VERSION.fullmatch(notice.tag):
        return Refused(
            notice.subject,
            f"a release's tag is its version, 1 to {VERSION_MAX}; "
            f"push the model again with `packhorse push`",
        )
    release = Release(model, int(notice.tag))
    return Announced(release, notice.image, notice.digest)


def _not_inserted(action: str) -> str:
    if action == "DELETE":
        return (
            "deleting a tag or an image withdraws nothing; "
            "if it is a live release, use `packhorse withdraw`"
        )
    return f"expected the action INSERT or DELETE, got {action[:40]!r}"


def _too_old(age_s: float, max_age_s: float) -> str:
    return (
        f"the notice is {age_s / 3600:.1f} hours old, {max_age_s / 3600:.1f} are "
        f"allowed; push the model again if it is still wanted"
    )


def _decode(body: bytes) -> _Notice:
    value = decode_json(body, what="notice", limit_bytes=NOTICE_MAX_BYTES)
    if not isinstance(value, dict):
        raise MalformedError("a notice must be a JSON object")
    # Fields that we do not know are left alone: the format is not ours.
    action = _text(value, "action")
    if not action:
        raise MalformedError("a notice must have an action")
    digest_image, digest = _split_digest(_text(value, "digest"))
    tag_image, tag = _split_tag(_text(value, "tag"))
    if not digest and not tag:
        raise MalformedError("a notice must name a digest or a tag")
    return _Notice(action, digest_image, digest, tag_image, tag)


def _text(value: dict[str, object], name: str) -> str:
    text = value.get(name, "")
    if not isinstance(text, str) or len(text) > _REFERENCE_MAX:
        raise MalformedError(
            f"a notice's {name} must be text of at most {_REFERENCE_MAX} characters"
        )
    return text


def _split_digest(reference: str) -> tuple[str, str]:
    image, _, digest = reference.rpartition("@")
    if reference and not (image and _DIGEST.fullmatch(digest)):
        raise MalformedError(
            f"a notice's digest must be IMAGE@sha256:<64 hex>, not {reference[:200]!r}"
        )
    return image, digest


def _split_tag(reference: str) -> tuple[str, str]:
    # The host may hold a colon too, so only what follows the last slash counts.
    path, _, name = reference.rpartition("/")
    image, _, tag = name.rpartition(":")
    if reference and not (path and image and tag):
        raise MalformedError(
            f"a notice's tag must be IMAGE:TAG, not {reference[:200]!r}"
        )
    return (f"{path}/{image}", tag) if reference else ("", "")
