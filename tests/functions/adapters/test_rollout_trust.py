"""What is believed of a repository in a bucket that anybody might have written."""

import pytest

from functions.adapters.rollout_trust import RolloutTrust, Wanted, step
from functions.release.metadata import metadata_object, target_object
from packhorse.assignment import ROLLOUT_MAX_BYTES, encode_rollout
from packhorse.errors import LimitExceededError, MalformedError, UntrustedError
from packhorse.trust_root import METADATA_MAX_BYTES
from tests.functions.adapters.rollout_bucket import TIMESTAMP, SignedBucket, rollout

REFUSED = (MalformedError, UntrustedError)


@pytest.fixture
def repository():
    made = SignedBucket()
    made.publish(rollout(1))
    return made


@pytest.fixture
def trust(repository):
    return RolloutTrust(repository.first_root)


def follow(trust, repository, *models, asked=None):
    """Check what stands in the bucket now; note what was asked for."""
    check = trust.check(repository.objects[TIMESTAMP], models or ("magika",))
    now = step(check, None)
    while isinstance(now, Wanted):
        if asked is not None:
            asked.append(now.name)
        now = step(check, repository.objects.get(now.name))
    return now


def sequence(trust, repository):
    return follow(trust, repository).documents["magika"].sequence


def test_documents_are_followed_from_the_shipped_root(trust, repository):
    repository.publish(rollout(2, candidate=2), rollout(5, model="digits"))

    found = follow(trust, repository, "magika", "digits", "iris").documents

    assert found == {
        "magika": rollout(2, candidate=2),
        "digits": rollout(5, model="digits"),
    }


def test_what_is_known_is_not_asked_for_again(trust, repository):
    first, second = [], []
    follow(trust, repository, asked=first)
    repository.stamp()
    follow(trust, repository, asked=second)

    target = repository.signed["rollouts"].targets["rollouts/magika.json"]
    assert first == [
        "metadata/2.root.json",
        metadata_object("snapshot", 2),
        metadata_object("targets", 1),
        metadata_object("rollouts", 2),
        target_object("rollouts/magika.json", target.hashes["sha256"]),
    ]
    assert second == ["metadata/2.root.json"]


def test_a_model_that_is_no_longer_vouched_for_has_no_document(trust, repository):
    follow(trust, repository)
    repository.publish(rollout(3, model="digits"))

    assert follow(trust, repository).documents == {}


@pytest.mark.parametrize("body", [b"", b"{}", b"[" * 100_000, b'{"signed": 1}'])
def test_a_shipped_root_that_is_none_is_refused(body):
    with pytest.raises(UntrustedError):
        RolloutTrust(body)


def test_a_shipped_root_must_be_signed_by_itself(repository):
    body = repository.first_root.replace(b'"version":1', b'"version":2')
    assert body != repository.first_root

    with pytest.raises(UntrustedError):
        RolloutTrust(body)


def hide(repository):
    del repository.objects[metadata_object("snapshot", 2)]


def sign_with_a_strangers_key(repository):
    repository.signed["timestamp"].version += 5
    repository.sign("timestamp", SignedBucket().signers["timestamp"])


def sign_rollouts_with_the_release_key(repository):
    repository.signers["rollouts"] = repository.signers["release"]
    repository.publish(rollout(9, stable=9))


def sign_the_snapshot_with_the_timestamps_key(repository):
    repository.signers["snapshot"] = repository.signers["timestamp"]
    repository.refresh()


def sign_targets_with_the_snapshots_key(repository):
    repository.signers["targets"] = repository.signers["snapshot"]
    repository.name("targets")


def swap_a_document(repository):
    body = encode_rollout(rollout(2))
    name = repository.put("rollouts/magika.json", body)
    repository.name("rollouts")
    repository.objects[name] = encode_rollout(rollout(2, stable=9))


def vouch_for_anothers_document(repository):
    repository.put("rollouts/magika.json", encode_rollout(rollout(9, model="digits")))
    repository.name("rollouts")


def vouch_for_no_document(repository):
    repository.put("rollouts/magika.json", b"[]")
    repository.name("rollouts")


def vouch_for_too_long_a_document(repository):
    repository.put("rollouts/magika.json", b" " * (ROLLOUT_MAX_BYTES + 1))
    repository.name("rollouts")


def vouch_with_a_path_as_hash(repository):
    repository.put("rollouts/magika.json", encode_rollout(rollout(2)))
    target = repository.signed["rollouts"].targets["rollouts/magika.json"]
    target.hashes["sha256"] = "../" * 22
    repository.name("rollouts")


def vouch_without_a_hash_of_ours(repository):
    repository.put("rollouts/magika.json", encode_rollout(rollout(2)))
    target = repository.signed["rollouts"].targets["rollouts/magika.json"]
    target.hashes = {"sha512": "0" * 128}
    repository.name("rollouts")


def write_no_metadata(repository):
    repository.objects[TIMESTAMP] = b"{}"


def write_another_roles_metadata(repository):
    repository.objects[TIMESTAMP] = repository.objects["metadata/1.root.json"]


def write_keys_of_another_type(repository):
    repository.objects[TIMESTAMP] = repository.objects[TIMESTAMP].replace(
        b'"version"', b'"versions"'
    )


def name_no_rollouts(repository):
    del repository.signed["snapshot"].meta["rollouts.json"]
    repository.refresh()


def name_another_version(repository):
    """Name an old file by a new number: whoever holds the snapshot's key can."""
    named = repository.signed["snapshot"].meta["rollouts.json"]
    before = metadata_object("rollouts", named.version)
    named.version += 7
    now = metadata_object("rollouts", named.version)
    repository.objects[now] = repository.objects[before]
    repository.refresh()


def flood(repository):
    named = repository.signed["snapshot"].meta["targets.json"]
    name = metadata_object("targets", named.version)
    repository.objects[name] = b" " * (METADATA_MAX_BYTES + 1)


ATTACKS = [
    hide,
    sign_with_a_strangers_key,
    sign_rollouts_with_the_release_key,
    sign_the_snapshot_with_the_timestamps_key,
    sign_targets_with_the_snapshots_key,
    swap_a_document,
    vouch_for_anothers_document,
    vouch_for_no_document,
    vouch_for_too_long_a_document,
    vouch_with_a_path_as_hash,
    vouch_without_a_hash_of_ours,
    write_no_metadata,
    write_another_roles_metadata,
    write_keys_of_another_type,
    name_no_rollouts,
    name_another_version,
    flood,
]


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_nobody_vouches_for_is_refused(trust, repository, attack):
    asked = []
    attack(repository)

    with pytest.raises(REFUSED):
        follow(trust, repository, asked=asked)
    assert all("../" not in name for name in asked)


@pytest.mark.parametrize("attack", [swap_a_document, vouch_for_no_document, hide])
def test_after_an_attack_the_truth_is_followed_again(trust, repository, attack):
    attack(repository)
    with pytest.raises(REFUSED):
        follow(trust, repository)
    repository.publish(rollout(3))

    assert sequence(trust, repository) == 3


@pytest.mark.parametrize("count", [0, 1])
def test_the_delegation_decides_which_paths_the_role_may_name(trust, repository, count):
    role = repository.signed["targets"].delegations.roles["rollouts"]
    role.paths = [f"others/{number}/*" for number in range(count)]
    repository.name("targets")

    assert follow(trust, repository).documents == {}


def test_an_older_timestamp_is_refused_while_the_process_lives(trust, repository):
    old = repository.objects[TIMESTAMP]
    repository.publish(rollout(2))
    assert sequence(trust, repository) == 2
    repository.objects[TIMESTAMP] = old

    with pytest.raises(UntrustedError, match="timestamp must not go back"):
        follow(trust, repository)


def test_an_older_snapshot_is_refused(trust, repository):
    repository.publish(rollout(2))
    assert sequence(trust, repository) == 2
    repository.signed["snapshot"].version = 1
    repository.refresh()

    with pytest.raises(UntrustedError, match="snapshot must not go back"):
        follow(trust, repository)


def test_an_older_version_of_the_role_is_refused(trust, repository):
    repository.publish(rollout(2))
    assert sequence(trust, repository) == 2
    named = repository.signed["snapshot"].meta["rollouts.json"]
    named.version, named.length, named.hashes = 2, None, None
    repository.refresh()

    with pytest.raises(UntrustedError, match="rollouts must not go back"):
        follow(trust, repository)


def test_a_timestamp_that_was_seen_counts_although_nothing_came_of_it(
    trust, repository
):
    old = repository.objects[TIMESTAMP]
    vouch_for_no_document(repository)
    with pytest.raises(REFUSED):
        follow(trust, repository)
    repository.objects[TIMESTAMP] = old

    with pytest.raises(UntrustedError, match="timestamp must not go back"):
        follow(trust, repository)


@pytest.mark.parametrize(
    "later",
    [rollout(4, stable=1, withdrawn=[3]), rollout(6, stable=3)],
    ids=["an older sequence", "a withdrawal forgotten"],
)
def test_whoever_steals_the_online_key_cannot_go_back(trust, repository, later):
    repository.publish(rollout(5, stable=2, withdrawn=[3]))
    assert sequence(trust, repository) == 5
    repository.publish(later)

    with pytest.raises(UntrustedError):
        follow(trust, repository)


def test_what_came_under_a_stolen_key_is_forgotten_once_it_is_replaced(
    trust, repository
):
    repository.publish(rollout(999, stable=9))
    assert sequence(trust, repository) == 999
    repository.rotate_rollouts()
    repository.publish(rollout(6, stable=2))

    assert sequence(trust, repository) == 6


def test_a_timestamp_key_that_counted_to_the_end_is_undone_by_a_new_root(
    trust, repository
):
    repository.signed["timestamp"].version = 10**6
    repository.stamp()
    assert sequence(trust, repository) == 1
    repository.rotate("timestamp")
    repository.signed["timestamp"].version = 7
    repository.publish(rollout(2))

    assert sequence(trust, repository) == 2


def test_a_replaced_key_signs_nothing_any_more(trust, repository):
    assert sequence(trust, repository) == 1
    stolen = repository.rotate("timestamp")
    repository.signers["timestamp"] = stolen
    repository.publish(rollout(2))

    with pytest.raises(UntrustedError):
        follow(trust, repository)


@pytest.mark.parametrize("count", [0, 1])
def test_a_root_needs_its_threshold_of_the_keys_before(trust, repository, count):
    strangers = SignedBucket().roots
    repository.sign("root", *repository.roots[:count], *strangers)

    with pytest.raises(UntrustedError):
        follow(trust, repository)


def test_several_roots_are_followed_one_after_another(trust, repository):
    for role in ("timestamp", "snapshot", "timestamp"):
        repository.rotate(role)
    repository.publish(rollout(2))

    assert sequence(trust, repository) == 2


def test_a_root_cannot_skip_a_version(trust, repository):
    repository.signed["root"].version = 2
    repository.sign("root", *repository.roots)
    name, skipped = metadata_object("root", 2), metadata_object("root", 3)
    repository.objects[name] = repository.objects[skipped]

    with pytest.raises(UntrustedError, match="says it is 3"):
        follow(trust, repository)


def test_a_root_is_no_longer_than_a_root_may_be(trust, repository):
    repository.objects[metadata_object("root", 2)] = b" " * 512_001

    with pytest.raises(LimitExceededError):
        follow(trust, repository)


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets", "rollouts"])
def test_what_has_expired_is_told_and_not_refused(trust, repository, role):
    repository.expire(role)

    found = follow(trust, repository)

    assert found.documents["magika"].sequence == 1
    assert found.valid_until == repository.signed[role].expires


@pytest.mark.parametrize("error", [KeyError, TypeError, ValueError, AttributeError])
def test_what_the_parser_stumbles_over_is_refused(error):
    def stumble():
        yield Wanted("metadata/2.root.json", 1)
        raise error

    check = stumble()
    step(check, None)

    with pytest.raises(UntrustedError, match="cannot be read"):
        step(check, None)
