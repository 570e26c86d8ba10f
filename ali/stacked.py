r"""Several games of one kind as one game: their weights side by side, their layers one batched matrix product each.

A stacked game has the weights of K games with one more axis, the first. Its rows are those of all K games, the game varying
fastest: row i belongs to game i mod K, so that joining and cutting rows, as games do, keeps rows and games together. Between a
network's first and last layer with weights, activations have shape (K, units, rows): there a linear layer is one batched product
without any copy, and batch normalisation, whose statistics are of a game's own rows, is one call.

Each game draws noise from a generator of its own, seeded as :func:`ali.train.play` would seed torch for it alone. A mean over rows
becomes the sum of the K games' means: in each game's weights, it has the gradient of that game's own.
"""

from __future__ import annotations

__all__ = ["STACKING", "Noise", "Stacked", "StackedAdam", "StackedGame", "stack"]

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.adam import Adam
from torch.overrides import TorchFunctionMode

from ali import sweeps
from ali.data.source import Batch
from ali.distributions import DiagonalNormal, StandardNormal
from ali.errors import AliError
from ali.games.game import Game, parameters
from ali.layers import Fourier, Maxout, NormedLinear
from ali.machine import Precision
from ali.networks import Homoscedastic, in_full
from ali.recipes import Run
from ali.table import Network
from ali.train import Step, noise_seed, play

# Recipes whose losses are means over rows; not those that count labelled rows, or draw noise that is no row's own.
STACKING = ("ali", "bigan", "alice", "gan", "latent_regressor", "vae", "aae", "egbad", "alad")


class StackedLinear(nn.Linear):
    """K linear layers: weight (K, out, in), bias (K, out), on activations (K, in, rows)."""

    def forward(self, input: Float[Tensor, "K c m"]) -> Float[Tensor, "K out m"]:
        if self.bias is None:
            return torch.bmm(self.weight, input)
        return torch.baddbmm(self.bias.unsqueeze(2), self.weight, input)


class StackedNormed(NormedLinear):
    """K layers with weight normalisation: directions (K, out, in), lengths (K, out, 1), biases (K, out), and a pace for each game."""

    paces: Float[Tensor, "K 1 1"]

    def forward(self, input: Float[Tensor, "K c m"]) -> Float[Tensor, "K out m"]:
        lengths = (self.paces * self.gain).flatten(0, 1)
        weight = torch._weight_norm(self.weight.flatten(0, 1), lengths, 0).view_as(self.weight)
        return torch.baddbmm(self.paces * self.bias.unsqueeze(2), weight, input)


class StackedNorm(nn.BatchNorm1d):
    """Batch normalisation of K games, each over its own rows, on activations (K, units, rows): as K times as many channels."""

    def forward(self, input: Float[Tensor, "K d m"]) -> Float[Tensor, "K d m"]:
        known: Any = self
        if self.training:
            known.num_batches_tracked.add_(1)
        mean, variance, weight, bias = (t.view(-1) for t in (known.running_mean, known.running_var, self.weight, self.bias))
        return F.batch_norm(input.flatten(0, 1)[None], mean, variance, weight, bias, self.training, known.momentum, self.eps).view_as(input)


class StackedNetwork(Network):
    """A network of rows (m K, ...) whose layers with weights are stacked."""

    games: int

    def forward(self, input: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        return self._through(list(self), input.reshape(len(input), *self.input_shape))

    def features(self, input: Float[Tensor, "n ..."]) -> Float[Tensor, "n k"]:
        return self._through(list(self)[: self.last], input.reshape(len(input), *self.input_shape)).flatten(1)

    def verdict(self, features: Float[Tensor, "n k"]) -> Float[Tensor, "n ..."]:
        return self._through(list(self)[self.last :], features)

    def _through(self, layers: list[nn.Module], rows: Tensor) -> Tensor:
        weighty = [place for place, layer in enumerate(layers) if isinstance(layer, StackedLinear | StackedNormed | StackedNorm)]
        first, last = (weighty[0], weighty[-1] + 1) if weighty else (len(layers), len(layers))
        for layer in layers[:first]:
            rows = layer(rows)
        if weighty:
            a = rows.unflatten(0, (-1, self.games)).permute(1, 2, 0)
            for layer in layers[first:last]:
                a = layer(a)
            rows = a.permute(2, 0, 1).flatten(0, 1)
        for layer in layers[last:]:
            rows = layer(rows)
        return rows


class StackedHomoscedastic(Homoscedastic):
    """One learned standard deviation for each of K games."""

    def forward(self, u: Float[Tensor, "n ..."], *others: Float[Tensor, "n _"]) -> DiagonalNormal:
        mu = in_full(self.network(u, *others))
        games = len(self.log_sigma)
        per_row = self.log_sigma.repeat(len(mu) // games).view(-1, *(1 for _ in mu.shape[1:]))
        return DiagonalNormal(mu, per_row.expand_as(mu))


sweeps.PER_ROW.extend((StackedLinear, StackedNormed, StackedNetwork))

# What becomes of a module that owns weights or statistics; nothing of the last two, which own none that differ.
STACKED: dict[type[nn.Module], type[nn.Module] | None] = {
    nn.Linear: StackedLinear, NormedLinear: StackedNormed, nn.BatchNorm1d: StackedNorm,
    Network: StackedNetwork, Homoscedastic: StackedHomoscedastic,
    Fourier: None, StandardNormal: None,
}  # fmt: skip
BETWEEN = (
    nn.Linear,
    NormedLinear,
    nn.BatchNorm1d,
    nn.LeakyReLU,
    nn.ReLU,
    nn.Sigmoid,
    nn.Tanh,
    Maxout,
)  # take (K, units, rows) as they take rows


def stack(games: Sequence[nn.Module]) -> Any:
    """One game of several that differ in their numbers alone; their own weights become views of its.

    Returns:
        A copy of the first game whose layers are stacked.

    Raises:
        AliError: a layer that can not be stacked, or networks of different shapes.
    """
    shapes = [{name: t.shape for name, t in game.state_dict().items()} for game in games]
    if any(other != shapes[0] for other in shapes):
        raise AliError("runs that are trained together have networks of the same shapes: width, depth, latent and networks are common")
    stacked = copy.deepcopy(games[0])
    for module in list(stacked.modules()):
        _check(module)
        if (to := STACKED.get(type(module))) is not None:
            module.__class__ = to  # the same object, so that all who hold it hold the stacked one
            if isinstance(module, StackedNetwork):
                module.games = len(games)
        if isinstance(module, nn.ReLU):
            module.inplace = False  # in place on a view, as stacked batch normalisation gives it, autograd would copy four times
    for name, module in stacked.named_modules():
        if isinstance(module, StackedNormed):
            paces: list[Any] = [game.get_submodule(name) for game in games]
            module.paces = torch.tensor([layer.pace for layer in paces], device=module.weight.device, dtype=module.weight.dtype).view(
                -1, 1, 1
            )
    each = [dict(game.named_parameters()) | dict(game.named_buffers()) for game in games]
    common = {f"{name}.{own}".lstrip(".") for name, m in stacked.named_modules() if STACKED.get(type(m), m) is None for own in m._buffers}
    for name, tensor in (dict(stacked.named_parameters()) | dict(stacked.named_buffers())).items():
        if name not in common:
            tensor.data = torch.stack([known[name].data for known in each])
            for k, known in enumerate(each):
                known[name].data = tensor.data[k]
    return stacked


def _check(module: nn.Module) -> None:
    """Refuse a module that is not known to be stacked as it is."""
    owns = [*module._parameters, *module._buffers]
    if isinstance(module, Network) and any(isinstance(layer, nn.Linear) for layer in module):
        first = next(place for place, layer in enumerate(module) if isinstance(layer, nn.Linear))
        strange = [layer for layer in list(module)[first : module.last] if type(layer) not in BETWEEN]
    else:
        strange = [module] if owns and type(module) not in STACKED else []
    if strange:
        raise AliError(
            f"runs are trained together on fully connected networks (networks mlp or mixture), and here is a {type(strange[0]).__name__}: "
            "train them one after the other"
        )


class Noise(TorchFunctionMode):
    """While it is entered, K games draw from generators of their own, and a mean over rows is the sum of the games' means.

    Arguments:
        seeds: of the runs, as for :func:`ali.train.play`.
        device: where the noise is drawn.
    """

    def __init__(self, seeds: Sequence[int], device: torch.device):
        super().__init__()
        self.seeds, self.generators = seeds, [torch.Generator(device) for _ in seeds]
        self.alone: int | None = None  # the run that draws, if it is one only
        self.rows = 0
        self.means: list[tuple[Tensor, Tensor]] = []  # sums over the games, and what they are sums of

    def seed(self, step: int) -> None:
        """Begin a step."""
        for seed, generator in zip(self.seeds, self.generators, strict=True):
            generator.manual_seed(noise_seed(seed, step))

    @contextmanager
    def of(self, run: int) -> Iterator[None]:
        """What is drawn here is one run's."""
        self.alone = run
        with self:
            yield
        self.alone = None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in _DRAWS and kwargs.get("generator") is None:
            return self._draw(func, *args, **kwargs)
        if self.alone is None:
            if func in _MEANS and len(args) == 1 and not kwargs:
                return self._mean(args[0])
            if func is F.mse_loss and kwargs.get("reduction", "mean") == "mean" and kwargs.get("weight") is None:
                return self._mean((args[0] - args[1]).square())
        return func(*args, **kwargs)

    def _draw(self, func: Any, *args: Any, **kwargs: Any) -> Tensor:
        if func in _LIKE:
            like = args[0]
            func, shape = _LIKE[func], tuple(like.shape)
            kwargs = {"dtype": like.dtype, "device": like.device} | kwargs
        else:
            shape = tuple(args[0]) if isinstance(args[0], Sequence) else args
        if self.alone is not None:
            return func(shape, generator=self.generators[self.alone], **kwargs)
        if not shape or shape[0] != self.rows:
            raise AliError(f"noise of shape {shape} is not one for each of {self.rows} rows: this game's runs are not trained together")
        own = (shape[0] // len(self.generators), *shape[1:])
        return torch.stack([func(own, generator=generator, **kwargs) for generator in self.generators], 1).flatten(0, 1)

    def _mean(self, values: Tensor) -> Float[Tensor, ""]:
        if not values.dim() or len(values) % len(self.generators):  # of all rows, of both kinds of pair, or of a share of either
            raise AliError(f"a mean of shape {tuple(values.shape)} is not one over rows: this game's runs are not trained together")
        each = values.unflatten(0, (-1, len(self.generators))).movedim(1, 0).flatten(1).mean(1)
        self.means.append((each.sum(), each.detach()))
        return self.means[-1][0]


_LIKE: dict[Any, Callable[..., Tensor]] = {torch.randn_like: torch.randn, torch.rand_like: torch.rand}
_DRAWS = {*_LIKE, *_LIKE.values()}
_MEANS = {torch.mean, Tensor.mean}


class StackedGame(Game):
    """K games of one kind as one, which loses what they lose together.

    Arguments:
        games: they learn with it: their weights become views of its.
        noise: their generators.
    """

    def __init__(self, games: Sequence[Game], noise: Noise):
        super().__init__()
        self.game, self.noise = stack(games), noise
        self.players, self.schedule = self.game.players, self.game.schedule
        self.lost: dict[str, Tensor] = {}  # by each game, in the last pass

    def losses(self, batch: Batch, progress: Float[Tensor, ""]) -> dict[str, Float[Tensor, ""]]:
        self.noise.rows, self.noise.means = len(batch.x), []
        first, before = not self.lost, torch.get_rng_state()
        with self.noise:
            losses = self.game.losses(batch, progress)
        sums, each = zip(*self.noise.means, strict=True)
        # Losses are weighted sums of means: the weights are their derivatives.
        weights = [torch.autograd.grad(loss, sums, retain_graph=True, materialize_grads=True) for loss in losses.values()]
        # No matrix product: where the loop's products are bfloat16, this one would be.
        lost = (torch.stack([torch.stack(weight) for weight in weights]).unsqueeze(2) * torch.stack(each)).sum(1)
        if first:
            total = torch.stack(list(losses.values())).detach()
            if not torch.equal(before, torch.get_rng_state()) or not torch.allclose(lost.sum(1), total, 1e-3, 1e-3, equal_nan=True):
                raise AliError("this game draws noise, or takes means, in a way that can not be each run's own: its runs do not stack")
        self.lost = dict(zip(losses, lost, strict=True))
        return losses


class StackedAdam(Optimizer):
    """Adam of one player in K games, each with its own rate and betas; to the loop it is one optimiser.

    Arguments:
        weights: the stacked ones.
        optimizers: of the K games; their states become views of its.
        moved: called after each step.
    """

    def __init__(self, weights: list[nn.Parameter], optimizers: Sequence[Optimizer], moved: Callable[[], None]):
        super().__init__(weights, {})
        self.weights, self.moved = weights, moved
        self.param_groups = [group for optimizer in optimizers for group in optimizer.param_groups]
        for optimizer in optimizers:
            (group,) = optimizer.param_groups
            if type(optimizer) is not Adam or group["weight_decay"] or group["amsgrad"] or group["maximize"] or not group["fused"]:
                raise AliError("runs that are trained together take fused Adam without weight decay")
        # Weights, their two averages and the steps done, for all games, and the views of each.
        names = ("step", "exp_avg", "exp_avg_sq")
        self.steps = torch.zeros(len(weights), len(optimizers), device=weights[0].device)
        common: list[tuple[Tensor, ...]] = []
        for place, weight in enumerate(weights):
            owned = [(optimizer.state, optimizer.param_groups[0]["params"][place]) for optimizer in optimizers]
            state = (self.steps[place], torch.zeros_like(weight.data), torch.zeros_like(weight.data))
            for k, (states, own) in enumerate(owned):
                for name, stacked in zip(names, state, strict=True):
                    if own in states:
                        stacked[k] = states[own][name]
                states[own] = {name: stacked[k] for name, stacked in zip(names, state, strict=True)}
            common.append((*state, weight.data))
        self.own = [[[t[k] for t in part] for part in zip(*common, strict=True)] for k in range(len(optimizers))]
        self.common = [self.own[0][0], *map(list, list(zip(*common, strict=True))[1:])]

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # pyrefly: ignore
        self.steps.add_(1)
        grads: list[Any] = [weight.grad for weight in self.weights]
        groups = [(group["lr"], *group["betas"], group["eps"]) for group in self.param_groups]
        if len(set(groups)) == 1:
            self._step(self.common, grads, groups[0])
        else:
            for own, gradient, group in zip(self.own, zip(*(grad.unbind() for grad in grads), strict=True), groups, strict=True):
                self._step(own, gradient, group)
        self.moved()

    @staticmethod
    def _step(state: list[list[Tensor]], grads: list[Tensor] | tuple[Tensor, ...], group: tuple[float, float, float, float]) -> None:
        (steps, first, second, weights), (lr, beta1, beta2, eps) = state, group
        # What torch.optim.Adam calls; by itself, it would first look at each weight of each run.
        torch._fused_adam_(
            weights, grads, first, second, [], steps, lr=lr, beta1=beta1, beta2=beta2, weight_decay=0.0, eps=eps,
            amsgrad=False, maximize=False,
        )  # fmt: skip

    def zero_grad(self, set_to_none: bool = True) -> None:
        for weight in self.weights:
            weight.grad = None


class Stacked:
    """Runs that are played together; their games, optimisers and averages, whose numbers become views of common ones, go on as their own.

    Arguments:
        runs: of one recipe; they may differ in weights, learning rates and betas.
        seeds: of their noise.
        averages: of their games, if there are any.

    Raises:
        AliError: networks that can not be stacked, or runs that differ in more.
    """

    def __init__(self, runs: Sequence[Run], seeds: Sequence[int], averages: Sequence[Game] = ()):
        first = runs[0]
        for run in runs:
            for name in ("batch_size", "epochs", "decay"):
                one, other = getattr(first, name), getattr(run, name)
                if one != other:
                    raise AliError(f"runs that are trained together have one {'ema' if name == 'decay' else name}: got {one} and {other}")
        self.rate, self.decay = first.rate, first.decay
        self.noise = Noise(seeds, next(first.game.parameters()).device)
        self.game = StackedGame([run.game for run in runs], self.noise)
        self.average = StackedGame(averages, self.noise) if averages else None
        self.lost: dict[str, Tensor] = {}  # by each run's player when it moved last
        self.optimizers: dict[str, Any] = {
            player: StackedAdam(parameters(self.game, player), [run.optimizers[player] for run in runs], partial(self._moved, player))
            for player in self.game.players
        }

    def _moved(self, player: str) -> None:
        self.lost[player] = self.game.lost[player]

    def play(self, streams: Sequence[Iterator[Batch]], *, steps: int, start: int = 0, precision: Precision = "float32") -> Iterator[Step]:
        """Play all games at once, as :func:`ali.train.play` plays one.

        Arguments:
            streams: of each run, its next batch that of step ``start``.
            steps, start, precision: as for a run alone.

        Returns:
            Steps whose losses have shape (K,).
        """
        self.game.train()
        for done, _ in play(
            self.game, self._batches(streams, start), self.optimizers, steps=steps, seed=0, start=start, rate=self.rate,
            average=self.average, decay=self.decay, precision=precision,
        ):  # fmt: skip
            yield Step(done, self.lost)
            self.lost = {}

    def _batches(self, streams: Sequence[Iterator[Batch]], step: int) -> Iterator[Batch]:
        """The rows of all runs, the run varying fastest; here each step's noise begins."""
        while True:
            self.noise.seed(step)
            rows = []
            for k, stream in enumerate(streams):
                with self.noise.of(k):
                    rows.append(next(stream).x)
            yield Batch(torch.stack(rows, 1).flatten(0, 1), None)
            step += 1
