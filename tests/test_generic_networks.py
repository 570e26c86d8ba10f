"""Networks for anybody's data: rows for images of every size, and fully connected ones."""

import math

import pytest
import torch
from test_build import numel

from ali import recipes
from ali.errors import AliError
from ali.table import build
from ali.tables import generic


@pytest.mark.parametrize(("channels", "compact"), [(1, False), (3, False), (1, True)])
def test_generic_networks_fit_together_at_every_size(channels, compact):
    codes, width, latent = 10, 1, 5
    for size in range(8, 129):
        shape, rows = (channels, size, size), generic.image((channels, size, size), codes, width, compact=compact)
        assert 4 <= rows.G_z[-2].kernel <= 7, "halved down to 4 to 7 pixels"
        assert rows.G_z[-2].kernel == size >> (len(rows.G_z) - 2)
        e, g = build(rows.G_z, shape, (codes,)), build(rows.G_x, (latent, 1, 1), shape)
        d_x, d_z = build(rows.D_x, shape), build(rows.D_z, (latent, 1, 1))
        d_xz = build(rows.D_xz, (d_x.size + d_z.size, 1, 1), (1, 1, 1), logits=True)
        with torch.no_grad():
            x, z = torch.rand(1, *shape), torch.randn(1, latent)
            joined = torch.cat([d_x(x), d_z(z)], 1)
            assert (e(x).shape, g(z).shape, d_xz(joined).shape) == ((1, codes), (1, *shape), (1, 1, 1, 1)), size


@pytest.mark.parametrize("size", [8, 9, 15, 28, 33, 64, 127, 128])
@pytest.mark.parametrize(("face", "channels", "low"), [("modern", 1, -1), ("paper", 3, 0)])
def test_generic_networks_run(size, face, channels, low):
    torch.manual_seed(0)
    spec = recipes.Spec((channels, size, size), mean=torch.full((channels, size, size), 0.5) if face == "paper" else None)
    game = recipes.ali(spec, face=face, networks="conv", latent=4, width=2, penalty=0.0, penalty_end=0.0).game
    x, z = torch.rand(3, channels, size, size), torch.randn(3, 4)
    with torch.no_grad():
        assert game.encoder(x).mean.shape == z.shape
        x_tilde = game.decoder(z).mean
        rho = game.discriminator(x, z)
    assert x_tilde.shape == x.shape
    assert low <= x_tilde.min() < x_tilde.max() <= 1
    assert rho.shape == (3,)
    assert rho.unique().numel() == 3, "D sees its input"


def test_generic_rows_double_their_maps_up_to_eight_times():
    rows = generic.image((3, 128, 128), 64, 4)
    assert [row.maps for row in rows.G_z] == [4, 8, 16, 32, 32, 64, 64]
    assert [row.maps for row in rows.G_x] == [32, 32, 16, 8, 4, 4, 3]
    assert [row.kernel for row in generic.image((3, 33, 33), 64, 4).G_z] == [5, 4, 4, 4, 1]


@pytest.mark.parametrize("shape", [(1, 7, 7), (3, 129, 129), (3, 32, 28), (1, 28, 32), (1, 1, 1), (1, 8, 7)])
def test_images_that_are_too_small_too_large_or_not_square_are_refused(shape):
    words = f"square, 8 to 128 pixels wide: got {shape[1]} x {shape[2]}"
    with pytest.raises(AliError, match=words):
        generic.image(shape, 8)
    with pytest.raises(AliError, match=words):
        recipes.ali(recipes.Spec(shape), networks="conv")


def test_convolutions_refuse_vectors():
    with pytest.raises(AliError, match="mlp"):
        recipes.ali(recipes.Spec((12,)), networks="conv")


@pytest.mark.parametrize("shape", [(7,), (1, 5, 3), (3, 8, 8)])
@pytest.mark.parametrize("frequencies", [(), (1.0, 2.0)])
def test_fully_connected_networks_fit_vectors_and_images(shape, frequencies):
    size, latent, width, depth = math.prod(shape), 3, 6, 3
    game = recipes.ali(
        recipes.Spec(shape),
        networks="mlp",
        latent=latent,
        width=width,
        depth=depth,
        frequencies_x=frequencies,
        frequencies_z=frequencies[:1],
    ).game
    x, z = torch.rand(4, *shape), torch.randn(4, latent)
    assert game.encoder(x).mean.shape == z.shape
    assert game.decoder(z).mean.shape == x.shape
    assert game.discriminator(x, z).shape == (4,)
    between = (depth - 1) * (width + 1) * width
    seen_x, seen_z = (5 * size, 3 * latent) if frequencies else (size, latent)  # each frequency adds a sine and a cosine
    assert numel(game.encoder) == (seen_x + 1) * width + between + (width + 1) * 2 * latent
    assert numel(game.decoder) == (seen_z + 1) * width + between + (width + 1) * size
    assert numel(game.discriminator) == (seen_x + latent + 1) * width + between + width + 1
