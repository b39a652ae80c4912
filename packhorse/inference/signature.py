"""What a model takes and gives, as the protocols' codecs need it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from packhorse.inference.layout import Layout
from packhorse.manifest import TensorSpec

Arrays = Mapping[str, np.ndarray]

LAYOUTS_MAX = 256
"""Shapes remembered for a model: a few for each batch size; about 0.3 MB."""


@dataclass(frozen=True, slots=True)
class Signature:
    """A model's tensors, in the model's order.

    Attributes:
        inputs: What it takes, by name.
        outputs: What it gives, by name.
        optional: Names of inputs that may be left out.
        layouts: What was found out about the tensors of earlier requests, by
            what they say of themselves. A cache: it changes nothing but time.
    """

    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]
    optional: frozenset[str] = frozenset()
    layouts: dict[object, Layout] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def remember(self, key: object, layout: Layout) -> None:
        """Keep a layout; when there are too many, all are forgotten at once."""
        if len(self.layouts) >= LAYOUTS_MAX:
            self.layouts.clear()
        self.layouts[key] = layout

    def missing(self, given: Mapping[str, object]) -> str | None:
        """Return the first input that must be given and is not."""
        for name in self.inputs:
            if name not in given and name not in self.optional:
                return name
        return None
