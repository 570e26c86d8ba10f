"""MATLAB files against scipy, which writes them."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.io import loadmat, savemat

from ali.data import matlab

KINDS = st.sampled_from(["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"])


@settings(max_examples=60, deadline=None)
@given(
    KINDS.flatmap(lambda kind: hnp.arrays(kind, hnp.array_shapes(min_dims=2, max_dims=5, min_side=0, max_side=5))),
    st.sampled_from(["X", "a_name_of_more_than_eight_letters"]),
    st.booleans(),
)
def test_arrays_of_numbers_are_those_of_scipy(tmp_path_factory, x, name, packed):
    file = tmp_path_factory.getbasetemp() / "x.mat"
    savemat(file, {"before": "a word", name: x, "cell": np.array([1, "a"], object), "s": {"t": 1}}, do_compression=packed)
    found = matlab.read(file, {name, "absent"})
    known = loadmat(file)[name]
    assert found.keys() == {name}
    np.testing.assert_array_equal(found[name], known, strict=True)
    np.testing.assert_array_equal(found[name], x)


@pytest.mark.parametrize("packed", [False, True])
def test_a_large_array_is_read_whole(tmp_path, packed):
    x = np.random.default_rng(0).integers(0, 256, (32, 32, 3, 700), dtype=np.uint8)  # 2 MiB
    savemat(tmp_path / "x.mat", {"X": x}, do_compression=packed)
    np.testing.assert_array_equal(matlab.read(tmp_path / "x.mat", {"X"})["X"], x)


def test_big_endian_files_and_whole_numbers_stored_small(tmp_path):
    """By hand, as the format says: a double array (class 6) of two bytes (type 2) in a tag of its own, big-endian."""
    flags = b"\0\0\0\x06\0\0\0\x08" + b"\0\0\0\x06" + bytes(4)
    content = flags + b"\0\0\0\x05\0\0\0\x08\0\0\0\x02\0\0\0\x01" + b"\0\x01\0\x01y\0\0\0" + b"\0\x02\0\x02\x07\x0a\0\0"
    head = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x01\x00MI"
    (tmp_path / "x.mat").write_bytes(head + b"\0\0\0\x0e" + len(content).to_bytes(4, "big") + content)
    y = matlab.read(tmp_path / "x.mat", {"y"})["y"]
    np.testing.assert_array_equal(y, np.array([[7.0], [10.0]]), strict=True)
    np.testing.assert_array_equal(loadmat(tmp_path / "x.mat")["y"], y)


@pytest.mark.parametrize("value", ["word", np.array([1j]), np.array([1, "a"], object), {"a": 1}], ids=["text", "complex", "cell", "struct"])
def test_what_is_no_array_of_real_numbers_is_refused(tmp_path, value):
    savemat(tmp_path / "x.mat", {"X": value})
    with pytest.raises(ValueError, match="X holds no real numbers"):
        matlab.read(tmp_path / "x.mat", {"X"})


@pytest.mark.parametrize("packed", [False, True])
def test_a_damaged_file_is_read_or_refused_and_never_a_crash(tmp_path, packed):
    file, written = tmp_path / "x.mat", io.BytesIO()
    savemat(written, {"X": np.arange(24, dtype=np.uint8).reshape(2, 3, 4), "y": np.array([[1.0], [300.0]])}, do_compression=packed)
    content, raw, read = written.getvalue(), {}, 0
    for place in range(120, len(content)):
        flipped = [content[:place] + bytes([content[place] ^ flip]) + content[place + 1 :] for flip in (0x01, 0xFF)]
        for damaged in (*flipped, content[:place]):
            file.write_bytes(damaged)
            try:
                matlab.read(file, {"X", "y"})
                read += 1
            except (ValueError, matlab.zlib.error):
                continue
            except Exception as error:
                raw[type(error)] = f"byte {place}: {error}"
    assert raw == {}
    assert read > 0
