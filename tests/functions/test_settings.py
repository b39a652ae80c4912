"""A setting that is missing or wrong says so by its name."""

import pytest

from functions import settings, variables
from functions.errors import SettingsError

CALLER = {
    "FUNCTION_AUDIENCE": "https://f.example",
    "ALLOWED_CALLERS": " a@example.com, b@example.com,",
}


def test_callers_have_googles_issuer_unless_told_otherwise():
    found = settings.caller_settings(CALLER)

    assert found.issuer == "https://accounts.google.com"
    assert found.certs_url == "https://www.googleapis.com/oauth2/v3/certs"
    assert found.allowed_callers == {"a@example.com", "b@example.com"}


def test_notices_have_a_day_unless_told_otherwise():
    found = settings.notice_settings({"MODEL_REPOSITORY": "h/p/r", "VARIANTS": "a,b"})

    assert (found.max_age_s, found.variants) == (86_400, ("a", "b"))


@pytest.mark.parametrize(
    ("load", "env", "name"),
    [
        (settings.caller_settings, {"ALLOWED_CALLERS": "a"}, "FUNCTION_AUDIENCE"),
        (settings.caller_settings, CALLER | {"ALLOWED_CALLERS": ","}, "ALLOWED_CALL"),
        (settings.caller_settings, CALLER | {"OIDC_CERTS_URL": "ftp:/"}, "OIDC_CERTS"),
        (settings.ledger_url, {}, "LEDGER_URL"),
        (settings.ledger_url, {"LEDGER_URL": "  "}, "LEDGER_URL"),
        (settings.ledger_url, {"LEDGER_URL": "mysql://u:secret@h/n"}, "LEDGER_URL"),
        (settings.project, {}, "GOOGLE_CLOUD_PROJECT"),
        (settings.device_bucket, {}, "DEVICE_BUCKET"),
        (settings.bundle_bucket, {}, "BUNDLE_BUCKET"),
        (settings.model_repository, {"MODEL_REPOSITORY": "host"}, "MODEL_REPOSITORY"),
        (settings.variants, {"VARIANTS": "FP32"}, "VARIANTS"),
        (settings.stuck_after_s, {"STUCK_AFTER_S": "soon"}, "STUCK_AFTER_S"),
        (settings.stuck_after_s, {"STUCK_AFTER_S": "0"}, "STUCK_AFTER_S"),
    ],
)
def test_what_is_missing_or_wrong_names_itself(load, env, name):
    with pytest.raises(SettingsError, match=name):
        load(env)


def test_a_password_is_not_shown():
    with pytest.raises(SettingsError) as raised:
        settings.ledger_url({"LEDGER_URL": "mysql://u:secret@h/n"})

    assert "secret" not in str(raised.value)


def test_a_number_is_read_with_its_bound():
    assert variables.number({"X": "0.5"}, "X", 1.0) == 0.5
    assert variables.number({}, "X", 1.0) == 1.0
    for wrong in ("-1", "nan", "inf", "1e9", "0.2"):
        with pytest.raises(SettingsError, match="X"):
            variables.number({"X": wrong}, "X", 1.0, low=0.3)


def test_an_optional_setting_may_be_absent():
    assert variables.optional({}, "X") == ""
    assert variables.optional({"X": " y "}, "X") == "y"


def test_shadow_runs_report_to_the_project_and_compare_as_the_manifest_does():
    env = {
        "GOOGLE_CLOUD_PROJECT": "demo",
        "MODEL_ENDPOINTS": '{"magika": {}}',
        "SHADOW_TOLERANCES": (
            '{"magika": {"probs": {"absolute": 1, "relative": 0, "argmax_margin": 0}}}'
        ),
    }

    found = settings.shadow_settings(env)

    assert found.pubsub_url == "https://pubsub.googleapis.com"
    assert found.topic == "projects/demo/topics/shadows"
    assert found.tolerances["magika"]["probs"].argmax_margin == 0.0


def test_shadow_runs_find_an_emulator_as_googles_libraries_do():
    found = settings.shadow_settings({"PUBSUB_EMULATOR_HOST": "127.0.0.1:8085"})

    assert (found.pubsub_url, found.topic) == ("http://127.0.0.1:8085", "")


@pytest.mark.parametrize(
    "told", ['{"magika": 1}', '{"magika": {"y": {}}}', '{"x": {}}']
)
def test_tolerances_that_are_none_name_their_setting(told):
    env = {"MODEL_ENDPOINTS": '{"magika": {}}', "SHADOW_TOLERANCES": told}
    with pytest.raises(SettingsError, match="SHADOW_TOLERANCES"):
        settings.shadow_settings(env)


def test_a_rollout_is_followed_where_a_root_is_trusted():
    env = {
        "TRUST_ROOT_FILE": "functions/root.json",
        "BUNDLE_BUCKET": "bundles",
        "STORAGE_EMULATOR_HOST": "127.0.0.1:4443/",
    }

    found = settings.rollout_source(env, ["magika"])

    assert (found.url, found.bucket) == ("http://127.0.0.1:4443", "bundles")
    assert (str(found.root_file), found.models) == ("functions/root.json", ("magika",))
    del env["STORAGE_EMULATOR_HOST"]
    found = settings.rollout_source(env, ["magika"])
    assert found.url == "https://storage.googleapis.com"


def test_without_a_root_no_rollout_is_followed_and_with_one_a_bucket_is_needed():
    assert settings.rollout_source({"BUNDLE_BUCKET": "bundles"}, ["magika"]) is None
    with pytest.raises(SettingsError, match="BUNDLE_BUCKET"):
        settings.rollout_source({"TRUST_ROOT_FILE": "root.json"}, ["magika"])
