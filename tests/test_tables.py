"""The networks: the paper's tables held against its page, the rows for anybody's images, and what `build` makes of rows."""

import math
import re
from collections.abc import Iterator
from importlib import import_module
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ali import layers, recipes
from ali.distributions import DiagonalNormal, Dirac, Implicit
from ali.errors import AliError
from ali.table import build, conv, fourier, linear, tconv
from ali.tables import generic

# Appendix A of arXiv:1606.00704v3, copied line by line: operation, kernel, strides, feature maps, BN?, dropout, nonlinearity.
PAGES = {
    "cifar10": """
        Gz(x) - 3x32x32 input
        Convolution 5x5 1x1 32 BN 0.0 Leaky ReLU
        Convolution 4x4 2x2 64 BN 0.0 Leaky ReLU
        Convolution 4x4 1x1 128 BN 0.0 Leaky ReLU
        Convolution 4x4 2x2 256 BN 0.0 Leaky ReLU
        Convolution 4x4 1x1 512 BN 0.0 Leaky ReLU
        Convolution 1x1 1x1 512 BN 0.0 Leaky ReLU
        Convolution 1x1 1x1 128 -- 0.0 Linear
        Gx(z) - 64x1x1 input
        Transposed convolution 4x4 1x1 256 BN 0.0 Leaky ReLU
        Transposed convolution 4x4 2x2 128 BN 0.0 Leaky ReLU
        Transposed convolution 4x4 1x1 64 BN 0.0 Leaky ReLU
        Transposed convolution 4x4 2x2 32 BN 0.0 Leaky ReLU
        Transposed convolution 5x5 1x1 32 BN 0.0 Leaky ReLU
        Convolution 1x1 1x1 32 BN 0.0 Leaky ReLU
        Convolution 1x1 1x1 3 -- 0.0 Sigmoid
        D(x) - 3x32x32 input
        Convolution 5x5 1x1 32 -- 0.2 Maxout
        Convolution 4x4 2x2 64 -- 0.5 Maxout
        Convolution 4x4 1x1 128 -- 0.5 Maxout
        Convolution 4x4 2x2 256 -- 0.5 Maxout
        Convolution 4x4 1x1 512 -- 0.5 Maxout
        D(z) - 64x1x1 input
        Convolution 1x1 1x1 512 -- 0.2 Maxout
        Convolution 1x1 1x1 512 -- 0.5 Maxout
        D(x,z) - 1024x1x1 input
        Convolution 1x1 1x1 1024 -- 0.5 Maxout
        Convolution 1x1 1x1 1024 -- 0.5 Maxout
        Convolution 1x1 1x1 1 -- 0.5 Sigmoid
        Optimizer Adam alpha=1e-4 beta1=0.5 beta2=1e-3
        Batch size 100
        Epochs 6475
        Leaky ReLU slope, maxout pieces 0.1, 2
        Weight, bias initialization Isotropic gaussian mu=0 sigma=0.01, Constant(0)
    """,
    "svhn": """
        Gz(x) - 3x32x32 input
        Convolution 5x5 1x1 32 BN 0.0 Leaky ReLU
        Convolution 4x4 2x2 64 BN 0.0 Leaky ReLU
        Convolution 4x4 1x1 128 BN 0.0 Leaky ReLU
        Convolution 4x4 2x2 256 BN 0.0 Leaky ReLU
        Convolution 4x4 1x1 512 BN 0.0 Leaky ReLU
        Convolution 1x1 1x1 512 BN 0.0 Leaky ReLU
        Convolution 1x1 1x1 512 -- 0.0 Linear
        Gx(z) - 256x1x1 input
        Transposed convolution 4x4 1x1 256 BN 0.0 Leaky ReLU
        Transposed convolution 4x4 2x2 128 BN 0.0 Leaky ReLU
        Transposed convolution 4x4 1x1 64 BN 0.0 Leaky ReLU
        Transposed convolution 4x4 2x2 32 BN 0.0 Leaky ReLU
        Transposed convolution 5x5 1x1 32 BN 0.0 Leaky ReLU
        Convolution 1x1 1x1 32 BN 0.0 Leaky ReLU
        Convolution 1x1 1x1 3 -- 0.0 Sigmoid
        D(x) - 3x32x32 input
        Convolution 5x5 1x1 32 -- 0.2 Leaky ReLU
        Convolution 4x4 2x2 64 BN 0.2 Leaky ReLU
        Convolution 4x4 1x1 128 BN 0.2 Leaky ReLU
        Convolution 4x4 2x2 256 BN 0.2 Leaky ReLU
        Convolution 4x4 1x1 512 BN 0.2 Leaky ReLU
        D(z) - 256x1x1 input
        Convolution 1x1 1x1 512 -- 0.2 Leaky ReLU
        Convolution 1x1 1x1 512 -- 0.2 Leaky ReLU
        D(x,z) - 1024x1x1 input
        Convolution 1x1 1x1 1024 -- 0.2 Leaky ReLU
        Convolution 1x1 1x1 1024 -- 0.2 Leaky ReLU
        Convolution 1x1 1x1 1 -- 0.2 Sigmoid
        Optimizer Adam alpha=1e-4 beta1=0.5 beta2=1e-3
        Batch size 100
        Epochs 100
        Leaky ReLU slope 0.01
        Weight, bias initialization Isotropic gaussian mu=0 sigma=0.01, Constant(0)
    """,
    "celeba": """
        Gz(x) - 3x64x64 input
        Convolution 2x2 1x1 64 BN 0.0 Leaky ReLU
        Convolution 7x7 2x2 128 BN 0.0 Leaky ReLU
        Convolution 5x5 2x2 256 BN 0.0 Leaky ReLU
        Convolution 7x7 2x2 256 BN 0.0 Leaky ReLU
        Convolution 4x4 1x1 512 BN 0.0 Leaky ReLU
        Convolution 1x1 1x1 512 -- 0.0 Linear
        Gx(z) - 512x1x1 input
        Transposed convolution 4x4 1x1 512 BN 0.0 Leaky ReLU
        Transposed convolution 7x7 2x2 256 BN 0.0 Leaky ReLU
        Transposed convolution 5x5 2x2 256 BN 0.0 Leaky ReLU
        Transposed convolution 7x7 2x2 128 BN 0.0 Leaky ReLU
        Transposed convolution 2x2 1x1 64 BN 0.0 Leaky ReLU
        Convolution 1x1 1x1 3 -- 0.0 Sigmoid
        D(x) - 3x64x64 input
        Convolution 2x2 1x1 64 BN 0.0 Leaky ReLU
        Convolution 7x7 2x2 128 BN 0.0 Leaky ReLU
        Convolution 5x5 2x2 256 BN 0.0 Leaky ReLU
        Convolution 7x7 2x2 256 BN 0.0 Leaky ReLU
        Convolution 4x4 1x1 512 BN 0.0 Leaky ReLU
        D(z) - 512x1x1 input
        Convolution 1x1 1x1 1024 -- 0.2 Leaky ReLU
        Convolution 1x1 1x1 1024 -- 0.2 Leaky ReLU
        D(x,z) - 1024x1x1 input
        Convolution 1x1 1x1 2048 -- 0.2 Leaky ReLU
        Convolution 1x1 1x1 2048 -- 0.2 Leaky ReLU
        Convolution 1x1 1x1 1 -- 0.2 Sigmoid
        Optimizer Adam alpha=1e-4 beta1=0.5
        Batch size 100
        Epochs 123
        Leaky ReLU slope 0.02
        Weight, bias initialization Isotropic gaussian mu=0 sigma=0.01, Constant(0)
    """,
    "tiny_imagenet": """
        Gz(x) - 3x64x64 input
        Convolution 4x4 2x2 64 BN 0.0 Leaky ReLU
        Convolution 4x4 1x1 64 BN 0.0 Leaky ReLU
        Convolution 4x4 2x2 128 BN 0.0 Leaky ReLU
        Convolution 4x4 1x1 128 BN 0.0 Leaky ReLU
        Convolution 4x4 2x2 256 BN 0.0 Leaky ReLU
        Convolution 4x4 1x1 256 BN 0.0 Leaky ReLU
        Convolution 1x1 1x1 2048 BN 0.0 Leaky ReLU
        Convolution 1x1 1x1 2048 BN 0.0 Leaky ReLU
        Convolution 1x1 1x1 512 -- 0.0 Linear
        Gx(z) - 256x1x1 input
        Convolution 1x1 1x1 2048 BN 0.0 Leaky ReLU
        Convolution 1x1 1x1 256 BN 0.0 Leaky ReLU
        Transposed convolution 4x4 1x1 256 BN 0.0 Leaky ReLU
        Transposed convolution 4x4 2x2 128 BN 0.0 Leaky ReLU
        Transposed convolution 4x4 1x1 128 BN 0.0 Leaky ReLU
        Transposed convolution 4x4 2x2 64 BN 0.0 Leaky ReLU
        Transposed convolution 4x4 1x1 64 BN 0.0 Leaky ReLU
        Transposed convolution 4x4 2x2 64 BN 0.0 Leaky ReLU
        Convolution 1x1 1x1 3 -- 0.0 Sigmoid
        D(x) - 3x64x64 input
        Convolution 4x4 2x2 64 -- 0.2 Leaky ReLU
        Convolution 4x4 1x1 64 BN 0.2 Leaky ReLU
        Convolution 4x4 2x2 128 BN 0.2 Leaky ReLU
        Convolution 4x4 1x1 128 BN 0.2 Leaky ReLU
        Convolution 4x4 2x2 256 BN 0.2 Leaky ReLU
        Convolution 4x4 1x1 256 BN 0.2 Leaky ReLU
        D(z) - 256x1x1 input
        Convolution 1x1 1x1 2048 -- 0.2 Leaky ReLU
        Convolution 1x1 1x1 2048 -- 0.2 Leaky ReLU
        D(x,z) - 2304x1x1 input
        Convolution 1x1 1x1 4096 -- 0.2 Leaky ReLU
        Convolution 1x1 1x1 4096 -- 0.2 Leaky ReLU
        Convolution 1x1 1x1 1 -- 0.2 Sigmoid
        Optimizer Adam alpha=1e-4 beta1=0.5 beta2=1e-3
        Batch size 128
        Epochs 125
        Leaky ReLU slope 0.01
        Weight, bias initialization Isotropic gaussian mu=0 sigma=0.01, Constant(0)
    """,
}
NAMES = list(PAGES)

# Every place where ours is not what the page says: (section, row or "input" or "foot", column) -> (page, ours).
BETA2 = {("foot", "Adam", "beta2"): (1e-3, 0.999)}  # the authors' library took 1 - beta2
DEVIATIONS: dict[str, dict[tuple, tuple]] = {
    "cifar10": BETA2,
    "svhn": BETA2,
    "celeba": {
        ("Gx(z)", "input", "maps"): (512, 256),  # a misprint, confirmed by an author: 512 maps of Gz are mu and log sigma
        ("D(z)", "input", "maps"): (512, 256),  # the same
        ("D(x,z)", "input", "maps"): (1024, 1536),  # 512 of D(x) and 1024 of D(z)
        ("D(x)", 1, "batch_norm"): (True, False),  # authors' code, as in Tables 4 and 6
        **{("D(x)", row, "dropout"): (0.0, 0.2) for row in range(1, 6)},  # the same
        ("foot", "Adam", "beta2"): (None, 0.999),  # the page has none: as in Tables 3, 4 and 6
    },
    "tiny_imagenet": BETA2,
}

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

SECTIONS = {"Gz(x)": "G_z", "Gx(z)": "G_x", "D(x)": "D_x", "D(z)": "D_z", "D(x,z)": "D_xz"}
OPERATIONS = {"Convolution": "conv", "Transposed convolution": "tconv"}
NONLINEARITIES = {"Leaky ReLU": "lrelu", "Maxout": "maxout", "Linear": "linear", "Sigmoid": "sigmoid"}


class Line(NamedTuple):
    """A line of the page."""

    operation: str
    kernel: int
    stride: int
    maps: int
    batch_norm: bool
    dropout: float
    nonlinearity: str


class Section(NamedTuple):
    """A part of a table: the input that it announces, and its lines."""

    input: tuple[int, int]
    lines: list[Line]


def read_page(text: str) -> tuple[dict[str, Section], dict[str, float | None]]:
    """Sections and foot of a table, as they stand on the page."""
    sections: dict[str, Section] = {}
    for title, maps, size, body in re.findall(r"(\S+) - (\d+)x(\d+)x\3 input((?:\s+(?:Convolution|Transposed).*)+)", text):
        lines = re.findall(r"(Convolution|Transposed convolution) (\d+)x\2 (\d)x\3 (\d+) (BN|--) (\S+) (.+)", body)
        sections[title] = Section(
            (int(maps), int(size)),
            [Line(OPERATIONS[o], int(k), int(s), int(m), n == "BN", float(d), NONLINEARITIES[f]) for o, k, s, m, n, d, f in lines],
        )
        assert len(lines) == len(body.strip().splitlines()), f"{title}: a line of the transcription was not understood"
    beta2 = re.search(r"beta2=(\S+)", text)
    slope, pieces = re.search(r"slope(?:, maxout pieces)? ([\d.]+)(?:, (\d))?", text).groups()
    alpha, beta1 = re.search(r"Adam alpha=(\S+) beta1=(\S+)", text).groups()
    foot = {
        "alpha": float(alpha),
        "beta1": float(beta1),
        "beta2": float(beta2[1]) if beta2 else None,
        "batch size": int(re.search(r"Batch size (\d+)", text)[1]),
        "epochs": int(re.search(r"Epochs (\d+)", text)[1]),
        "slope": float(slope),
        "pieces": int(pieces) if pieces else None,
        "sigma": float(re.search(r"sigma=([\d.]+)", text)[1]),
    }
    return sections, foot


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


def numel(*modules: nn.Module) -> int:
    return sum(p.numel() for module in modules for p in module.parameters())


def run_of(name: str, shape: tuple[int, ...], mean: Tensor | None = None, **changes) -> recipes.Run:
    """A recipe's paper face on a data set of this name."""
    torch.manual_seed(0)
    return recipes.ali(recipes.Spec(shape, mean=mean), **recipes.defaults(recipes.ali, name, "paper") | changes)


@pytest.mark.parametrize("name", NAMES)
def test_rows_are_those_of_the_page(name):
    rows, (page, _) = import_module(f"ali.tables.{name}"), read_page(PAGES[name])
    inputs = {"Gz(x)": rows.X[0], "Gx(z)": rows.Z, "D(x)": rows.X[0], "D(z)": rows.Z, "D(x,z)": rows.D_x[-1].maps + rows.D_z[-1].maps}
    assert list(page) == list(SECTIONS)
    found = {}
    for title, section in page.items():
        ours = getattr(rows, SECTIONS[title])
        assert len(ours) == len(section.lines), title
        if inputs[title] != section.input[0]:
            found[title, "input", "maps"] = (section.input[0], inputs[title])
        for number, (line, row) in enumerate(zip(section.lines, ours, strict=True), 1):
            assert row.padding == 0, "the page knows no padding"
            for column, wanted in line._asdict().items():
                if getattr(row, column) != wanted:
                    found[title, number, column] = (wanted, getattr(row, column))
    assert found == {place: values for place, values in DEVIATIONS[name].items() if place[0] != "foot"}


@pytest.mark.parametrize("name", NAMES)
def test_foot_is_that_of_the_page_in_table_and_recipe(name):
    rows, (_, foot) = import_module(f"ali.tables.{name}"), read_page(PAGES[name])
    ours = recipes.defaults(recipes.ali, name, "paper")
    wanted = foot | {place[2]: values[1] for place, values in DEVIATIONS[name].items() if place[0] == "foot"}
    table = (rows.LR, rows.BETA1, rows.BETA2, rows.BATCH_SIZE, rows.EPOCHS, rows.SLOPE, rows.SIGMA)
    assert table == tuple(wanted[key] for key in ("alpha", "beta1", "beta2", "batch size", "epochs", "slope", "sigma"))
    recipe = tuple(ours[key] for key in ("lr", "beta1", "beta2", "batch_size", "epochs"))
    assert recipe == tuple(wanted[key] for key in ("alpha", "beta1", "beta2", "batch size", "epochs"))
    assert foot["pieces"] in (rows.PIECES, None)
    assert (foot["pieces"] is None) == all(row.nonlinearity != "maxout" for row in rows.D_x)


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


# Rows for anybody's images.


@pytest.mark.parametrize("channels", [1, 3])
def test_generic_networks_fit_together_at_every_size(channels):
    codes, width, latent = 10, 1, 5
    for size in range(8, 129):
        shape, rows = (channels, size, size), generic.image((channels, size, size), codes, width)
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


# What `build` makes of rows.


HE = {  # row, input shape, how many input numbers an output number sees
    "linear": (linear(400, False, 0.0, "linear"), (300,), 300),
    "convolution": (conv(3, 1, 64, False, 0.0, "linear"), (32, 12, 12), 9 * 32),
    "transposed, from one pixel": (tconv(4, 1, 64, False, 0.0, "linear"), (256, 1, 1), 256),
    "transposed, kernel 4": (tconv(4, 2, 64, False, 0.0, "linear", padding=1), (48, 20, 20), 4 * 48),
    "transposed, kernel 5": (tconv(5, 2, 64, False, 0.0, "linear", padding=1), (48, 20, 20), 6.25 * 48),
}


@pytest.mark.parametrize("gain", [1.0, 0.6])
@pytest.mark.parametrize("row", HE)
def test_he_initialisation_keeps_the_size_of_activations(row, gain):
    row, shape, fan_in = HE[row]
    torch.manual_seed(0)
    network = build((row,), shape, sigma=None, gain=gain)
    weight = network[0].weight
    assert weight.std().item() == pytest.approx(gain * math.sqrt(2 / fan_in), rel=0.02)
    with torch.no_grad():
        a = network(torch.randn(64, *shape))
        a = a if a.ndim == 2 or shape[1] == 1 else a[..., 4:-4, 4:-4]  # away from the border
    # E a^2 = fan_in * var(w) * E u^2, and a ReLU halves it: the size of its input is kept where the gain is 1.
    assert a.square().mean().item() == pytest.approx(2 * gain**2, rel=0.05)
    assert a.relu().square().mean().item() == pytest.approx(gain**2, rel=0.05)


def test_given_sigma_and_zero_bias():
    torch.manual_seed(0)
    network = build((conv(3, 1, 64, False, 0.0, "linear"),), (64, 8, 8), sigma=0.05)
    assert network[0].weight.std().item() == pytest.approx(0.05, rel=0.02)
    assert network[0].bias.count_nonzero() == 0


def test_an_untied_bias_has_a_number_per_pixel_in_the_last_row_only():
    rows = (conv(3, 1, 5, False, 0.0, "lrelu"), conv(3, 1, 4, False, 0.0, "linear"))
    tied, untied = (build(rows, (2, 10, 10), untied=untied) for untied in (False, True))
    assert numel(tied) == (9 * 2 * 5 + 5) + (9 * 5 * 4 + 4)
    assert numel(untied) == (9 * 2 * 5 + 5) + (9 * 5 * 4 + 4 * 6 * 6)
    bias = untied[-1].bias
    with torch.no_grad():
        before = untied(torch.zeros(1, 2, 10, 10))
        bias[3, 2, 1] += 7.0
        after = untied(torch.zeros(1, 2, 10, 10))
    assert (after - before).nonzero().tolist() == [[0, 3, 2, 1]]


def test_logits_leave_out_the_last_sigmoid_and_no_other():
    rows = (linear(3, False, 0.0, "sigmoid"), linear(1, False, 0.0, "sigmoid"))
    torch.manual_seed(0)
    with_sigmoid = build(rows, (2,), sigma=1.0)
    torch.manual_seed(0)
    without = build(rows, (2,), sigma=1.0, logits=True)
    u = torch.randn(6, 2)
    torch.testing.assert_close(with_sigmoid(u), torch.sigmoid(without(u)))
    assert without(u).min() < 0
    assert sum(isinstance(m, nn.Sigmoid) for m in without) == 1


def test_batch_normalisation_has_the_authors_numbers_and_replaces_the_bias():
    network = build((conv(1, 1, 3, True, 0.0, "linear"), conv(1, 1, 2, False, 0.0, "linear")), (1, 4, 4))
    convolution, norm, last = network
    assert convolution.bias is None
    assert last.bias is not None
    u = 3 + 2 * torch.randn(50, 1, 4, 4)
    with torch.no_grad():
        convolution.weight[:] = 1.0
        a = norm(convolution(u))
    torch.testing.assert_close(a[:, 0], ((u - u.mean()) / (u.var(correction=0) + 1e-4).sqrt())[:, 0])
    torch.testing.assert_close(norm.running_mean, 0.05 * u.mean().expand(3))
    torch.testing.assert_close(norm.running_var, 0.95 + 0.05 * u.var().expand(3))
    other = build((linear(3, True, 0.0, "linear"),), (1,), eps=0.5, momentum=0.25)[1]
    assert (type(other), other.eps, other.momentum) == (nn.BatchNorm1d, 0.5, 0.25)


def test_dropout_falls_on_a_rows_input_element_by_element():
    network = build((conv(2, 1, 1, False, 0.3, "linear"),), (1, 65, 65), sigma=0.0)
    with torch.no_grad():
        network[-1].weight[0, 0, 0, 0] = 1.0  # the output is the input's upper left pixel
        network[-1].bias[0] = 5.0
        torch.manual_seed(0)
        a = network(torch.ones(4, 1, 65, 65)) - 5
        assert torch.equal(network.eval()(torch.ones(4, 1, 65, 65)), torch.full((4, 1, 64, 64), 6.0))
    dropped = a == 0
    torch.testing.assert_close(a[~dropped], torch.full_like(a[~dropped], 1 / 0.7))
    assert dropped.float().mean(dim=(1, 2, 3)).sub(0.3).abs().max() < 5 * math.sqrt(0.21 / 64**2)


def test_maxout_counts_its_maps_after_pooling():
    network = build((conv(3, 2, 7, False, 0.0, "maxout"), conv(1, 1, 2, False, 0.0, "linear")), (3, 9, 9), pieces=4)
    assert network[0].weight.shape == (28, 3, 3, 3)
    assert network[1](network[0](torch.zeros(2, 3, 9, 9))).shape == (2, 7, 4, 4)
    assert network[2].weight.shape == (2, 7, 1, 1)


def test_nonlinearities():
    u = torch.linspace(-2, 2, 9).reshape(-1, 1)
    wanted = {
        "lrelu": torch.where(u > 0, u, 0.3 * u),
        "relu": u.clamp(min=0),
        "linear": u,
        "sigmoid": 1 / (1 + (-u).exp()),
        "tanh": u.tanh(),
    }
    for name, values in wanted.items():
        network = build((linear(1, False, 0.0, name),), (1,), slope=0.3)
        with torch.no_grad():
            network[0].weight[:] = 1.0
        torch.testing.assert_close(network(u), values, msg=name)


def test_no_rows_are_the_identity():
    network = build((), (4,))
    u = torch.randn(3, 4)
    assert torch.equal(network(u), u)
    assert (network.size, network.output_shape, numel(network)) == (4, (4,), 0)


def test_shapes_are_flattened_and_unflattened_to_what_is_announced():
    torch.manual_seed(0)
    flat = build((conv(4, 1, 6, False, 0.0, "linear"),), (3, 4, 4), (6,))
    image = build((linear(12, False, 0.0, "linear"),), (5,), (3, 2, 2))
    from_image = build((fourier(1.0), linear(2, False, 0.0, "linear")), (5,))
    assert flat(torch.zeros(2, 3, 4, 4)).shape == (2, 6)
    assert image(torch.zeros(2, 5)).shape == (2, 3, 2, 2)
    assert from_image[1].in_features == 15
    assert (flat.size, image.size) == (6, 12)


def test_a_network_takes_codes_as_vectors_or_as_maps():
    network = build((tconv(4, 1, 2, False, 0.0, "linear"),), (5, 1, 1), (2, 4, 4))
    z = torch.randn(3, 5)
    assert torch.equal(network(z), network(z[:, :, None, None]))


@pytest.mark.parametrize(
    ("rows", "input", "output", "words"),
    [
        ((conv(3, 1, 4, False, 0.0, "lrelu"),), (3, 8, 8), (4, 8, 8), r"from \(3, 8, 8\) to \(4, 6, 6\), not to the announced \(4, 8, 8\)"),
        ((conv(3, 1, 4, False, 0.0, "lrelu"),), (3, 8, 8), (6, 6, 4), r"to \(4, 6, 6\), not to the announced \(6, 6, 4\)"),
        ((conv(3, 1, 4, False, 0.0, "lrelu"),), (3, 8, 8), (143,), r"to \(4, 6, 6\), not to the announced \(143,\)"),
        ((linear(10, False, 0.0, "linear"),), (3,), (9,), r"from \(3,\) to \(10,\), not to the announced \(9,\)"),
        ((linear(10, False, 0.0, "linear"),), (3,), (3, 2, 2), r"to \(10,\), not to the announced \(3, 2, 2\)"),
        ((conv(5, 2, 4, True, 0.0, "lrelu"), conv(7, 1, 4, True, 0.0, "lrelu")), (3, 8, 8), None, r"row 2 \(conv 7\) leaves nothing"),
    ],
)
def test_rows_that_do_not_lead_to_the_announced_output_are_refused(rows, input, output, words):
    with pytest.raises(ValueError, match=words):
        build(rows, input, output)
