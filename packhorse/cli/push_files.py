"""The files of a push, checked before any of them is sent.

What the cloud would refuse minutes later is refused here at once, in plain
words. The cloud believes none of it and checks again.
"""

import hashlib
import io
import re
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from packhorse.bundle import BUNDLE_MAX_BYTES
from packhorse.cli.model_file import ModelFacts, read_model
from packhorse.comparison import check_tolerances
from packhorse.errors import LimitExceededError, MalformedError
from packhorse.golden import check_golden, read_golden
from packhorse.manifest import (
    GOLDEN_FILE,
    MANIFEST_FILE,
    MEMBER_NAME,
    MODEL_FILE,
)
from packhorse.model_card import ModelCard, decode_card, encode_card
from packhorse.pushed_model import CARD_FILE, LAYERS_MAX, Layer, Role
from packhorse.tolerance import ARCHITECTURES, DEFAULT_TOLERANCE, Tolerance

_ROLES = {MODEL_FILE: Role.MODEL, GOLDEN_FILE: Role.GOLDEN, CARD_FILE: Role.CARD}


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """What the engineer has: a model, its golden samples, perhaps more weights."""

    model: Path
    golden: Path
    external_data: tuple[Path, ...]

    def all(self) -> tuple[Path, ...]:
        """Return every file."""
        return (self.model, self.golden, *self.external_data)


@dataclass(frozen=True, slots=True)
class Push:
    """What goes into the registry, by the name that it has there.

    Attributes:
        bodies: A file, or the bytes themselves.
    """

    card: ModelCard
    bodies: Mapping[str, Path | bytes]
    layers: tuple[Layer, ...]

    def open(self, name: str) -> BinaryIO:
        """Open one of the bodies, from its beginning."""
        return _open(self.bodies[name])


def prepare_push(card: ModelCard, files: ModelFiles) -> Push:
    """Check the files against one another and the card, and take their digests.

    Raises:
        MalformedError: They are no release, whatever the registry holds.
    """
    for path in files.all():
        _check_regular(path)
    card_body = encode_card(card)
    decode_card(card_body)
    facts = read_model(files.model)
    _check_external_data(facts, files)
    _check_golden(facts, files.golden)
    check_tolerances(card.tolerances, facts.outputs)
    bodies: dict[str, Path | bytes] = {
        MODEL_FILE: files.model,
        GOLDEN_FILE: files.golden,
        CARD_FILE: card_body,
    }
    bodies |= {path.name: path for path in files.external_data}
    layers = tuple(_layer(name, body) for name, body in bodies.items())
    _check_size(layers)
    return Push(card, bodies, layers)


def parse_tolerances(options: Iterable[str]) -> dict[str, Tolerance]:
    """Read tolerances, each written as OUTPUT[@ARCH]=ABS,REL[,MARGIN]."""
    general: dict[str, Tolerance] = {}
    special: dict[str, dict[str, Tolerance]] = {}
    for option in options:
        place, _, numbers = option.rpartition("=")
        name, architecture = _split(place)
        into = special.setdefault(name, {}) if architecture else general
        key = architecture or name
        if key in into:
            raise MalformedError(f"the tolerance of {place[:80]!r} is given twice")
        into[key] = _parse_numbers(option, name, numbers)
    return {
        name: replace(
            general.get(name, DEFAULT_TOLERANCE), architectures=special.get(name, {})
        )
        for name in general | special
    }


def _split(place: str) -> tuple[str, str]:
    """Part the name of an output from that of an architecture, where it has one."""
    name, _, architecture = place.rpartition("@")
    return (name, architecture) if architecture in ARCHITECTURES else (place, "")


def _parse_numbers(option: str, name: str, numbers: str) -> Tolerance:
    try:
        absolute, relative, *margin = (float(number) for number in numbers.split(","))
        if name and len(margin) <= 1:
            return Tolerance(absolute, relative, margin[0] if margin else None)
    except (ValueError, MalformedError) as error:
        raise _no_tolerance(option) from error
    raise _no_tolerance(option)


def _no_tolerance(option: str) -> MalformedError:
    return MalformedError(
        "a tolerance is written as OUTPUT=ABS,REL or OUTPUT@ARCH=ABS,REL,MARGIN with "
        f"numbers from 0 on and one of {', '.join(ARCHITECTURES)}, for example "
        f"scores=1e-4,1e-3, not {option[:80]!r}"
    )


def _check_regular(path: Path) -> None:
    """Refuse what has no end, or waits for someone to write."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise MalformedError(f"{path} must be a regular file, and is none")


def _check_external_data(facts: ModelFacts, files: ModelFiles) -> None:
    """Refuse weights that are missing, too many, or called as they may not be."""
    names = [path.name for path in files.external_data]
    for name in sorted(facts.locations.union(names)):
        _check_name(name)
    if len(set(names)) != len(names):
        raise MalformedError("two files of weights cannot have the same name")
    missing = sorted(facts.locations.difference(names))
    if missing:
        options = " ".join(f"--external-data {name}" for name in missing[:5])
        raise MalformedError(
            f"{files.model} keeps weights in {len(missing)} other "
            f"file{'s' * (len(missing) > 1)}; push them too: {options}"
        )
    strange = sorted(set(names) - facts.locations)
    if strange:
        raise MalformedError(
            f"{files.model} keeps no weights in {strange[0]}; leave it out"
        )


def _check_name(name: str) -> None:
    if re.fullmatch(MEMBER_NAME, name) is None or name in {*_ROLES, MANIFEST_FILE}:
        raise MalformedError(
            "a file of weights has a plain name of letters, digits, '.', '_' and '-' "
            f"that is not taken, and is not called {name[:200]!r}; save the model "
            "again with another location for its external data"
        )


def _check_golden(facts: ModelFacts, path: Path) -> None:
    try:
        with path.open("rb") as stream:
            samples = read_golden(stream)
        check_golden(samples, facts.inputs, facts.outputs)
    except MalformedError as error:
        raise MalformedError(f"{path}: {error}") from error


def _check_size(layers: tuple[Layer, ...]) -> None:
    if len(layers) > LAYERS_MAX:
        raise LimitExceededError(
            f"a release may have {LAYERS_MAX} files, these are {len(layers)}"
        )
    length_bytes = sum(layer.length_bytes for layer in layers)
    if length_bytes > BUNDLE_MAX_BYTES:
        raise LimitExceededError(
            f"a release may have {BUNDLE_MAX_BYTES:,} bytes, this one has "
            f"{length_bytes:,}"
        )


def _layer(name: str, body: Path | bytes) -> Layer:
    with _open(body) as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        length_bytes = stream.seek(0, io.SEEK_END)
    role = _ROLES.get(name, Role.EXTERNAL_DATA)
    return Layer(role, name, f"sha256:{digest}", length_bytes)


def _open(body: Path | bytes) -> io.BytesIO | io.BufferedReader:
    return io.BytesIO(body) if isinstance(body, bytes) else body.open("rb")
