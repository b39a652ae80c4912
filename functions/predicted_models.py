"""Read what the prediction function does for each model.

An endpoint is written as its name, and is then a shared one; or as an object:
`{"name": "projects/…", "kind": "dedicated", "url": "https://…", "timeout_s": 600}`.

Source: Vertex AI, "Choose an inference endpoint type": payload and time-out
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from functions.errors import SettingsError
from functions.setting_values import EndpointSettings, PredictedModel
from functions.variables import endpoint
from packhorse.errors import MalformedError
from packhorse.names import parse_release

_SHARED = "shared"
_MAX_BYTES = {_SHARED: 1_500_000, "dedicated": 10_000_000, "psc": 10_000_000}
_MAX_S = {_SHARED: 60.0, "dedicated": 3600.0, "psc": 3600.0}
_FIELDS = {"name", "kind", "url", "timeout_s"}
_LEAST_S = 0.1


@dataclass(frozen=True, slots=True)
class Choices:
    """What is set for some models, beside where they are.

    Attributes:
        pins: Model to the only release that should answer.
        shadow_shares: Model to the share that its candidate gets too.
        retried_timeouts: Models whose late answers may be asked for again.
    """

    pins: Mapping[str, object]
    is_pin_enforced: bool
    shadow_shares: Mapping[str, object]
    retried_timeouts: Collection[str]

    def check(self, models: Collection[str]) -> None:
        """Refuse a choice for a model that is not here.

        Raises:
            SettingsError: Nobody would notice that it has no effect.
        """
        for name, named in (
            ("MODEL_PIN", self.pins),
            ("SHADOW_SHARE", self.shadow_shares),
            ("RETRY_TIMEOUTS", self.retried_timeouts),
        ):
            if unknown := sorted(set(named) - set(models)):
                raise SettingsError(f"{name} names {unknown}, not in MODEL_ENDPOINTS")


def read_models(
    entries: Mapping[str, object], choices: Choices, *, api_url: str, timeout_s: float
) -> Mapping[str, PredictedModel]:
    """Read every model.

    Args:
        entries: MODEL_ENDPOINTS: model to its endpoints.
        choices: What is set beside it.
        api_url: Where shared endpoints are served.
        timeout_s: For an endpoint that does not say its own.

    Raises:
        SettingsError: Something contradicts itself; the message names it.
    """
    choices.check(entries)
    return {
        name: PredictedModel(
            name=name,
            serving=_endpoint(entry, "serving", api_url, timeout_s),
            candidate=_candidate(entry, api_url, timeout_s),
            pin=_pin(name, choices.pins.get(name)),
            is_pin_enforced=choices.is_pin_enforced,
            retries_timeouts=name in choices.retried_timeouts,
            shadow_share=_share(name, choices.shadow_shares.get(name, 0)),
        )
        for name, entry in entries.items()
    }


def _candidate(
    entry: object, api_url: str, timeout_s: float
) -> EndpointSettings | None:
    if isinstance(entry, dict) and "candidate" not in entry:
        return None
    return _endpoint(entry, "candidate", api_url, timeout_s)


def _endpoint(
    entry: object, which: str, api_url: str, timeout_s: float
) -> EndpointSettings:
    name = endpoint(entry, which)
    said = entry.get(which) if isinstance(entry, dict) else None
    told = said if isinstance(said, dict) else {}
    if unknown := sorted(set(told) - _FIELDS):
        raise _wrong(f"an endpoint has the fields {sorted(_FIELDS)}, not {unknown}")
    kind = told.get("kind", _SHARED)
    if kind not in _MAX_BYTES:
        raise _wrong(f"a kind is one of {sorted(_MAX_BYTES)}, not {kind!r}")
    return EndpointSettings(
        name=name,
        url=_url(told, kind, api_url),
        kind=kind,
        request_max_bytes=_MAX_BYTES[kind],
        timeout_s=_timeout_s(told, kind, timeout_s),
    )


def _url(told: Mapping[str, object], kind: str, api_url: str) -> str:
    if kind == _SHARED:
        if "url" in told:
            raise _wrong("a shared endpoint is served by the region: it has no url")
        return api_url
    url = told.get("url")
    if not isinstance(url, str) or not url.startswith(("https://", "http://")):
        raise _wrong(f"a {kind} endpoint needs the url of its own host, not {url!r}")
    return url.rstrip("/")


def _timeout_s(told: Mapping[str, object], kind: str, default_s: float) -> float:
    said = told.get("timeout_s", default_s)
    timeout_s = _number(said)
    if timeout_s is None or not _LEAST_S <= timeout_s <= _MAX_S[kind]:
        raise _wrong(
            f"a {kind} endpoint's timeout_s lies in {_LEAST_S}..{_MAX_S[kind]:.0f}, "
            f"not {said!r}; PREDICT_TIMEOUT_S is the default"
        )
    return timeout_s


def _number(value: object) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    return None


def _pin(model: str, release: object) -> str:
    if release is None:
        return ""
    try:
        pinned = parse_release(str(release))
    except MalformedError as error:
        raise SettingsError(f"MODEL_PIN: {error}") from error
    if pinned.model != model:
        raise SettingsError(f"MODEL_PIN pins {model!r} to {pinned}, another model")
    return str(pinned)


def _share(model: str, said: object) -> float:
    share = _number(said)
    if share is None or not 0 <= share <= 1:
        raise SettingsError(
            f"SHADOW_SHARE must be a share from 0 to 1; {model!r} has {said!r}"
        )
    return share


def _wrong(why: str) -> SettingsError:
    return SettingsError(f"MODEL_ENDPOINTS: {why}")
