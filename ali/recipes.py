"""Recipes: functions from hyperparameters to a game that is ready to be played.

The only place where data, networks, game and optimiser meet. A recipe is ``f(spec, **arguments) -> Run``: its signature
is the configuration and the command line, its arguments are plain JSON values. ``spec`` is what the data dictates; it is
resolved from the data once and stored with the run, so that loading a run never opens data.

Every recipe has two faces: ``paper`` reproduces 2016, ``modern`` is what a user should take. A recipe's own defaults are
modern; what a face or a data set changes about them is said in ``PAPER`` and ``DATASETS``, and everything that was
resolved is stored with the run.

To add a data set: a function in ``ali/data/`` and an entry in ``DATASETS``. To add a recipe: a function here and its line in
``RECIPES``. Torch is imported inside the functions, so that the command line can read signatures at once.
"""

from __future__ import annotations

__all__ = ["DATASETS", "RECIPES", "Dataset", "Run", "Spec", "ali", "bigan", "defaults"]

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from ali.errors import AliError

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

    from ali.data.source import Data
    from ali.games import Game

Face = Literal["modern", "paper"]

TABLES = ("mixture", "cifar10", "svhn", "celeba", "tiny_imagenet")  # of the paper, in ali/tables/


@dataclass(frozen=True)
class Spec:
    """What the data dictates.

    Arguments:
        shape: of one row, as the network sees it: (channels, height, width) or (columns,).
        classes: names of the classes, if rows have labels.
        heads: the decoder's output nonlinearities for a table of several kinds of columns (:class:`ali.layers.Heads`).
        mean: mean training row, in the network's range; only needed to initialise, so it is not stored.
    """

    shape: tuple[int, ...]
    classes: tuple[str, ...] = ()
    heads: tuple[tuple[str, int], ...] = ()
    mean: Tensor | None = None

    def to_json(self) -> dict:
        return {"shape": list(self.shape), "classes": list(self.classes), "heads": [list(head) for head in self.heads]}

    @classmethod
    def from_json(cls, state: dict) -> Spec:
        return cls(tuple(state["shape"]), tuple(state["classes"]), tuple((kind, width) for kind, width in state.get("heads", ())))


@dataclass(frozen=True)
class Run:
    """A game, its optimisers, and how long to play: all that the loop and the run folder need.

    Arguments:
        game: the players.
        optimizers: one for each player.
        batch_size: rows per step.
        epochs: passes over the training rows.
        rate: learning rate as a factor, a function of the share of training done.
        decay: of the moving average of the weights, per step; 0 for none.
    """

    game: Game
    optimizers: dict[str, Optimizer]
    batch_size: int
    epochs: int
    rate: Callable[[float], float]
    decay: float


def ali(
    spec: Spec,
    *,
    face: Face = "modern",
    networks: Literal["mlp", "conv", "mixture", "cifar10", "svhn", "celeba", "tiny_imagenet"] = "conv",
    encoder: Literal["gaussian", "implicit", "deterministic"] = "gaussian",
    latent: int = 32,
    width: int = 32,
    depth: int = 2,
    frequencies_x: Sequence[float] = (),
    frequencies_z: Sequence[float] = (),
    objective: str = "relativistic",
    penalty: float = 0.1,
    penalty_end: float | None = None,
    cycle: float = 20.0,
    regression: float = 1.0,
    schedule: Literal["simultaneous", "alternating"] = "simultaneous",
    lr: float = 1e-3,
    beta1: float = 0.5,
    beta2: float = 0.99,
    batch_size: int = 64,
    epochs: int = 50,
    ema: float = 0.998,
) -> Run:
    """Adversarially learned inference (Dumoulin et al. 2017).

    Arguments:
        spec: what the data dictates.
        face: manner of the networks: "paper" (batch normalisation, dropout in D, weights N(0, sigma^2), constant learning
            rate) or "modern" (no normalisation, He initialisation times 0.6, learning rate decayed over the second half).
        networks: "mlp" and "conv" fit any data; the others are the paper's Tables 3 to 6 and its mixture networks.
        encoder: family of q(z | x): gaussian (eq. 2), implicit (eq. 3) or deterministic (BiGAN).
        latent: dimension of z.
        width: units per layer (mlp), or maps of the first layer (conv).
        depth: hidden layers (mlp).
        frequencies_x: Fourier features of x in encoder and D (mlp), radians per standard deviation.
        frequencies_z: Fourier features of z in the decoder (mlp), radians per unit.
        objective: what the players want of D: nonsaturating (eq. 4), minimax (eq. 1), relativistic or hinge.
        penalty: weight of R1 + R2 on pairs (x, z) at the start; 0 for none.
        penalty_end: the same from 70 % of the training on, reached geometrically; by default it does not change.
        cycle: weight of the reconstruction error in x (mean square); 0 for none.
        regression: weight of the code error in z (mean square, encoder only); 0 for none.
        schedule: simultaneous (Algorithm 1) or alternating steps of D and of the generators.
        lr: Adam's learning rate, per step.
        beta1: Adam's momentum, in [0, 1).
        beta2: Adam's memory of squared gradients, in [0, 1).
        batch_size: rows per step.
        epochs: passes over the training rows.
        ema: decay of the moving average of the weights, per step; 0 for none.
    """
    import torch

    from ali import games, objectives, train
    from ali.distributions import StandardNormal

    _in_range("penalty", penalty, 0), _in_range("penalty_end", penalty_end or 0.0, 0)
    _in_range("cycle", cycle, 0), _in_range("regression", regression, 0)
    _in_range("lr", lr, 0, open=True), _in_range("beta1", beta1, 0, 1), _in_range("beta2", beta2, 0, 1), _in_range("ema", ema, 0, 1)
    for name, value in {"latent": latent, "width": width, "depth": depth, "epochs": epochs}.items():
        _in_range(name, value, 1)
    _in_range("batch_size", batch_size, 2)
    if objective not in objectives.OBJECTIVES:
        raise AliError(f"unknown objective {objective!r}: choose one of {', '.join(objectives.OBJECTIVES)}")
    E, G, D = _networks(spec, face, networks, encoder, latent, width, depth, tuple(frequencies_x), tuple(frequencies_z))
    make: Callable[..., Game] = games.BiGAN if encoder == "deterministic" else games.ALI
    game = make(
        E,
        G,
        D,
        StandardNormal(latent),
        objective=objectives.OBJECTIVES[objective],
        penalty=penalty,
        penalty_end=penalty_end,
        cycle=cycle,
        regression=regression,
        schedule={"simultaneous": (("discriminator", "generator"),), "alternating": (("discriminator",), ("generator",))}[schedule],
    )
    adam = {"lr": lr, "betas": (beta1, beta2), "fused": True}
    optimizers: dict[str, Optimizer] = {p: torch.optim.Adam(games.parameters(game, p), **adam) for p in game.players}
    rate = train.constant if face == "paper" else train.hold_then_cosine
    return Run(game, optimizers, batch_size, epochs, rate, ema)


def bigan(spec: Spec, **arguments: Any) -> Run:
    """Bidirectional GAN (Donahue et al. 2017): ALI with a deterministic encoder.

    Arguments:
        spec: what the data dictates.
        arguments: those of ``ali``, less the encoder.
    """
    return ali(spec, encoder="deterministic", **arguments)


bigan.__signature__ = inspect.signature(ali, eval_str=True).replace(  # pyrefly: ignore
    parameters=[p for p in inspect.signature(ali, eval_str=True).parameters.values() if p.name != "encoder"]
)

RECIPES: dict[str, Callable[..., Run]] = {"ali": ali, "bigan": bigan}


def _networks(spec, face, networks, encoder, latent, width, depth, frequencies_x, frequencies_z):
    """Encoder, decoder and discriminator, from a table of the paper or from generic rows."""
    import torch

    from ali import layers
    from ali.networks import Deterministic, Discriminator, Gaussian, ImplicitConditional
    from ali.table import build
    from ali.tables import generic

    paper = face == "paper"
    codes = 2 * latent if encoder == "gaussian" else latent
    noise = latent if encoder == "implicit" and len(spec.shape) == 1 else 1 if encoder == "implicit" else 0
    sees = (spec.shape[0] + noise, *spec.shape[1:])  # the encoder's input: x, and noise beside it
    output = "linear" if len(spec.shape) == 1 else "sigmoid" if paper else "tanh"
    options: dict[str, Any] = {"sigma": 0.01, "slope": 0.1} if paper else {"sigma": None, "gain": 0.6, "slope": 0.2}

    if networks == "mlp":
        rows = generic.mlp(
            math.prod(spec.shape),
            codes,
            width,
            depth,
            batch_norm=paper,
            output=output,
            frequencies_x=frequencies_x,
            frequencies_z=frequencies_z,
        )
    elif networks == "conv":
        if len(spec.shape) == 1:
            raise AliError("networks 'conv' are for images, and the rows are vectors: take networks 'mlp'")
        rows = generic.image(spec.shape, codes, width, batch_norm=paper, dropout=0.2 if paper else 0.0, output=output)
    else:
        if networks not in TABLES:
            raise AliError(f"unknown networks {networks!r}: choose one of mlp, conv, {', '.join(TABLES)}")
        rows = import_module(f"ali.tables.{networks}")
        given = {"x of shape": (rows.X, spec.shape), "z of dimension": (rows.Z, latent)}
        for what, (theirs, ours) in given.items():
            if theirs != ours:
                raise AliError(f"networks {networks!r} are for {what} {theirs}, here it is {ours}: take networks 'mlp' or 'conv'")
        options = {"sigma": rows.SIGMA, "slope": rows.SLOPE, "pieces": rows.PIECES}
        # Another family of encoder, or another range of pixels, than the table's changes the last rows.
        encoder_rows = (*rows.G_z[:-1], rows.G_z[-1]._replace(maps=codes))
        decoder_rows = (*rows.G_x[:-1], rows.G_x[-1]._replace(nonlinearity=output))
        rows = generic.Rows(encoder_rows, decoder_rows, rows.D_x, rows.D_z, rows.D_xz)

    image = rows.D_xz[0].operation == "conv"
    code = (latent, 1, 1) if image else (latent,)
    d_x, d_z = build(rows.D_x, spec.shape, **options), build(rows.D_z, code, **options)
    joint = (d_x.size + d_z.size, *code[1:])
    # In the manner of 2016, encoder and decoder end in a bias per pixel, the decoder's that of the mean training image.
    per_pixel = {"untied": paper and image}
    e = build(rows.G_z, sees, (codes,), **options, **per_pixel)
    g = build(rows.G_x, code, spec.shape, **options, **per_pixel)
    if any(kind != "linear" for kind, _ in spec.heads):
        g.append(layers.Heads(spec.heads))
    d_xz = build(rows.D_xz, joint, (1, *code[1:]), **options, logits=True)
    if spec.mean is not None and any(isinstance(module, layers.UntiedBias) for module in g):
        bias = next(module.bias for module in g if isinstance(module, layers.UntiedBias))
        bias.data.copy_(torch.logit(spec.mean, eps=1e-3))

    E = {
        "gaussian": lambda: Gaussian(e, log_sigma_0=0.0 if paper else -3.0),
        "implicit": lambda: ImplicitConditional(e, noise),
        "deterministic": lambda: Deterministic(e),
    }[encoder]()
    return E, Deterministic(g), Discriminator(d_x, d_z, d_xz)


def _in_range(name: str, value: float, low: float, high: float = float("inf"), open: bool = False) -> None:
    """Refuse an argument that makes no sense, by name."""
    good = (low < value if open else low <= value) and (value < high or high == float("inf"))
    if not good or value != value or value == float("inf"):
        bound = f"{'above' if open else 'at least'} {low:g}" + (f" and below {high:g}" if high != float("inf") else "")
        raise AliError(f"{name} must be {bound}, got {value}")


@dataclass(frozen=True)
class Dataset:
    """A data set by name, and what it changes about a recipe's defaults.

    Arguments:
        about: one line for the command line.
        source: "module:function" below ``ali.data``; takes the path, if there is one, and returns ``Data``.
        needs: what PATH must be; empty for data that comes from an installed package or is generated.
        modern: arguments of the modern face.
        paper: arguments of the paper face, beside ``PAPER``.
    """

    about: str
    source: str
    needs: str = ""
    modern: dict[str, Any] = field(default_factory=dict)
    paper: dict[str, Any] = field(default_factory=dict)

    def function(self) -> Callable[..., Any]:
        """The function that reads the data."""
        module, name = self.source.split(":")
        return getattr(import_module(f"ali.data.{module}"), name)

    def open(self, path: str | None = None, **options: Any) -> Data:
        """Read the data.

        Raises:
            AliError: it needs a path and has none, or what is there can not be read.
        """
        if self.needs and path is None:
            raise AliError(f"this data set needs a path: {self.needs}")
        if not self.needs and path is not None:
            raise AliError(f"{path}: this data set takes no path; to train on your own rows, take images or table")
        return self.function()(*([path] if self.needs else []), **options)


# What the authors' code does: Adam with constant rate, the non-saturating objective, nothing added to the losses, no average.
PAPER: dict[str, Any] = {
    "face": "paper", "objective": "nonsaturating", "penalty": 0.0, "penalty_end": None, "cycle": 0.0, "regression": 0.0,
    "lr": 1e-4, "beta1": 0.5, "beta2": 0.999, "batch_size": 100, "ema": 0.0,
}  # fmt: skip

DATASETS: dict[str, Dataset] = {
    "digits": Dataset(
        "scikit-learn's 1,797 handwritten digits, 8 x 8 grey; nothing is downloaded",
        "digits:digits",
        modern={"networks": "mlp", "latent": 16, "width": 256, "depth": 3, "lr": 2e-3, "beta1": 0.1, "epochs": 143},
        paper={"networks": "conv", "latent": 16, "width": 32, "epochs": 200},
    ),
    "mixture": Dataset(
        "points in the plane from 25 Gaussians on a grid (or rings, or spirals), generated",
        "mixtures:mixture",
        modern={
            "networks": "mlp", "latent": 2, "width": 128, "depth": 3, "frequencies_x": (3, 6, 12, 25), "frequencies_z": (1, 2, 4, 8),
            "penalty": 0.05, "penalty_end": 0.0025, "cycle": 1.0, "lr": 4e-3, "beta1": 0.1, "batch_size": 128,
            "epochs": 8, "ema": 0.995,
        },
        paper={"networks": "mixture", "encoder": "implicit", "latent": 2, "beta1": 0.2, "epochs": 200},
    ),
    "mnist": Dataset(
        "MNIST, 28 x 28 grey",
        "official:mnist",
        needs="a folder with the four official idx files, also packed (.gz); or Parquet files, .npz with x_train and x_test, "
        "hub:ylecun/mnist",
        modern={
            "networks": "conv", "latent": 24, "width": 16, "penalty": 0.05, "lr": 2e-3, "epochs": 8,
        },
        paper={"networks": "conv", "latent": 64, "width": 32, "epochs": 100},
    ),
    "cifar10": Dataset(
        "CIFAR-10, 32 x 32 colour (Table 3)",
        "official:cifar10",
        needs="the official folder cifar-10-batches-py or cifar-10-batches-bin, or the one around it; or Parquet "
        "files, .npz, hub:uoft-cs/cifar10",
        modern={"latent": 64, "width": 64, "batch_size": 100, "epochs": 100},
        paper={"networks": "cifar10", "latent": 64, "epochs": 6475},
    ),
    "svhn": Dataset(
        "SVHN, 32 x 32 colour (Table 4)",
        "official:svhn",
        needs="a folder with the official test_32x32.mat and extra_32x32.mat, train_32x32.mat or both; or Parquet "
        "files, .npz, hub:ufldl-stanford/svhn",
        modern={"latent": 64, "width": 64, "batch_size": 100, "epochs": 50},
        paper={"networks": "svhn", "latent": 256, "epochs": 100},
    ),
    # Of 178 x 218 pixels, the square in the centre is the authors' crop (rows 7 to 71 of 64 x 78) to half a pixel.
    "celeba": Dataset(
        "CelebA, 64 x 64 colour (Table 5)",
        "official:celeba",
        needs="a folder with the official img_align_celeba, list_eval_partition.txt and list_attr_celeba.txt; or pictures, Parquet "
        "files, .npz, hub:flwrlabs/celeba",
        modern={"latent": 128, "width": 64, "batch_size": 100, "epochs": 50},
        paper={"networks": "celeba", "latent": 256, "epochs": 123},
    ),
    "tiny_imagenet": Dataset(
        "ImageNet centre-cropped at 64 x 64 colour (Table 6)",
        "official:imagenet",
        needs="ILSVRC's folder with train and val; or pictures, Parquet files, .npz, hub:zh-plus/tiny-imagenet",
        modern={"latent": 128, "width": 64, "batch_size": 100, "epochs": 50},
        paper={"networks": "tiny_imagenet", "latent": 256, "batch_size": 128, "epochs": 125},
    ),
    "images": Dataset(
        "your own images, of any size, grey or colour",
        "images:images",
        needs="a folder of pictures, or of Parquet files in the Hugging Face image convention; an .npy or .npz array "
        "(n, height, width[, 3]); or hub:owner/name",
    ),
    "table": Dataset(
        "your own table: numbers, categories, booleans, missing cells",
        "tables:table",
        needs="a .csv or .parquet file, or an .npy or .npz array (n, columns)",
        modern={"networks": "mlp", "latent": 8, "width": 128, "depth": 3, "batch_size": 128, "lr": 2e-3},
        paper={"networks": "mlp", "latent": 8, "width": 128, "depth": 3},
    ),
}  # fmt: skip


def defaults(recipe: Callable[..., Run], dataset: str, face: str) -> dict[str, Any]:
    """The arguments that a recipe takes for a data set when nothing is said.

    The recipe's own, then what the face changes, then what the data set changes. A recipe of somebody's own keeps its own.
    """
    known = {name: p.default for name, p in inspect.signature(recipe).parameters.items() if p.default is not p.empty}
    entry = DATASETS[dataset] if recipe in RECIPES.values() else Dataset("", "")
    chosen = known | (PAPER | entry.paper if face == "paper" else entry.modern)
    return {name: value for name, value in chosen.items() if name in known}
