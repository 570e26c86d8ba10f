"""The paper's networks, built: shapes, parameters, work and initial weights, against the page and the authors' code."""

import math
from collections.abc import Iterator
from importlib import import_module

import pytest
import torch
from test_build import numel
from test_tables import DEVIATIONS, NAMES, PAGES, Line, Section, read_page
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ali import layers, recipes
from ali.distributions import DiagonalNormal, Dirac, Implicit
from ali.errors import AliError

# Authors' code for section 4.5 (the paper has no table): units, BN, nonlinearity; no dropout anywhere.
MIXTURE = {
    "G_z": [(400, True, "relu"), (400, True, "relu"), (2, False, "linear")],
    "G_x": [(400, True, "relu")] * 4 + [(2, False, "linear")],
    "D_x": [],
    "D_z": [],
    "D_xz": [(200, False, "maxout")] * 3 + [(1, False, "sigmoid")],
}

# performance.md, section 2.1: 10^6 parameters (all, D's), and forward MFLOP per image (E, G, D), measured on other networks than ours.
PARAMETERS = {"cifar10": (14.5, 10.4), "svhn": (10.4, 5.3), "celeba": (33.8, 15.2), "tiny_imagenet": (44.0, 33.0)}
MFLOP = {"cifar10": (62.7, 97.0, 133.6), "svhn": (63.1, 98.6, 67.0), "celeba": (1066, 3726, 1082), "tiny_imagenet": (236, 348, 286)}


def corrected(name: str) -> dict[str, Section]:
    """The page with the documented deviations put in: what our networks should be, known without looking at them."""
    sections, _ = read_page(PAGES[name])
    for (section, place, column), (_, ours) in DEVIATIONS[name].items():
        if place == "input":
            sections[section] = sections[section]._replace(input=(ours, 1))
        elif section in sections:
            sections[section].lines[place - 1] = sections[section].lines[place - 1]._replace(**{column: ours})
    return sections


def sizes(section: Section) -> Iterator[tuple[Line, int, int, int]]:
    """Each line of a section with its input maps, and its input and output sizes (convolutions are not padded)."""
    maps, size = section.input
    for line in section.lines:
        out = (size - 1) * line.stride + line.kernel if line.operation == "tconv" else (size - line.kernel) // line.stride + 1
        yield line, maps, size, out
        maps, size = line.maps, out


def count_parameters(title: str, section: Section, pieces: int) -> int:
    """Weights; with batch normalisation its scale and shift, without it a bias per map; per pixel at the end of encoder and decoder."""
    total = 0
    for line, maps, _, out in sizes(section):
        units = line.maps * (pieces if line.nonlinearity == "maxout" else 1)
        untied = title in ("Gz(x)", "Gx(z)") and line is section.lines[-1]
        total += line.kernel**2 * maps * units + (2 * units if line.batch_norm else units * out**2 if untied else units)
    return total


def count_flops(section: Section, pieces: int) -> int:
    """Two per multiply-add: each pixel of a convolution's output, or of a transposed convolution's input, meets the whole kernel."""
    total = 0
    for line, maps, size, out in sizes(section):
        units = line.maps * (pieces if line.nonlinearity == "maxout" else 1)
        total += 2 * line.kernel**2 * maps * units * (size if line.operation == "tconv" else out) ** 2
    return total


def run_of(name: str, shape: tuple[int, ...], mean: Tensor | None = None, **changes) -> recipes.Run:
    """A recipe's paper face on a data set of this name."""
    torch.manual_seed(0)
    return recipes.ali(recipes.Spec(shape, mean=mean), **recipes.defaults(recipes.ali, name, "paper") | changes)


@pytest.fixture(scope="module", params=NAMES)
def built(request) -> tuple[str, recipes.Run]:
    """A table's networks as the recipe builds them."""
    shape = (3, 32, 32) if request.param in ("cifar10", "svhn") else (3, 64, 64)
    return request.param, run_of(request.param, shape, mean=torch.linspace(0.1, 0.9, math.prod(shape)).reshape(shape))


def test_networks_have_the_pages_shapes(built):
    name, run = built
    page, game = corrected(name), run.game.eval()
    parts = (game.encoder.network, game.decoder.network, game.discriminator.d_x, game.discriminator.d_z, game.discriminator.d_xz)
    for (title, section), network in zip(page.items(), parts, strict=True):
        assert network.input_shape == (section.input[0], *[section.input[1]] * 2), title
    size, latent = page["D(x)"].input[1], page["Gx(z)"].input[0]
    x, z = torch.rand(2, 3, size, size), torch.randn(2, latent)
    with torch.no_grad():
        q, p, rho = game.encoder(x), game.decoder(z), game.discriminator(x, z)
        raw = game.encoder.network(x)
    assert isinstance(q, DiagonalNormal)
    assert isinstance(p, Dirac)
    assert raw.shape == (2, 2 * latent)
    torch.testing.assert_close(torch.cat([q.mu, q.log_sigma], 1), raw)  # mu first, then log sigma, which starts around 0
    assert p.mean.shape == x.shape
    assert 0 <= p.mean.min() < p.mean.max() <= 1
    assert rho.shape == (2,)
    assert not any(isinstance(module, nn.Sigmoid) for module in game.discriminator.modules()), "D puts out logits"


def test_parameter_counts(built):
    name, run = built
    counts = {title: count_parameters(title, section, pieces=2) for title, section in corrected(name).items()}
    game, D = run.game, run.game.discriminator
    assert [numel(m) for m in (game.encoder, game.decoder, D.d_x, D.d_z, D.d_xz)] == list(counts.values())
    assert round(numel(game) / 1e6, 1) == PARAMETERS[name][0]
    assert round(numel(D) / 1e6, 1) == PARAMETERS[name][1]


def test_work_per_image(built):
    name, run = built
    page, game = corrected(name), run.game.eval()
    x, z = torch.rand(1, *game.encoder.network.input_shape), torch.randn(1, game.prior.dim)
    done = []
    for network in (lambda: game.encoder(x), lambda: game.decoder(z), lambda: game.discriminator(x, z)):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network()
        done.append(counter.get_total_flops())
    by_hand = {title: count_flops(section, pieces=2) for title, section in page.items()}
    assert done == [by_hand["Gz(x)"], by_hand["Gx(z)"], sum(by_hand[title] for title in ("D(x)", "D(z)", "D(x,z)"))]
    assert [flops / 1e6 for flops in done] == pytest.approx(MFLOP[name], rel=0.01)


def test_initial_weights_slopes_and_optimisers_are_those_of_the_foot(built):
    name, run = built
    _, foot = read_page(PAGES[name])
    for part in (run.game.encoder, run.game.decoder, run.game.discriminator):
        convolutions = [m for m in part.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
        weights = torch.cat([m.weight.detach().flatten() for m in convolutions])
        assert weights.std().item() == pytest.approx(foot["sigma"], rel=0.005)
        assert abs(weights.mean().item()) < 5 * foot["sigma"] / math.sqrt(len(weights))
        assert all(m.bias.abs().max() == 0 for m in convolutions if m.bias is not None)
    slopes = {m.negative_slope for m in run.game.modules() if isinstance(m, nn.LeakyReLU)}
    assert slopes == {foot["slope"]}
    assert {m.pieces for m in run.game.modules() if isinstance(m, layers.Maxout)} == ({2} if name == "cifar10" else set())
    for optimizer in run.optimizers.values():
        assert type(optimizer) is torch.optim.Adam
        assert (optimizer.defaults["lr"], optimizer.defaults["betas"]) == (foot["alpha"], (foot["beta1"], 0.999))


def test_decoder_starts_at_the_mean_training_image(built):
    name, run = built
    untied = [m for m in run.game.decoder.modules() if isinstance(m, layers.UntiedBias)]
    assert len(untied) == 1
    mean = torch.linspace(0.1, 0.9, untied[0].bias.numel()).reshape(untied[0].bias.shape)
    torch.testing.assert_close(untied[0].bias.detach(), torch.log(mean / (1 - mean)), msg=name)
    first = [m for m in run.game.encoder.modules() if isinstance(m, layers.UntiedBias)]
    assert [m.bias.abs().max().item() for m in first] == [0.0]


def test_mixture_networks_are_the_authors():
    rows = import_module("ali.tables.mixture")
    for part, wanted in MIXTURE.items():
        assert [(row.maps, row.batch_norm, row.nonlinearity) for row in getattr(rows, part)] == wanted, part
        assert all(row.operation == "linear" and row.dropout == 0 for row in getattr(rows, part)), part
    run, ours = run_of("mixture", (2,)), recipes.defaults(recipes.ali, "mixture", "paper")
    assert (rows.LR, rows.BETA1, rows.BETA2, rows.BATCH_SIZE, rows.EPOCHS) == (1e-4, 0.2, 0.999, 100, 200)
    assert tuple(ours[key] for key in ("lr", "beta1", "beta2", "batch_size", "epochs")) == (1e-4, 0.2, 0.999, 100, 200)
    game = run.game
    # x in R^2 beside epsilon in R^2; BN has scale and shift instead of a bias; a maxout unit has 5 pieces.
    assert numel(game.encoder) == (4 * 400 + 800) + (400 * 400 + 800) + (400 * 2 + 2)
    assert numel(game.decoder) == (2 * 400 + 800) + 3 * (400 * 400 + 800) + (400 * 2 + 2)
    assert numel(game.discriminator) == (4 * 1000 + 1000) + 2 * (200 * 1000 + 1000) + (200 + 1)
    hidden = [m.weight.detach().flatten() for m in game.modules() if isinstance(m, nn.Linear) and m.weight.numel() > 10_000]
    assert torch.cat(hidden).std().item() == pytest.approx(0.02, rel=0.01)


def test_mixture_encoder_is_implicit_and_decoder_is_not():
    game = run_of("mixture", (2,)).game.eval()
    q, p = game.encoder(torch.randn(5, 2)), game.decoder(torch.randn(5, 2))
    assert isinstance(q, Implicit)
    assert q.noise.shape == (5, 2)
    with torch.no_grad():
        assert not torch.equal(q.rsample(), q.rsample())
        assert torch.equal(p.rsample(), p.rsample())
        assert game.discriminator(torch.randn(5, 2), q.rsample()).shape == (5,)


def test_a_table_refuses_other_data():
    with pytest.raises(AliError, match=r"cifar10.*x of shape \(3, 32, 32\), here it is \(3, 28, 28\)"):
        run_of("cifar10", (3, 28, 28))
    with pytest.raises(AliError, match=r"cifar10.*z of dimension 64, here it is 65"):
        run_of("cifar10", (3, 32, 32), latent=65)
