"""Google's file-type model `magika`: two real versions, and its features.

The models lie in the wheels that `make demo` installed into the cache; the
features follow the model's own `config.min.json`.

Source: magika 1.0.1, `config.min.json` and the features "v2" of its documentation
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime  # type: ignore[import-untyped]  # it ships none

INPUT = "bytes"
OUTPUT = "target_label"


@dataclass(frozen=True, slots=True)
class MagikaVersion:
    """One version of the model, as its wheel carries it.

    Attributes:
        folder: Holds `model.onnx` and `config.min.json`.
    """

    folder: Path

    @property
    def model(self) -> Path:
        """Return the file of the ONNX model."""
        return self.folder / "model.onnx"

    def config(self) -> "MagikaConfig":
        """Read how bytes become features, and what the outputs are called."""
        document = json.loads((self.folder / "config.min.json").read_bytes())
        if document["mid_size"] or document["use_inputs_at_offsets"]:
            raise ValueError(f"{self.folder} asks for features that are not made here")
        return MagikaConfig(
            head=document["beg_size"],
            tail=document["end_size"],
            block=document["block_size"],
            padding=document["padding_token"],
            labels=tuple(document["target_labels_space"]),
        )


@dataclass(frozen=True, slots=True)
class MagikaConfig:
    """How bytes become features.

    Attributes:
        head: Features taken from the file's beginning.
        tail: Features taken from its end.
        block: Bytes looked at, at either end, before white space goes.
        padding: The feature that stands where there is no byte.
        labels: What each output is called.
    """

    head: int
    tail: int
    block: int
    padding: int
    labels: tuple[str, ...]

    def features(self, content: bytes) -> np.ndarray:
        """Turn one file into the model's input, int32 of shape (head + tail,)."""
        head = list(content[: self.block].lstrip()[: self.head])
        tail = list(content[-self.block :].rstrip()[-self.tail :])
        head += [self.padding] * (self.head - len(head))
        tail = [self.padding] * (self.tail - len(tail)) + tail
        return np.array(head + tail, dtype=np.int32)

    def label(self, scores: np.ndarray) -> str:
        """Return the name of the likeliest type for scores of shape (labels,)."""
        return self.labels[int(np.argmax(scores))]


def find_versions(cache: Path) -> tuple[MagikaVersion, MagikaVersion]:
    """Return `standard_v3_2` and `standard_v3_3` out of the cache.

    Raises:
        FileNotFoundError: The cache does not hold them; the message says what to do.
    """
    found = []
    for wheel, name in (("0.6.1", "standard_v3_2"), ("1.0.1", "standard_v3_3")):
        folder = cache / f"magika-{wheel}" / "magika" / "models" / name
        if not (folder / "model.onnx").is_file():
            raise FileNotFoundError(
                f"the model {name} of magika {wheel} is not in {cache}: "
                "`make demo` downloads it, which needs the network once"
            )
        found.append(MagikaVersion(folder))
    return found[0], found[1]


def infer(model: bytes, features: np.ndarray) -> np.ndarray:
    """Run the model with onnxruntime directly, one file at a time.

    Args:
        model: The ONNX file's bytes.
        features: int32 of shape (files, 2048).

    Returns:
        Scores, float32 of shape (files, labels).
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        model, options, providers=["CPUExecutionProvider"]
    )
    rows = [session.run([OUTPUT], {INPUT: row[None]})[0] for row in features]
    return np.concatenate(rows)


def stack_features(config: MagikaConfig, files: Sequence[bytes]) -> np.ndarray:
    """Return the features of several files, int32 of shape (files, 2048)."""
    return np.stack([config.features(content) for content in files])
