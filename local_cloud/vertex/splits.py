"""Rules of an endpoint's traffic split.

Source: google/cloud/aiplatform/v1/endpoint.proto, `Endpoint.traffic_split`
"""

from collections.abc import Collection, Mapping

from local_cloud.google_http import ApiError

WHOLE_PERCENT = 100
THE_NEW_ONE = "0"
"""In a deployment's split, the deployed model that is being made."""

Split = dict[str, int]


def read_split(value: object) -> Split:
    """Return a split as it came in JSON, where an int32 may be a string."""
    if not isinstance(value, Mapping):
        raise ApiError("INVALID_ARGUMENT", "traffic_split: expected a map")
    try:
        return {str(key): int(str(percent)) for key, percent in value.items()}
    except ValueError as error:
        raise ApiError(
            "INVALID_ARGUMENT", "traffic_split: expected integers"
        ) from error


def check_split(split: Split, known: Collection[str]) -> None:
    """Refuse a split that does not add up to 100 or names a stranger.

    The empty split is allowed: the endpoint takes no traffic then.
    """
    if not split:
        return
    strangers = sorted(set(split) - set(known))
    if strangers:
        sentence = (
            f"traffic_split: deployed model {strangers[0]!r} is not on this endpoint; "
            f"there are {sorted(known)}"
        )
        raise ApiError("INVALID_ARGUMENT", sentence)
    if any(percent < 0 for percent in split.values()) or (
        sum(split.values()) != WHOLE_PERCENT
    ):
        sentence = f"traffic_split: expected values that add up to 100, {split} came"
        raise ApiError("INVALID_ARGUMENT", sentence)


def name_the_new_one(split: Split, deployed_id: str) -> Split:
    """Put the new deployed model's id where the caller wrote "0"."""
    return {deployed_id if key == THE_NEW_ONE else key: split[key] for key in split}


def choose(split: Split, draw: float) -> str:
    """Return the deployed model that the number `draw`, in [0, 1), falls on."""
    rest = draw * WHOLE_PERCENT
    for deployed_id, percent in sorted(split.items()):
        if rest < percent:
            return deployed_id
        rest -= percent
    raise AssertionError(f"the split {split} does not add up to 100")
