"""The maps between a person's data and the network's range: there and back again for any rows."""

import json

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ali.data.source import Source
from ali.errors import AliError
from ali.preprocess import Pixels, Standardise, fit, from_json

FACES = st.sampled_from(["modern", "paper"])
LOW = {"modern": -1.0, "paper": 0.0}
FEW = settings(max_examples=60, deadline=None)


@st.composite
def image_shapes(draw) -> tuple[int, ...]:
    """(n, height, width) or (n, height, width, channels)."""
    n, height, width = (draw(st.integers(1, top)) for top in (3, 12, 12))
    return (n, height, width, *draw(st.sampled_from([(), (1,), (3,)])))


def there_and_back(x: np.ndarray, face: str, maximum: float | None = None) -> np.ndarray:
    prepared = fit(Source(x, maximum=maximum), face)
    rows = prepared.check(torch.from_numpy(x), "x")
    return prepared.inverse(prepared.forward(rows)).numpy()


@FEW
@given(st.data(), image_shapes(), FACES)
def test_images_of_bytes_come_back_exactly(data, shape, face):
    x = data.draw(arrays.arrays(np.uint8, shape))
    x_hat = there_and_back(x, face)
    assert x_hat.dtype == x.dtype
    assert (x_hat == x).all()


@FEW
@given(st.data(), image_shapes(), FACES)
def test_images_land_in_the_networks_range_and_layout(data, shape, face):
    x = data.draw(arrays.arrays(np.uint8, shape))
    prepared = fit(Source(x), face)
    u = prepared.forward(torch.from_numpy(x))
    low = LOW[face]
    assert u.shape == (shape[0], *prepared.network_shape)
    assert u.dtype == torch.float32
    assert low <= u.min() <= u.max() <= 1
    wanted = low + (1 - low) * np.moveaxis(x.reshape(*shape[:3], -1), 3, 1) / 255  # channels first
    np.testing.assert_allclose(u.numpy(), wanted, atol=1e-6)


@pytest.mark.parametrize("face", LOW)
@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "uint16", "int32", "int64"])
def test_pixels_of_any_whole_type_are_seen_by_the_network_and_come_back_exactly(dtype, face):
    x = (np.arange(2 * 8 * 8) % 100).reshape(2, 8, 8).astype(dtype)
    u = fit(Source(x), face).forward(torch.from_numpy(x))
    assert u.max() - u.min() >= 0.99 * (1 - LOW[face]) * 99 / 65535, "not squeezed into a point, even by the widest type"
    x_hat = there_and_back(x, face)
    assert x_hat.dtype == x.dtype
    assert (x_hat == x).all()


@FEW
@given(st.data(), FACES, st.integers(1, 300))
def test_a_stated_brightest_pixel_is_believed(data, face, maximum):
    x = data.draw(arrays.arrays(np.int16, (2, 4, 5), elements=st.integers(0, maximum)))
    assert (there_and_back(x, face, maximum) == x).all()
    u = fit(Source(x, maximum=maximum), face).forward(torch.tensor([[[0, maximum]]], dtype=torch.int16))
    torch.testing.assert_close(u.flatten(), torch.tensor([LOW[face], 1.0]))


@pytest.mark.parametrize("face", LOW)
@pytest.mark.parametrize(("brightest", "maximum"), [(1.0, 1), (0.3, 1), (255.0, 255), (1.5, 255)])
def test_pixels_in_floating_point_are_of_one_or_of_255(face, brightest, maximum):
    x = np.linspace(0, brightest, 48, dtype=np.float32).reshape(1, 4, 4, 3)
    assert fit(Source(x), face).maximum == maximum
    np.testing.assert_allclose(there_and_back(x, face), x, atol=3e-7 * maximum)


def test_pixels_in_floating_point_that_are_too_bright_for_either_are_refused():
    x = np.linspace(0, 4095, 64, dtype=np.float32).reshape(1, 8, 8)  # 12 bits
    with pytest.raises(AliError, match="4095"):
        fit(Source(x), "modern")


@FEW
@given(st.data(), FACES, st.integers(2, 8), st.integers(1, 5))
def test_rows_of_numbers_come_back(data, face, n, columns):
    numbers = st.floats(-1e6, 1e6, width=32, allow_subnormal=False)
    x = data.draw(arrays.arrays(np.float32, (n, columns), elements=numbers))
    assume((x != x[0]).any(0).all())
    x_hat = there_and_back(x, face)
    assert x_hat.dtype == x.dtype
    # Single precision, relative to the largest number of each column.
    assert (np.abs(x_hat - x) <= 4 * np.finfo(np.float32).eps * np.abs(x).max(0) + np.finfo(np.float32).tiny).all()


@FEW
@given(st.data(), FACES, st.sampled_from(["int64", "int32", "int16", "uint8"]))
def test_rows_of_whole_numbers_come_back_exactly(data, face, dtype):
    low, high = max(-20_000, np.iinfo(dtype).min), min(20_000, np.iinfo(dtype).max)
    x = data.draw(arrays.arrays(dtype, (5, 2), elements=st.integers(low, high)))
    assume((x != x[0]).any(0).all())
    x_hat = there_and_back(x, face)
    assert x_hat.dtype == x.dtype
    assert (x_hat == x).all()


def test_standardised_rows_have_mean_0_and_deviation_1():
    x = (np.random.default_rng(0).normal(size=(500, 3)) * [0.01, 1, 300] + [5, -2, 1000]).astype(np.float32)
    u = fit(Source(x), "modern").forward(torch.from_numpy(x)).double()
    torch.testing.assert_close(u.mean(0), torch.zeros(3, dtype=torch.float64), atol=1e-4, rtol=0)
    torch.testing.assert_close(u.std(0, correction=0), torch.ones(3, dtype=torch.float64), atol=1e-4, rtol=0)


def test_the_paper_leaves_rows_of_numbers_as_they_are():
    x = np.array([[5.0, -2.0], [7.0, 1000.0]], np.float32)
    assert torch.equal(fit(Source(x), "paper").forward(torch.from_numpy(x)), torch.from_numpy(x))


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
@pytest.mark.parametrize("face", LOW)
def test_a_constant_column_is_refused_by_number(dtype, face):
    x = np.stack([np.arange(3), np.full(3, 0.1 if dtype.startswith("float") else 4)], 1).astype(dtype)
    with pytest.raises(AliError, match="column 1 is constant"):
        fit(Source(x), face)


@FEW
@given(st.data(), FACES)
def test_a_map_survives_its_file(data, face):
    shape = data.draw(image_shapes() | st.tuples(st.integers(2, 5), st.integers(1, 4)))
    x = data.draw(arrays.arrays(np.uint8, shape))
    assume(len(shape) > 2 or (x != x[0]).any(0).all())
    prepared = fit(Source(x), face)
    again = from_json(json.loads(json.dumps(prepared.to_json())))
    assert again == prepared
    rows = torch.from_numpy(x)
    assert torch.equal(again.forward(rows), prepared.forward(rows))


def test_network_outputs_out_of_range_are_clipped_and_rounded():
    prepared = Pixels((1, 4), 255.0, -1.0, "uint8")
    u = torch.tensor([-7.0, -1.0, 0.0, 3.0]).reshape(1, 1, 1, 4)
    assert prepared.inverse(u).tolist() == [[[0, 0, 128, 255]]]  # 127.5 goes to the even neighbour
    assert Pixels((1, 4), 16.0, -1.0, "uint8").inverse(u).tolist() == [[[0, 0, 8, 16]]], "not beyond the data's brightest pixel"
    assert Pixels((1, 4), 1.0, 0.0, "float32").inverse(u).tolist() == [[[0, 0, 0, 1]]]
    whole = Standardise((0.0,), (100.0,), "uint8")
    assert whole.inverse(torch.tensor([[-1.0], [0.016], [9.0]])).flatten().tolist() == [0, 2, 255]


IMAGES = Pixels((4, 5), 255.0, -1.0, "uint8")
COLOURS = Pixels((4, 5, 3), 1.0, 0.0, "float32")
TABLE = Standardise((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), "float32")


def with_value(shape: tuple[int, ...], place: tuple[int, ...], value: float) -> torch.Tensor:
    x = torch.full(shape, 0.5)
    x[place] = value
    return x


@pytest.mark.parametrize(
    ("prepared", "shape", "wanted"),
    [
        (IMAGES, (2, 5, 4), "4 x 5, got 5 x 4"),
        (IMAGES, (2, 4, 5, 1), "4 x 5, got 4 x 5 x 1"),
        (IMAGES, (4, 5), "4 x 5, got 5"),
        (COLOURS, (2, 3, 4, 5), "4 x 5 x 3, got 3 x 4 x 5"),
        (COLOURS, (2, 4, 5), "4 x 5 x 3, got 4 x 5"),
        (TABLE, (2, 4), "3, got 4"),
        (TABLE, (3,), "of shape 3, got"),
    ],
)
def test_rows_of_another_shape_are_refused(prepared, shape, wanted):
    with pytest.raises(AliError, match=f"^my rows: .*{wanted}"):
        prepared.check(torch.zeros(shape), "my rows")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize(
    ("prepared", "shape", "place"), [(IMAGES, (9, 4, 5), (6, 1, 2)), (COLOURS, (9, 4, 5, 3), (6, 1, 2, 0)), (TABLE, (9, 3), (6, 2))]
)
def test_values_that_are_not_finite_are_refused_by_row(prepared, shape, place, value):
    with pytest.raises(AliError, match=r"^my rows: .*\brow 6\b"):
        prepared.check(with_value(shape, place, value), "my rows")


@pytest.mark.parametrize(("prepared", "value"), [(IMAGES, -1.0), (IMAGES, 256.0), (COLOURS, 1.01), (COLOURS, -0.01)])
def test_pixels_out_of_range_are_refused_by_row(prepared, value):
    x = with_value((9, *prepared.shape), (6, 1, 2), value)
    with pytest.raises(AliError, match=r"^my rows: .*\brow 6\b"):
        prepared.check(x, "my rows")


def test_good_rows_pass_unchanged():
    for prepared, x in (
        (IMAGES, torch.full((2, 4, 5), 255, dtype=torch.uint8)),
        (COLOURS, torch.rand(2, 4, 5, 3)),
        (TABLE, torch.randn(2, 3)),
    ):
        assert prepared.check(x, "x") is x


@pytest.mark.parametrize("prepared", [IMAGES, COLOURS, TABLE], ids=["images", "colours", "table"])
def test_no_rows_at_all_pass_and_stay_none(prepared):
    shape = getattr(prepared, "shape", prepared.network_shape)
    x = torch.zeros(0, *shape)
    assert prepared.inverse(prepared.forward(prepared.check(x, "x"))).shape == x.shape
