"""Where rows come from: data sets that need no file, splitting, and the stream of batches."""

from collections import Counter
from itertools import chain, islice

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare, kstest
from sklearn.datasets import load_digits

from ali.data.digits import digits
from ali.data.mixtures import SHAPES, SIGMA, centres, mixture
from ali.data.source import Batch, Source, split, stream
from ali.errors import AliError

GREY = np.random.default_rng(0).integers(0, 256, (20, 6, 5), dtype=np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (20, 6, 5, 3), dtype=np.uint8)
ROWS = np.random.default_rng(2).normal(size=(20, 3)).astype(np.float32)


def numbered(n: int, labels: bool = True) -> Source:
    """Rows that carry their own number, as x and as y."""
    return Source(np.arange(n, dtype=np.float32)[:, None], np.arange(n) if labels else None)


def sorted_rows(*parts: np.ndarray) -> list:
    """The rows of some arrays together, in an order of their own."""
    return sorted(np.concatenate(parts).reshape(sum(map(len, parts)), -1).tolist())


# Data sets that need no file.


def test_digits_are_those_of_scikit_learn():
    train, test = digits()
    bunch = load_digits()
    assert (len(train), len(test)) == (1397, 400)
    assert train.x.shape[1:] == (8, 8)
    assert (train.x.dtype, train.y.dtype) == (np.uint8, np.int64)
    assert train.x.max() == test.x.max() == train.maximum == test.maximum == 16
    assert train.classes == tuple("0123456789")
    labelled = [np.c_[part.x.reshape(len(part), -1), part.y] for part in (train, test)]
    assert sorted_rows(*labelled) == sorted_rows(np.c_[bunch.data, bunch.target])


def test_digits_can_hold_out_another_share():
    train, test = digits(hold_out=0.5)
    assert (len(train), len(test)) in ((899, 898), (898, 899))


def test_centres_of_the_grid_and_of_the_rings():
    grid = [(a, b) for a in (-4, -2, 0, 2, 4) for b in (-4, -2, 0, 2, 4)]
    assert sorted(map(tuple, centres("grid").tolist())) == sorted(grid)
    rings = centres("rings")
    assert Counter(np.linalg.norm(rings, axis=1).round(9).tolist()) == {2.0: 8, 4.0: 16}
    for radius, n in ((2, 8), (4, 16)):
        angles = np.sort(np.arctan2(*rings[np.isclose(np.linalg.norm(rings, axis=1), radius)].T))
        np.testing.assert_allclose(np.diff(angles), 2 * np.pi / n)


def test_centres_of_the_spirals_lie_on_two_opposite_arms():
    spirals = centres("spirals")
    np.testing.assert_allclose(sorted_rows(spirals), sorted_rows(-spirals), atol=1e-12)
    for arm in (spirals[:12], spirals[12:]):
        assert (np.diff(np.linalg.norm(arm, axis=1)) > 0).all(), "outwards"
        turned = np.unwrap(np.arctan2(arm[:, 1], arm[:, 0]))
        assert turned[-1] - turned[0] == pytest.approx(2 * np.pi)


@pytest.mark.parametrize(("shape", "k"), [("grid", 25), ("rings", 24), ("spirals", 24)])
def test_mixtures_have_the_density_that_they_state(shape, k):
    train, test = mixture(shape, n=50_000)
    means = centres(shape)
    assert means.shape == (k, 2)
    gaps = np.linalg.norm(means[:, None] - means[None], axis=2) + 10 * np.eye(k)
    assert gaps.min() > 6 * SIGMA, "components stand apart"
    assert (len(train), len(test)) == (50_000, 10_000)
    assert (train.x.dtype, len(train.classes)) == (np.float32, k)
    for part in (train, test):
        assert chisquare(np.bincount(part.y, minlength=k)).pvalue > 1e-3
        noise = (part.x - means[part.y]) / 0.05
        assert all(kstest(column, "norm").pvalue > 1e-3 for column in noise.T)
        assert np.cov(noise.T) == pytest.approx(np.eye(2), abs=4 * np.sqrt(2 / len(part)))
        nearest = np.linalg.norm(part.x[:, None] - means[None], axis=2).argmin(1)
        assert (nearest == part.y).all()


def test_mixtures_are_drawn_from_their_seed():
    again, other = mixture(n=100), mixture(n=100, data_seed=1)
    first = mixture(n=100)
    assert np.array_equal(first.train.x, again.train.x)
    assert np.array_equal(first.test.x, again.test.x)
    assert not np.isin(first.train.x, other.train.x).any()
    assert not np.isin(first.train.x, first.test.x).all(1).any()


def test_unknown_mixtures_and_empty_ones_are_refused():
    with pytest.raises(AliError, match=f"'ring'.*{', '.join(SHAPES)}"):
        mixture("ring")
    with pytest.raises(AliError, match="at least 1, got 0"):
        mixture(n=0)


# Splitting.


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 300), st.floats(0.001, 0.999), st.integers(0, 5))
def test_a_split_is_disjoint_complete_and_always_the_same(n, hold_out, seed):
    train, test = split(numbered(n), hold_out, seed)
    assert len(train) >= 1
    assert len(test) >= 1
    assert abs(len(test) - hold_out * n) <= 1
    assert sorted(np.r_[train.x[:, 0], test.x[:, 0]].tolist()) == list(range(n))
    for part in (train, test):
        assert np.array_equal(part.x[:, 0], part.y), "labels stay with their rows"
        assert (np.diff(part.y) > 0).all(), "in the order of the file"
    again = split(numbered(n), hold_out, seed)
    assert np.array_equal(train.x, again.train.x)


def test_a_split_is_drawn_at_random():
    held = [split(numbered(1000), 0.3, seed).test.y for seed in range(2)]
    assert not np.array_equal(*held)
    counts = np.histogram(held[0], bins=10, range=(0, 1000))[0]
    assert chisquare(counts).pvalue > 1e-3


def test_a_split_keeps_classes_and_brightest_pixel():
    source = Source(GREY, np.zeros(20, np.int64), ("only",), maximum=300)
    for part in split(source, 0.5):
        assert (part.classes, part.maximum) == (("only",), 300)
    assert split(numbered(5, labels=False), 0.5).train.y is None


@pytest.mark.parametrize("hold_out", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_a_share_that_is_none_is_refused(hold_out):
    with pytest.raises(AliError, match="hold_out"):
        split(numbered(10), hold_out)


@pytest.mark.parametrize("n", [0, 1])
def test_data_that_can_not_be_split_are_refused(n):
    with pytest.raises(AliError, match=rf"{n} row\(s\).*at least 2"):
        split(numbered(n), 0.5)


def test_a_fingerprint_knows_every_value_the_shape_and_the_type():
    changed = GREY.copy()
    changed[-1, -1, -1] ^= 1
    kinds = [GREY, changed, GREY[::-1], GREY.reshape(20, 5, 6), GREY.view(np.int8), GREY[:-1]]
    assert len({Source(x).fingerprint() for x in kinds}) == len(kinds)
    assert Source(GREY).fingerprint() == Source(np.asfortranarray(GREY)).fingerprint() == Source(GREY.copy()).fingerprint()


# The stream of batches.


def take(source: Source, batch_size: int, seed: int, steps: int, start: int = 0, **options) -> list[Batch]:
    return list(islice(stream(source, batch_size, seed, start, **options), steps))


def numbers(batches: list[Batch]) -> list[list[float]]:
    return [batch.x[:, 0].tolist() for batch in batches]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 3), st.integers(0, 60))
def test_a_stream_visits_each_row_at_most_once_per_epoch_and_can_start_anywhere(n, batch_size, seed, start):
    batch_size = min(batch_size, n)
    per_epoch = n // batch_size
    batches = numbers(take(numbered(n), batch_size, seed, 3 * per_epoch))
    assert all(len(batch) == batch_size for batch in batches)
    for epoch in range(3):
        seen = list(chain(*batches[epoch * per_epoch : (epoch + 1) * per_epoch]))
        assert len(set(seen)) == len(seen) == per_epoch * batch_size
    later = numbers(take(numbered(n), batch_size, seed, 2, start=start))
    assert later == numbers(take(numbered(n), batch_size, seed, start + 2))[start:]


def test_epochs_and_seeds_have_orders_of_their_own():
    batches = numbers(take(numbered(100), 100, 0, 3))
    others = numbers(take(numbered(100), 100, 1, 3))
    assert len({tuple(order) for order in batches + others}) == 6
    assert all(sorted(order) == list(range(100)) for order in batches + others)


def test_every_row_is_left_out_of_some_epoch_and_none_of_all():
    left = [set(range(10)) - set(chain(*numbers(take(numbered(10), 4, 0, 2, start=2 * epoch)))) for epoch in range(40)]
    assert all(len(rows) == 2 for rows in left)
    assert set.union(*left) == set(range(10))


def test_labels_stay_with_their_rows_and_rows_are_transformed():
    for batch in take(numbered(30), 7, 0, 6, transform=lambda x: 10 * x + 1):
        torch.testing.assert_close(batch.x[:, 0], 10.0 * batch.y + 1)
        assert batch.y.dtype == torch.int64
    assert take(numbered(30, labels=False), 7, 0, 1)[0].y is None


def test_batches_have_the_datas_own_type_and_shape_before_they_are_transformed():
    batch = take(Source(COLOUR), 4, 0, 1)[0]
    assert (batch.x.dtype, batch.x.shape) == (torch.uint8, (4, 6, 5, 3))
    assert take(Source(GREY), 4, 0, 1, device="meta")[0].x.device.type == "meta"


def test_rows_that_may_not_be_written_to_can_be_streamed():
    x = ROWS.copy()
    x.setflags(write=False)
    assert take(Source(x), 4, 0, 1)[0].x.shape == (4, 3)
