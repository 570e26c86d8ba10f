"""What recipes are made of: networks that fit the data, as the shared arguments choose them, and their optimisers.

Torch is imported inside the functions, so that the command line can read signatures at once (:mod:`ali.recipes.arguments`).
"""

from __future__ import annotations

__all__ = ["TABLES", "Parts"]

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from ali.errors import AliError
from ali.recipes.run import Later, Run, Spec, in_range

if TYPE_CHECKING:
    from torch import nn

    from ali.distributions import StandardNormal
    from ali.games import Game
    from ali.networks import Conditional, Critic, Discriminator, Ladder, Unary
    from ali.table import Network
    from ali.tables.generic import Rows

Dropout = tuple[float, float] | None
TABLES = ("mixture", "cifar10", "svhn", "celeba", "tiny_imagenet", "dcgan")  # published ones, in ali/tables/


PACE = 4e-3  # learning rate of lengths and biases under weight normalisation, whatever that of the directions is
SIGMA_BOUND = 2.0  # largest log sigma of a Gaussian conditional; codes have about unit variance


@dataclass(frozen=True)
class Parts:
    """Networks for this data, as the shared arguments choose them; each call builds a new one.

    Arguments:
        spec: what the data dictates.
        given: the shared arguments.

    Raises:
        AliError: an argument out of range.
    """

    spec: Spec
    given: dict[str, Any]

    def __post_init__(self):
        given = self.given
        for name in ("lr", "scale"):
            in_range(name, given[name], 0, open=True)
        for name in ("beta1", "beta2", "ema", "hold"):
            in_range(name, given[name], 0, 1)
        for name in ("latent", "width", "depth", "epochs"):
            in_range(name, given[name], 1)
        in_range("batch_size", given["batch_size"], 2)

    @property
    def paper(self) -> bool:
        """Is the face that of 2016?"""
        return self.given["face"] == "paper"

    @property
    def latent(self) -> int:
        """Dimension of z."""
        return self.given["latent"]

    @property
    def prior(self) -> StandardNormal:
        from ali.distributions import StandardNormal

        return StandardNormal(self.latent)

    def encoder(
        self, family: str = "gaussian", *, codes: int | None = None, sees: int = 0, log_sigma_0: float | None = None
    ) -> Conditional:
        """q(z | x), or q(z | x, e).

        Arguments:
            family: "gaussian" (eq. 2), "implicit" (eq. 3) or "deterministic".
            codes: dimension of its z; by default ``latent``.
            sees: numbers e that join before the last layer: of a label's embedding.
            log_sigma_0: initial log sigma of the Gaussian family; by default 0 for the paper's face, -3 for the modern one.
        """
        from ali.networks import Deterministic, ImplicitConditional, Joined
        from ali.table import build

        codes = codes or self.latent
        outputs = 2 * codes if family == "gaussian" else codes
        noise = codes if family == "implicit" and len(self.spec.shape) == 1 else 1 if family == "implicit" else 0
        shape, rows = (self.spec.shape[0] + noise, *self.spec.shape[1:]), self._rows(outputs)
        if not rows.G_z:
            raise AliError(f"networks {self.given['networks']!r} have no encoder: take networks 'conv'")
        untied = {"untied": self.paper and _image(rows)}
        if sees:
            body = build(rows.G_z[:-1], shape, **self._options)
            joint = (body.size + sees, 1, 1) if _image(rows) else (body.size + sees,)
            network: nn.Module = Joined(body, build(rows.G_z[-1:], joint, (outputs,), **self._options, **untied))
        else:
            network = build(rows.G_z, shape, (outputs,), **self._options, **untied)
        if family == "gaussian":
            return self._gaussian(network, -3.0 if log_sigma_0 is None else log_sigma_0)
        return ImplicitConditional(network, noise) if family == "implicit" else Deterministic(network)

    def decoder(self, family: str = "deterministic", *, codes: int | None = None, sees: int = 0) -> Conditional:
        """p(x | z), or p(x | z, e).

        Arguments:
            family: "deterministic"; or with a density: "gaussian" (one learned sigma), "bernoulli" (pixels).
            codes: dimension of its z; by default ``latent``.
            sees: numbers e that join z: of a label's embedding.
        """
        from ali.networks import BernoulliConditional, Deterministic, Homoscedastic

        if family == "bernoulli":
            if len(self.spec.shape) == 1:
                raise AliError("a Bernoulli decoder is for the pixels of images, and the rows are vectors: take likelihood 'gaussian'")
            return BernoulliConditional(self.generator(codes=codes, sees=sees, output="linear"), low=0.0 if self.paper else -1.0)
        network = self.generator(codes=codes, sees=sees)
        # Below 1, the data's own scale: where noise explains everything, the code starts out useless and may stay so.
        return Homoscedastic(network, 0.0 if self.paper else -1.0) if family == "gaussian" else Deterministic(network)

    def generator(self, *, codes: int | None = None, sees: int = 0, output: str | None = None) -> nn.Module:
        """The decoder's network, without the distribution around it.

        Arguments:
            codes, sees: as for :meth:`decoder`.
            output: last nonlinearity, if not that of the network's range.
        """
        from ali.networks import Joined
        from ali.table import build

        rows, size = self._rows(1, output), (codes or self.latent) + sees
        g = build(rows.G_x, self._code(rows, size), self.spec.shape, **self._options, untied=self.paper and _image(rows))
        return Joined(None, self._finished(g)) if sees else self._finished(g)

    def _finished(self, g: Network) -> Network:
        """The decoder's last touch: heads for a table's columns, and a bias that begins with the mean training image."""
        import torch

        from ali import layers

        if any(kind != "linear" for kind, _ in self.spec.heads):
            g.append(layers.Heads(self.spec.heads))
        if self.spec.mean is not None and any(isinstance(module, layers.UntiedBias) for module in g):
            bias = next(module.bias for module in g if isinstance(module, layers.UntiedBias))
            bias.data.copy_(torch.logit(self.spec.mean, eps=1e-3))
        return g

    def discriminator(self, *, codes: int | None = None, sees: int = 0, outputs: int = 1, dropout: Dropout = None) -> Discriminator:
        """D(x, z), or D(x, z, e).

        Arguments:
            codes: dimension of its z; by default ``latent``.
            sees: numbers e that join before the joint layers: of a label's embedding.
            outputs: logits per pair.
            dropout: on x, and on the input of every layer but the first; by default what the table says.
        """
        from ali.networks import Discriminator
        from ali.table import build

        rows = _with_dropout(self._rows(1), dropout)
        d_x = self._augmented(build(rows.D_x, self.spec.shape, **self._options))
        d_z = build(rows.D_z, self._code(rows, codes or self.latent), **self._options)
        return Discriminator(d_x, d_z, self._head(rows, d_x.size + d_z.size + sees, outputs))

    def critic(
        self,
        of: Literal["x", "z"] = "x",
        *,
        outputs: int = 1,
        codes: int | None = None,
        sees: int = 0,
        abreast: int = 1,
        dropout: Dropout = None,
    ) -> Critic:
        """D(x), or D(z): the same rows, with one input only.

        Arguments:
            of: what it judges.
            outputs: logits per row.
            codes: dimension of z; by default ``latent``.
            sees: numbers e that join before the joint layers.
            abreast: how many x, or z, it judges together: they stand beside each other, as further numbers or maps.
            dropout: on x, and on the input of every layer but the first; by default what the table says.
        """
        from ali.networks import Critic
        from ali.table import build

        rows = _with_dropout(self._rows(1), dropout)
        of_rows, shape = (rows.D_x, self.spec.shape) if of == "x" else (rows.D_z, self._code(rows, codes or self.latent))
        body = build(of_rows, (abreast * shape[0], *shape[1:]), **self._options)
        if of == "x" and abreast == 1:  # pairs of images are compared as they are
            body = self._augmented(body)
        return Critic(body, self._head(rows, body.size + sees, outputs))

    def _augmented(self, body: Network) -> Network:
        """D's layers on x, behind those that change its view of images (:mod:`ali.augment`), if any are asked for.

        Raises:
            AliError: rows that are no images, or an unknown operation.
        """
        from ali import augment

        operations = augment.policy(self.given["augment"])
        if operations and len(self.spec.shape) == 1:
            raise AliError("augment is for images, and the rows are vectors: leave it out")
        return body.insert(0, augment.Augment(operations)) if operations else body

    def recognition(self, features: int, outputs: int) -> Network:
        """Q(c | x) on a critic's features: one hidden layer of 128 units, as InfoGAN's authors have it.

        Arguments:
            features: numbers that it sees (:class:`ali.networks.Critic`).
            outputs: numbers that it puts out.
        """
        from ali.table import build, linear

        rows = (linear(128, self.paper, 0.0, "lrelu"), linear(outputs, False, 0.0, "linear"))
        return build(rows, (features,), (outputs,), **self._options)

    def unary(self) -> Unary:
        """D(x, z) that also judges x alone and z alone, from the same features."""
        from ali.networks import Unary
        from ali.table import build

        rows = self._rows(1)
        f = self._augmented(build((*rows.D_x, *rows.D_xz[:-1]), self.spec.shape, **self._options))
        h = build((*rows.D_z, *rows.D_xz[:-1]), self._code(rows, self.latent), **self._options)
        s_x, s_z = (build(rows.D_xz[-1:], self._code(rows, features.size), **self._options, logits=True) for features in (f, h))
        return Unary(f, h, s_x, s_z, self._head(rows, f.size + h.size, 1))

    def hierarchy(self, codes: tuple[int, ...], skip: bool = False) -> tuple[list[Conditional], list[Conditional], Ladder]:
        """Encoders and decoders of a ladder of codes, from the bottom up, and its D(x, z_1, ..., z_L); all Gaussian but p(x | z_1).

        Arguments:
            codes: of each level, from the bottom up: maps (conv; the top one is a vector), or numbers (mlp).
            skip: every encoder sees x itself.
        """
        from ali.networks import Deterministic, Ladder
        from ali.table import build
        from ali.tables import generic

        given, shape, options = self.given, self.spec.shape, self._options
        output = "linear" if len(shape) == 1 else "sigmoid" if self.paper else "tanh"
        if given["networks"] == "mlp":
            size = math.prod(shape)
            levels = generic.rungs(size, codes, given["width"], given["depth"], batch_norm=self.paper, output=output, skip=skip)
        elif given["networks"] == "conv" and len(shape) == 3:
            dropout = 0.2 if self.paper else 0.0
            image = (shape[0], shape[1], shape[2])
            levels = generic.ladder(image, codes, given["width"], batch_norm=self.paper, dropout=dropout, output=output, skip=skip)
        else:
            raise AliError(f"a hierarchy has networks 'conv' for images, or 'mlp': got {given['networks']!r}")
        encoders, decoders, stacks = [], [], []
        for number, level in enumerate(levels):
            code, seen = math.prod(level.code), shape if skip or number == 0 else level.below
            encoders.append(self._gaussian(build(level.G_z, seen, (2 * code,), **options), -3.0))
            if number == 0:
                decoders.append(
                    Deterministic(
                        self._finished(
                            build(level.G_x, level.code, shape, **options, untied=self.paper and level.G_x[0].operation != "linear")
                        )
                    )
                )
            else:
                decoders.append(self._gaussian(build(level.G_x, level.code, (2 * math.prod(level.below),), **options), 0.0))
            stack = build(level.D, level.seen, **options)
            stacks.append(stack if number else self._augmented(stack))
        # What D's last stack makes, and the top code beside it.
        return encoders, decoders, Ladder(stacks, self._head(self._rows(1), stacks[-1].size + codes[-1], 1))

    def run(
        self, game: Game, *, labelled: int = 0, lr: dict[str, float] | None = None, rate: Callable[[float], float] | None = None
    ) -> Run:
        """A game with Adam for each of its players.

        Arguments:
            labelled: rows of each batch that are drawn from the labelled ones (:class:`Run`).
            lr: learning rates of players that have one of their own.
            rate: learning rate as a factor (:class:`Run`); by default as the face has it.
        """
        import torch

        from ali import games, train

        given, own = self.given, lr or {}

        def adam(player: str) -> torch.optim.Optimizer:
            lr, betas = own.get(player, given["lr"]), (given["beta1"], given["beta2"])
            return torch.optim.Adam(games.parameters(game, player), lr=lr, betas=betas, fused=True)

        modern = train.warm_hold_cosine if given["weight_norm"] else train.hold_then_cosine
        rate = rate or (train.constant if self.paper else partial(modern, hold=given["hold"]))
        return Run(game, Later(game.players, adam), given["batch_size"], given["epochs"], rate, given["ema"], labelled)

    def _gaussian(self, network: nn.Module, log_sigma_0: float) -> Conditional:
        """As the authors have it, or with a smaller initial sigma, which can not overflow."""
        from ali.networks import Gaussian

        return Gaussian(network) if self.paper else Gaussian(network, log_sigma_0, SIGMA_BOUND)

    @property
    def _options(self) -> dict[str, Any]:
        """What a table leaves to ``build``."""
        scale = self.given["scale"]
        if self.given["networks"] in TABLES:
            rows = import_module(f"ali.tables.{self.given['networks']}")
            return {"sigma": scale * rows.SIGMA, "slope": rows.SLOPE, "pieces": rows.PIECES}
        pace = {"pace": PACE / self.given["lr"]} if self.given["weight_norm"] and self.given["networks"] == "mlp" else {}
        return {"sigma": scale * 0.01, "slope": 0.1} if self.paper else {"sigma": None, "gain": scale * 0.6, "slope": 0.2, **pace}

    def _rows(self, outputs: int, output: str | None = None) -> Rows:
        """A table of the paper or generic rows, the encoder's last one with so many outputs, the decoder's with such an output."""
        from ali.tables import generic, residual

        given, shape, paper = self.given, self.spec.shape, self.paper
        output = output or ("linear" if len(shape) == 1 else "sigmoid" if paper else "tanh")
        if given["networks"] == "mlp":
            frequencies = {name: tuple(given[name]) for name in ("frequencies_x", "frequencies_z")}
            return generic.mlp(math.prod(shape), outputs, given["width"], given["depth"], batch_norm=paper, output=output, **frequencies)
        if given["networks"] in ("conv", "compact", "residual"):
            if len(shape) == 1:
                raise AliError(f"networks {given['networks']!r} are for images, and the rows are vectors: take networks 'mlp'")
            image = (shape[0], shape[1], shape[2])
            if given["networks"] != "residual":
                options = {"batch_norm": paper, "dropout": 0.2 if paper else 0.0, "compact": given["networks"] == "compact"}
                return generic.image(image, outputs, given["width"], output=output, **options)
            if paper:
                raise AliError("networks 'residual' are of the modern face only: leave face out, or take networks 'conv'")
            return residual.image(image, outputs, given["width"], output=output)
        if given["networks"] not in TABLES:
            raise AliError(f"unknown networks {given['networks']!r}: choose one of mlp, conv, compact, residual, {', '.join(TABLES)}")
        rows = import_module(f"ali.tables.{given['networks']}")
        if given["networks"] == "dcgan":
            if len(shape) == 1 or shape[1:] not in [(size, size) for size in rows.SIZES]:
                wanted = " or ".join(f"{size} x {size}" for size in rows.SIZES)
                raise AliError(
                    f"networks 'dcgan' are for images of {wanted} pixels, here rows have shape {shape}: take networks 'conv' or 'mlp'"
                )
            decoder, d_x = rows.SIZES[shape[1]]
            return generic.Rows((), (*decoder[:-1], decoder[-1]._replace(maps=shape[0], nonlinearity=output)), d_x, (), rows.D_xz)
        for what, theirs, ours in (("x of shape", rows.X, shape), ("z of dimension", rows.Z, self.latent)):
            if theirs != ours:
                raise AliError(f"networks {given['networks']!r} are for {what} {theirs}, here it is {ours}: take networks 'mlp' or 'conv'")
        # Another family of encoder, or another range of pixels, than the table's changes the last rows.
        encoder = (*rows.G_z[:-1], rows.G_z[-1]._replace(maps=outputs))
        decoder = (*rows.G_x[:-1], rows.G_x[-1]._replace(nonlinearity=output))
        return generic.Rows(encoder, decoder, rows.D_x, rows.D_z, rows.D_xz)

    def _code(self, rows: Rows, size: int) -> tuple[int, ...]:
        return (size, 1, 1) if _image(rows) else (size,)

    def _head(self, rows: Rows, inputs: int, outputs: int) -> Network:
        """The joint layers of D."""
        from ali.table import build

        last = rows.D_xz[-1]._replace(maps=outputs)
        shape = (outputs, 1, 1) if _image(rows) else (outputs,)
        return build((*rows.D_xz[:-1], last), self._code(rows, inputs), shape, **self._options, logits=True)


def _image(rows: Rows) -> bool:
    return rows.D_xz[0].operation == "conv"


def _with_dropout(rows: Rows, dropout: Dropout) -> Rows:
    """The same tables with another dropout in D: the first rows, which see x or z themselves, have one of their own."""
    if dropout is None:
        return rows
    on_x, hidden = dropout
    d = {name: [row._replace(dropout=hidden) for row in getattr(rows, name)] for name in ("D_x", "D_z", "D_xz")}
    for name, first in (("D_x", on_x), ("D_z", 0.0)) if d["D_x"] else (("D_xz", on_x),):
        d[name][:1] = [row._replace(dropout=first) for row in d[name][:1]]
    return rows._replace(**{name: tuple(changed) for name, changed in d.items()})
