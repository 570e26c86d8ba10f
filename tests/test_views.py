"""Moved copies of images, against the map that is written over them; neighbours, against their formula."""

import math

import pytest
import torch

from ali.views import moved, neighbours


def test_a_copy_that_does_not_move_is_the_image():
    x = torch.randn(3, 2, 9, 9)
    torch.testing.assert_close(moved(x, turn=0.0, shift=0.0, scale=0.0), x, atol=1e-5, rtol=0)


def test_a_ramp_shows_by_how_much_it_moved():
    # Along a ramp brightness is position, in the grid's unit of half an image; away from the edges it is interpolated exactly.
    size = 33
    place = (2 * torch.arange(size) + 1) / size - 1
    ramps = torch.stack([place.expand(size, size), place[:, None].expand(size, size)])[None].repeat(200, 1, 1, 1)
    torch.manual_seed(0)
    shift = moved(ramps, turn=0.0, scale=0.0, shift=0.1)[:, :, 16, 16]
    assert 0.15 < shift.abs().max() <= 0.2 + 1e-6  # a tenth of the image is 0.2 of its halves
    assert shift.mean(0).abs().max() < 0.03
    assert shift.std(0).min() > 0.09  # uniform: 0.2 / sqrt 3
    grown = moved(ramps, turn=0.0, scale=0.1, shift=0.0)
    slope = (grown[:, 0, 16, 20] - grown[:, 0, 16, 12]) / (place[20] - place[12])
    assert 0.9 - 1e-5 <= slope.min() < 0.92
    assert 1.08 < slope.max() <= 1.1 + 1e-5


def test_each_image_moves_by_itself_and_all_its_maps_together():
    x = torch.randn(1, 1, 16, 16).repeat(5, 3, 1, 1)
    torch.manual_seed(0)
    copies = moved(x)
    assert all((copies[i] - copies[j]).abs().max() > 0.05 for i in range(5) for j in range(i))
    torch.testing.assert_close(copies[:, 0], copies[:, 2])


def test_neighbours_are_near_by_the_measure_of_the_nearest():
    x = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]], dtype=torch.float64)  # squared distances 1, 4 and 5
    p = neighbours(x, sharpness=1.0)
    for i, (j, k), ratio in ((0, (1, 2), 4.0), (1, (0, 2), 5.0), (2, (0, 1), 1.25)):
        assert p[i, j].item() == pytest.approx(1 / (1 + math.exp(1 - ratio)))
        assert p[i, k].item() == pytest.approx(1 - p[i, j].item())
    assert p.diagonal().abs().max() == 0
    images = torch.randn(7, 3, 8, 8)
    torch.testing.assert_close(neighbours(images), neighbours(100 * images), rtol=1e-4, atol=1e-5)


def test_neighbours_of_equal_rows_and_of_a_row_alone_are_numbers():
    x = torch.tensor([[1.0, 2.0], [1.0, 2.0], [5.0, 6.0]])
    torch.testing.assert_close(neighbours(x)[:2], torch.eye(3)[[1, 0]])
    torch.testing.assert_close(neighbours(torch.ones(3, 2)), (1 - torch.eye(3)) / 2)
    assert neighbours(x[:1]).tolist() == [[1.0]]
