"""Augmentation of D's view, against the same done with numpy, row by row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ali import augment
from ali.augment import OPERATIONS, Augment, policy
from ali.data.source import Batch
from ali.errors import AliError
from ali.networks import Critic, Discriminator
from ali.objectives import gradient_penalty
from ali.recipes import RECIPES, Spec

ALL = tuple(OPERATIONS)
SPEC = Spec((3, 16, 16), tuple("abc"), y=(np.arange(60) % 3).astype(np.int64))
SMALL = {"networks": "residual", "latent": 2, "width": 4, "batch_size": 6, "epochs": 1}


def images(n: int = 64, maps: int = 3, height: int = 16, width: int = 16) -> Tensor:
    """No pixel is 0, which stands for what is covered."""
    x = torch.rand(n, maps, height, width, generator=torch.Generator().manual_seed(1)) * 2 - 1
    return x + 0.1 * x.sign()


def applied(function, x: Tensor, seed: int = 0) -> Tensor:
    torch.manual_seed(seed)
    return function(x)


def test_colour_is_brightness_saturation_and_contrast_of_each_row():
    x = images(5)
    made = applied(augment.colour, x)
    torch.manual_seed(0)
    b, s, c = (torch.rand(5, 1, 1, 1).flatten().numpy().astype(np.float64) for _ in range(3))
    for row, image in enumerate(x.numpy().astype(np.float64)):
        image = image + b[row] - 0.5
        image = image.mean(0) + 2 * s[row] * (image - image.mean(0))
        image = image.mean() + (0.5 + c[row]) * (image - image.mean())
        np.testing.assert_allclose(made[row].numpy(), image, atol=1e-5)


def shifted(image: np.ndarray, down: int, right: int) -> np.ndarray:
    """By rolling an image with a wide margin."""
    maps, height, width = image.shape
    wide = np.zeros((maps, 3 * height, 3 * width), image.dtype)
    wide[:, height : 2 * height, width : 2 * width] = image
    return np.roll(wide, (down, right), (1, 2))[:, height : 2 * height, width : 2 * width]


@pytest.mark.parametrize("size", [(16, 16), (24, 8)])
def test_translation_shifts_each_row_by_up_to_an_eighth_and_fills_with_0(size):
    x = images(200, 2, *size)
    made = applied(augment.translation, x).numpy()
    most = [n // 8 for n in size]
    moves = [(down, right) for down in range(-most[0], most[0] + 1) for right in range(-most[1], most[1] + 1)]
    found = [[move for move in moves if np.array_equal(shifted(image, *move), made[row])] for row, image in enumerate(x.numpy())]
    assert all(len(move) == 1 for move in found), "each row is shifted, by one of the allowed ways"
    assert {move for (move,) in found} == set(moves), "all of them occur"


@pytest.mark.parametrize("size", [(16, 16), (15, 9)])
def test_cutout_covers_one_square_of_half_the_size_at_most(size):
    x = images(300, 2, *size)
    made = applied(augment.cutout, x).numpy()
    half = [n // 2 for n in size]
    whole = 0
    for before, after in zip(x.numpy(), made, strict=True):
        covered = (after == 0).all(0)
        np.testing.assert_array_equal(after, before * ~covered)
        rows, columns = np.flatnonzero(covered.any(1)), np.flatnonzero(covered.any(0))
        assert covered[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all(), "a rectangle"
        assert covered.sum() == len(rows) * len(columns)
        for places, most, n in ((rows, half[0], size[0]), (columns, half[1], size[1])):
            # The square's centre lies in the image, so that at least half of it is seen; it is cut only at an edge.
            assert most // 2 <= len(places) <= most
            assert len(places) == most or places[0] == 0 or places[-1] == n - 1
        whole += len(rows) == half[0] and len(columns) == half[1]
    assert 0 < whole < len(x)


def test_flip_mirrors_half_of_the_rows():
    x = images(400)
    made = applied(augment.flip, x)
    mirrored = np.array([np.array_equal(after, before[:, :, ::-1]) for before, after in zip(x.numpy(), made.numpy(), strict=True)])
    same = np.array([torch.equal(after, before) for before, after in zip(x, made, strict=True)])
    assert (mirrored ^ same).all()
    assert abs(mirrored.mean() - 0.5) < 0.1  # four standard deviations


@pytest.mark.parametrize("name", ALL)
def test_rows_have_numbers_of_their_own_and_do_not_see_each_other(name):
    one = images(1)
    many = applied(OPERATIONS[name], one.expand(64, -1, -1, -1))
    assert len({row.numpy().tobytes() for row in many}) > 1, "equal rows are changed differently"
    x, other = images(8), images(8)
    other[3] = 0.7
    changed = [k for k in range(8) if not torch.equal(applied(OPERATIONS[name], x)[k], applied(OPERATIONS[name], other)[k])]
    assert changed == [3]


@pytest.mark.parametrize("name", ALL)
def test_gradients_are_those_of_finite_differences(name):
    x = images(3, 2, 8, 8).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: applied(OPERATIONS[name], x), (x,))
    assert torch.autograd.gradgradcheck(lambda x: applied(OPERATIONS[name], x).square(), (x,))


@pytest.mark.parametrize("maps", [1, 3])
def test_a_layer_augments_while_it_learns_and_only_then(maps):
    x, layer = images(8, maps), Augment(ALL)
    assert not torch.equal(layer(x), x)
    assert layer.eval()(x) is x
    assert Augment(())(x) is x


def test_a_policy_is_words_in_any_order():
    assert policy("flip, colour") == policy("colour,flip") == ("colour", "flip")
    assert policy("") == ()
    with pytest.raises(AliError, match=r"'color'.*colour, translation, cutout, flip"):
        policy("flip,color")


def seen_by(body: nn.Sequential, call) -> list[Tensor]:
    """What reaches the first of D's layers that has weights, pass by pass."""
    seen: list[Tensor] = []
    first = next(module for module in body if not isinstance(module, Augment))
    hook = first.register_forward_hook(lambda module, given, output: seen.append(given[0].detach()))
    call()
    hook.remove()
    return seen


def body_of(game) -> nn.Sequential:
    d = game.discriminator
    assert isinstance(d, Discriminator | Critic)
    return d.d_x if isinstance(d, Discriminator) else d.body


@pytest.mark.parametrize("name", ["ali", "bigan", "gan", "conditional", "semi_supervised", "k_plus_one"])
def test_d_sees_data_and_samples_augmented_and_the_other_networks_do_not(name):
    x = torch.full((6, 3, 16, 16), 0.5)
    x[3:] = torch.tensor([0.1, 0.2, 0.3])[:, None, None]  # rows of three colours
    torch.manual_seed(0)
    game: Any = RECIPES[name](SPEC, **SMALL, augment="cutout").game
    seen = torch.cat(seen_by(body_of(game), lambda: game.losses(Batch(x, torch.arange(6) % 3), torch.tensor(0.5))))
    covered = (seen == 0).all(1).flatten(1).sum(1)
    assert len(seen) > len(x), "both kinds of pair"
    assert (covered >= 16).all(), "every row is partly covered"
    if hasattr(game, "encoder"):
        into: list[Tensor] = []
        game.encoder.register_forward_pre_hook(lambda module, given: into.append(given[0].detach()))
        game.losses(Batch(x, torch.arange(6) % 3), torch.tensor(0.5))
        assert torch.equal(into[0], x)


def test_without_augment_nothing_changes():
    """Not a number: the same weights, names and losses as if there were no such argument."""
    made = []
    for arguments in ({}, {"augment": ""}):
        torch.manual_seed(0)
        game = RECIPES["ali"](SPEC, **SMALL, **arguments).game
        assert not [module for module in game.modules() if isinstance(module, Augment)]
        torch.manual_seed(1)
        made.append(game.losses(Batch(images(6)), torch.tensor(0.5)))
    assert made[0] == made[1]


def test_a_finished_run_judges_rows_as_they_are():
    torch.manual_seed(0)
    game = RECIPES["ali"](SPEC, **SMALL, augment="colour,translation,cutout,flip").game.eval()
    x, z = images(4), torch.randn(4, 2)
    assert torch.equal(game.discriminator(x, z), game.discriminator(x, z))
    assert torch.equal(game.score(x), game.score(x))


def test_a_penalty_is_taken_through_the_augmentation():
    """With D(x) = w sum(T(x)), T covering a known part, the slope is w where nothing is covered."""

    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.w, self.layer = nn.Parameter(torch.tensor(3.0)), Augment(("cutout",))

        def forward(self, x: Tensor) -> Tensor:
            return self.w * self.layer(x).flatten(1).sum(1)

    d, x = Sum(), images(10)
    torch.manual_seed(0)
    value = gradient_penalty(d, x)
    shown = (applied(augment.cutout, x) != 0).flatten(1).sum(1)
    assert value.item() == pytest.approx(0.5 * 9 * shown.float().mean().item())
    value.backward()
    assert d.w.grad.item() == pytest.approx(2 * value.item() / 3)  # pyrefly: ignore


def test_what_can_not_be_augmented_says_so():
    with pytest.raises(AliError, match="augment is for images"):
        RECIPES["ali"](Spec((4,)), networks="mlp", width=4, augment="flip")
    with pytest.raises(AliError, match="vae_gan"):
        RECIPES["vae_gan"](SPEC, **SMALL, augment="flip")
    with pytest.raises(AliError, match="unknown operation 'blur'"):
        RECIPES["gan"](SPEC, **SMALL, augment="blur")
