"""Which notices announce a release, and what the others are told."""

import json

import pytest

from functions.release.notice import (
    NOTICE_MAX_BYTES,
    Announced,
    Ignored,
    Refused,
    judge_notice,
)
from packhorse.names import Release

REPOSITORY = "europe-west4-docker.pkg.dev/demo/models"
IMAGE = f"{REPOSITORY}/magika"
DIGEST = "sha256:" + "a" * 64


def notice(image=IMAGE, tag="7", **changes):
    fields = {"action": "INSERT", "digest": f"{image}@{DIGEST}", **changes}
    if tag is not None:
        fields["tag"] = f"{image}:{tag}"
    return {name: value for name, value in fields.items() if value is not None}


def judge(body, *, age_s=1.0, repository=REPOSITORY):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return judge_notice(data, repository=repository, age_s=age_s, max_age_s=86_400)


def test_a_pushed_version_announces_a_release():
    expected = Announced(Release("magika", 7), IMAGE, DIGEST)

    assert judge(notice()) == expected
    assert expected.subject == "magika@7"


def test_fields_that_google_may_add_do_no_harm():
    assert isinstance(judge(notice(newField={"a": 1})), Announced)


def test_a_host_with_a_port_is_no_tag():
    repository = "127.0.0.1:5000/demo/models"
    image = f"{repository}/magika"

    judged = judge(notice(image), repository=repository)

    assert judged == Announced(Release("magika", 7), image, DIGEST)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (notice(action="DELETE", digest=None), "use `packhorse withdraw`"),
        (notice(action="DELETE", tag=None), "use `packhorse withdraw`"),
        (notice(action="UPDATE"), "got 'UPDATE'"),
        (notice(tag="latest"), "its version"),
        (notice(tag="0"), "its version"),
        (notice(tag="-1"), "its version"),
        (notice(tag="007"), "its version"),
        (notice(tag="1.1"), "its version"),
        (notice(tag="1000000000"), "its version"),
        (notice(tag=f"sha256-{'b' * 64}.sig"), "signature"),
        (notice(tag=f"sha256-{'b' * 64}.att"), "signature"),
        (notice(tag=f"sha256-{'b' * 64}.sbom"), "signature"),
        (notice(tag=f"sha256-{'b' * 64}"), "signature"),
        (notice(f"{REPOSITORY}/team/magika"), "name must match"),
        (notice(f"{REPOSITORY}/Magika"), "name must match"),
        (notice(digest=None), "names its digest"),
        (notice(digest=f"{REPOSITORY}/other@{DIGEST}"), "its digest is of"),
    ],
)
def test_notices_of_our_repository_that_lead_nowhere_say_why(body, reason):
    judged = judge(body)

    assert isinstance(judged, Refused)
    assert reason in judged.reason
    assert judged.subject.startswith(REPOSITORY)


@pytest.mark.parametrize(
    "image",
    [
        "gcr.io/demo/magika",
        "europe-west4-docker.pkg.dev/demo/models-old/magika",
        "europe-west4-docker.pkg.dev/other/models/magika",
        "us-docker.pkg.dev/demo/models/magika",
    ],
)
def test_another_repository_is_refused_once_for_all_that_happens_in_it(image):
    judged = judge(notice(image))

    assert isinstance(judged, Refused)
    assert judged.subject == "/".join(image.split("/")[:3])
    assert judged == judge(notice(image, tag="8"))


def test_the_notice_without_a_tag_is_the_registrys_daily_business():
    assert isinstance(judge(notice(tag=None)), Ignored)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"null",
        b'"INSERT"',
        b'{"action":"INSERT","action":"DELETE"}',
        {},
        {"action": "INSERT"},
        {"action": 1, "digest": f"{IMAGE}@{DIGEST}"},
        notice(action=""),
        notice(digest=7),
        notice(digest=IMAGE),
        notice(digest=f"{IMAGE}@sha256:short"),
        notice(digest=f"@{DIGEST}"),
        notice() | {"tag": ["7"]},
        notice() | {"tag": IMAGE},
        notice() | {"tag": f"{IMAGE}:"},
        notice() | {"tag": "magika:7"},
        notice() | {"tag": "x" * 2000},
        b" " * (NOTICE_MAX_BYTES + 1),
    ],
)
def test_garbage_is_refused_under_the_name_of_its_hash(body):
    judged = judge(body)

    assert isinstance(judged, Refused)
    assert judged.subject.startswith("message sha256:")
    assert judged.reason


def test_an_old_notice_is_refused():
    assert isinstance(judge(notice(), age_s=86_400), Announced)
    judged = judge(notice(), age_s=90_000)

    assert isinstance(judged, Refused)
    assert "25.0 hours old" in judged.reason
