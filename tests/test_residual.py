"""Residual networks: the block by hand, the sizes, the games that are played with them, and that they learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import ali
from ali import games
from ali.data.source import Batch
from ali.errors import AliError
from ali.layers import Residual
from ali.recipes import RECIPES, Spec
from ali.table import build, residual, tresidual
from ali.tables.residual import image
from ali.train import play

SMALL = {"networks": "residual", "latent": 2, "width": 4, "batch_size": 6, "epochs": 1}
LABELS = (np.arange(60) % 3).astype(np.int64)


@pytest.mark.parametrize(("row", "size", "to"), [
    (residual(3, 1, 5, 0.0, "lrelu", padding=1), 8, 8),
    (residual(4, 2, 5, 0.0, "lrelu", padding=1), 8, 4),
    (residual(5, 2, 5, 0.0, "lrelu", padding=1), 9, 4),
    (tresidual(4, 2, 5, 0.0, "lrelu", padding=1), 4, 8),
    (tresidual(5, 2, 5, 0.0, "lrelu", padding=1), 4, 9),
])  # fmt: skip
def test_a_row_is_two_convolutions_around_a_resampled_shortcut(row, size, to):
    torch.manual_seed(0)
    network = build((row,), (3, size, size), (5, to, to), sigma=None, slope=0.2)
    (block,) = network
    assert isinstance(block, Residual)
    for p in network.parameters():
        nn.init.normal_(p, std=0.3)
    first, _, second = block.branch  # pyrefly: ignore
    x = torch.randn(2, 3, size, size)
    if row.operation == "residual":
        a = F.conv2d(x, first.weight, first.bias, row.stride, 1)
        branch = F.conv2d(torch.where(a > 0, a, 0.2 * a), second.weight, second.bias, padding=1)
    else:
        a = F.conv2d(x, first.weight, first.bias, padding=1)
        branch = F.conv_transpose2d(torch.where(a > 0, a, 0.2 * a), second.weight, second.bias, row.stride, 1)
    mixed = torch.einsum("oi,nihw->nohw", block.shortcut.weight[:, :, 0, 0], x)
    if size > to:  # means of squares of stride x stride; the last row and column of an odd size belong to none
        mixed = mixed[:, :, : 2 * to, : 2 * to].unflatten(3, (to, 2)).unflatten(2, (to, 2)).mean((3, 5))
    elif size < to:
        places = (torch.arange(to) * size) // to
        mixed = mixed[:, :, places][:, :, :, places]
    torch.testing.assert_close(network(x), branch + mixed)


def test_a_network_begins_as_its_shortcuts():
    rows = (residual(4, 2, 3, 0.0, "lrelu", padding=1), residual(3, 1, 3, 0.0, "lrelu", padding=1))
    x = torch.randn(2, 3, 8, 8)
    assert torch.equal(build(rows, (3, 8, 8), sigma=None)(x), F.avg_pool2d(x, 2))


@pytest.mark.parametrize("size", [8, 15, 16, 20, 28, 32, 36, 64])
def test_rows_lead_from_images_to_codes_and_back(size):
    rows = image((3, size, size), 10, width=2)
    assert build(rows.G_z, (3, size, size), (10,), sigma=None)(torch.zeros(2, 3, size, size)).shape == (2, 10)
    assert build(rows.G_x, (5, 1, 1), (3, size, size), sigma=None)(torch.zeros(2, 5)).shape == (2, 3, size, size)
    d_x = build(rows.D_x, (3, size, size), sigma=None)
    assert d_x.output_shape == (8, 1, 1)
    assert d_x.features(torch.zeros(2, 3, size, size)).ndim == 2


@pytest.mark.parametrize("name", ["ali", "gan", "conditional", "semi_supervised", "k_plus_one"])
def test_games_are_played_with_them(name):
    torch.manual_seed(0)
    few: dict[str, Any] = {"labelled": 2, "dropout": 0.0} if name in ("semi_supervised", "k_plus_one") else {}
    spec = Spec((3, 16, 16), tuple("abc"), y=LABELS)
    run = RECIPES[name](spec, **SMALL, **few)
    game: Any = run.game
    batch = Batch(torch.rand(6, 3, 16, 16) * 2 - 1, torch.arange(6) % 3)
    steps = list(play(game, iter([batch] * 3), run.optimizers, steps=3, seed=0))
    assert all(torch.isfinite(loss) for step in steps for loss in step.losses.values())

    # Once the branches have left 0, every weight learns. The last bias cancels where only differences of logits count.
    blind = {f"discriminator.{part}.4.bias" for part in ("d_xz", "head")} if name in ("ali", "gan", "conditional") else set()
    losses = game.losses(batch, torch.tensor(0.5))
    for player in game.players:
        game.zero_grad()
        losses[player].backward(inputs=games.parameters(game, player), retain_graph=True)
        mine = {id(p) for p in games.parameters(game, player)}
        still = {n for n, p in game.named_parameters() if id(p) in mine and (p.grad is None or p.grad.abs().max() < 1e-12)}
        assert still <= blind

    # No row sees another: what else is in the batch does not matter.
    game.eval()
    x, z, e = batch.x, torch.randn(6, 2), ()
    if name == "conditional":
        e = (game.d_embedding(batch.y),)
    inputs = (x, *e) if name in ("gan", "k_plus_one") else (x, z, *e)
    torch.testing.assert_close(game.discriminator(*inputs)[:2], game.discriminator(*(part[:2] for part in inputs)))
    torch.testing.assert_close(game.decode(z, *((batch.y,) if e else ())).mean[:1], game.decode(z[:1], *((batch.y[:1],) if e else ())).mean)


def test_what_they_are_not_for_says_so():
    with pytest.raises(AliError, match="modern face only"):
        RECIPES["ali"](Spec((3, 16, 16)), networks="residual", face="paper")
    with pytest.raises(AliError, match="networks 'residual' are for images"):
        RECIPES["ali"](Spec((16,)), networks="residual")
    with pytest.raises(AliError, match="must be square"):
        RECIPES["ali"](Spec((3, 16, 20)), networks="residual")


def shapes(n: int, seed: int) -> np.ndarray:
    """Discs and squares of any colour anywhere on a background of any colour: (n, 16, 16, 3), bytes."""
    rng = np.random.default_rng(seed)
    down, right, radius = rng.uniform(5, 11, n), rng.uniform(5, 11, n), rng.uniform(2.5, 4.5, n)
    apart = np.abs(np.arange(16)[None] - down[:, None])[:, :, None], np.abs(np.arange(16)[None] - right[:, None])[:, None, :]
    disc, square = np.hypot(*apart), np.maximum(*np.broadcast_arrays(*apart))
    distance = np.where((rng.random(n) < 0.5)[:, None, None], disc, square)
    inside = np.clip(radius[:, None, None] + 0.5 - distance, 0, 1)[..., None]
    shape, ground = (rng.integers(0, 256, (2, n, 1, 1, 3))).astype(np.float64)
    return np.round(inside * shape + (1 - inside) * ground).astype(np.uint8)


def test_coloured_shapes_are_generated_and_reconstructed(tmp_path):
    """In 15 CPU seconds, most of the way: 8 numbers say where, how large, of which kind and which two colours, one too few."""
    data = ali.Data(ali.Source(shapes(1000, 0)), ali.Source(shapes(500, 1)))
    options: dict[str, Any] = {"networks": "residual", "width": 8, "latent": 8, "lr": 3e-3, "batch_size": 32, "augment": "translation"}
    model = ali.Model.train("images", data, out=tmp_path / "run", epochs=8, **options)
    values = ali.evaluate(model, data)
    assert values["mse_share"] < 0.22
    assert values["two_sample"] < 0.8
    assert values["coverage"] > 0.85
