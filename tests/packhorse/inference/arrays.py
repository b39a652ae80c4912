"""Arrays of every datatype, for properties."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as np_st

from packhorse.inference.datatypes import numpy_type
from packhorse.manifest import DATATYPES

TEXT = st.text(st.characters(codec="utf-8"), max_size=5)


@st.composite
def arrays(draw, *, datatypes=DATATYPES, min_dims=0, is_finite=False):
    """Draw an array; BF16 is drawn as FP32, and text as Python's."""
    datatype = draw(st.sampled_from(sorted(datatypes)))
    shape = draw(
        np_st.array_shapes(min_dims=min_dims, max_dims=4, min_side=0, max_side=4)
    )
    if datatype == "BYTES":
        return draw(np_st.arrays(np.dtype(object), shape, elements=TEXT))
    dtype = numpy_type("FP32" if datatype == "BF16" else datatype)
    array = draw(np_st.arrays(dtype, shape))
    if datatype == "BF16":
        with np.errstate(over="ignore", invalid="ignore"):
            array = array.astype(numpy_type("BF16"))
    if is_finite and array.dtype.kind in "fV":
        array = np.where(np.isfinite(array), array, array.dtype.type(1))
    return array


def is_same(one, other):
    """Say whether two arrays agree bit by bit, or text by text."""
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    if one.dtype.kind == "O":
        return one.tolist() == other.tolist()
    return one.tobytes() == other.tobytes()
