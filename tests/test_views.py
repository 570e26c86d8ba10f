"""Moved copies of images, against the map that is written over them."""

import torch

from ali.views import moved


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
