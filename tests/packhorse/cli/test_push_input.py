"""What cannot be released is refused before anything is sent, in a sentence."""

import io
import zipfile

import numpy as np
import pytest

from tests.models import tiny_model

X = np.ones((3, 4), np.float32)
Y = np.ones((3, 3), np.float32)


def zipped():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("data.pkl", b"weights")
    return out.getvalue()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "is empty"),
        (b"not a model\n" * 9, "is text"),
        (tiny_model()[:-30], "cut short"),
        (tiny_model()[:9], "cut short"),
        (zipped(), "is a zip archive; a PyTorch file must be exported to ONNX"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"\x1f\x8b\x08 and so on", "gzip"),
        (b"\xff" * 99, "cut short"),
    ],
    ids=["empty", "text", "cut", "head", "zip", "lfs", "gzip", "garbage"],
)
def test_what_is_no_model_is_refused_with_what_came(person, files, body, words):
    model = files.write("m.onnx", body)
    sentence = person.refused("push", model, "--name", "m", "--golden", files.golden())
    assert f"{model} must be an ONNX model" in sentence
    assert words in sentence


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"input.z": X}, "golden inputs must be those of the model, ['x'], not"),
        ({"input.x": X.astype(float)}, "golden input 'x' must be FP32, not float64"),
        ({"input.x": np.ones((3, 5), np.float32)}, "must have the shape (samples, 4)"),
        ({"input.x": X[:2]}, "same number of samples"),
        ({"output.y": np.full_like(Y, np.nan)}, "holds NaN or infinity"),
        ({"input.x": np.array([{}], dtype=object)}, "without Python objects"),
        ({"x": X}, "named input.<name> and output.<name>"),
    ],
    ids=["names", "datatype", "shape", "count", "nan", "pickle", "prefix"],
)
def test_golden_samples_that_are_not_of_the_model_are_refused(
    person, files, arrays, words
):
    golden = files.golden(1, **({"output.y": Y} | arrays))
    sentence = person.refused("push", files.model(), "--name", "m", "--golden", golden)
    assert sentence.startswith(f"{golden}: ")
    assert words in sentence


@pytest.mark.parametrize("body", [b"", b"text", zipped(), b"\x93NUMPY\x01\x00"])
def test_what_is_no_npz_is_refused(person, files, body):
    golden = files.write("g.npz", body)
    sentence = person.refused("push", files.model(), "--name", "m", "--golden", golden)
    assert sentence.startswith(f"{golden}: golden ")


@pytest.mark.parametrize("place", ["/dev/zero", "/dev/null"])
def test_what_is_no_regular_file_is_not_read(person, files, place):
    sentence = person.refused("push", place, "--name", "m", "--golden", files.golden())
    assert sentence == f"{place} must be a regular file, and is none"


def test_a_model_larger_than_a_protobuf_is_refused_before_it_is_read(person, files):
    model = files.folder / "large.onnx"
    with model.open("wb") as sparse:
        sparse.truncate(2**31)
    sentence = person.refused("push", model, "--name", "m", "--golden", files.golden())
    assert "save the weights as external data" in sentence


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--tolerance", "zz=1,1"), "an output of the model, ['y'], not 'zz'"),
        (("--tolerance", "y@arm=1,1"), "['y'], not 'y@arm'"),
        (("--licence", "MIT; rm"), "'licence' must match"),
        (("--owner", "x" * 300), "'owner' may have 200 characters"),
        (("--description", "x" * 20_000), "'description' may have"),
    ],
)
def test_a_card_that_the_cloud_would_refuse_is_refused(person, files, words, said):
    push = ("push", files.model(), "--name", "m", "--golden", files.golden())
    assert said in person.refused(*push, *words)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--name", "Tiny"), "a model's name must match"),
        (("--name", "\x1b]0;x"), r"\x1b]0;x"),
        (("--version", "0"), "is not in the range"),
        (("--tolerance", "y"), "OUTPUT=ABS,REL"),
        (("--tolerance", "y=-1,0"), "OUTPUT=ABS,REL"),
        (("--tolerance", "y=nan,0"), "OUTPUT=ABS,REL"),
        (("--tolerance", "y=1,1", "--tolerance", "y=1,1"), "given twice"),
        (("--tolerance", "y=1,1,1,1"), "OUTPUT=ABS,REL"),
        (("--tolerance", "@aarch64=1,1"), "OUTPUT=ABS,REL"),
        (("--tolerance", "y@aarch64=1,1", "--tolerance", "y@aarch64=1,1"), "twice"),
        (("--min-agreement", "0"), "is not in the range"),
        (("--max-latency-ratio", "-1"), "is not in the range"),
        (("--min-requests", "5"), "--min-requests needs --min-agreement"),
        (("--registry", "models"), "HOST/PROJECT/REPOSITORY"),
        (("--registry", "https://u:p@host/a/b"), "HOST/PROJECT/REPOSITORY"),
        (("--registry", "host:99999/a/b"), "HOST/PROJECT/REPOSITORY"),
        (("--registry", "http://[::1/a/b"), "HOST/PROJECT/REPOSITORY"),
        (("--registry", "x" * 10_000 + "/a"), "HOST/PROJECT/REPOSITORY"),
        (("--operate-url", "operate"), "https://HOST/PATH"),
        (("--golden", "/nowhere.npz"), "does not exist"),
        (("--external-data", "/nowhere.bin"), "does not exist"),
    ],
)
def test_a_wrong_option_says_how_it_is_written(person, files, words, said):
    push = ("push", files.model(), "--name", "m", "--golden", files.golden())
    assert said in person.misused(*push, *words)


def test_watching_needs_someone_to_ask(person, files):
    push = ("push", files.model(), "--name", "m", "--golden", files.golden())
    said = person.misused(*push, "--watch", PACKHORSE_OPERATE_URL="")
    assert "--watch needs --operate-url" in said
