r"""Both players' gradients from one sweep back through the discriminator.

Algorithm 1 wants two gradients of one forward pass: that of :math:`L_d` for D's weights, that of :math:`L_g` for the generators'.
Both reach D through its logits. Where D treats every row by itself, what a loss sends back through row i is its *seed*
:math:`\partial L / \partial \rho_i`, a number, times the same Jacobian; so one sweep with D's seeds is enough, and at D's inputs

.. math:: \frac{\partial L_g}{\partial a_i} = \frac{\partial L_g / \partial \rho_i}{\partial L_d / \partial \rho_i} \,
    \frac{\partial L_d}{\partial a_i}

For Algorithm 1's losses that factor is :math:`-e^{\rho_q}` on encoder pairs and :math:`-e^{-\rho_p}` on decoder pairs. It need
not be known: seeds come from autograd, so this is exact for every objective that is a function of the logits. A relativistic
one couples pairs in the *loss*, not in D, and is as exact. A seed of 0 (a hinge that is content, a saturated sigmoid) is taken
as a tiny number, which no weight feels and which divides out again.

It does not hold through layers in which rows meet (batch normalisation while it learns): such a D is swept once for each player,
but only for what each needs. Of Tables 4 to 6 only D(x) has them, so D(z) and D(x, z) are swept once (:func:`through`). It does
not hold for several logits per row, nor for layers of somebody's own: these are swept for each player, too.

The loop records (:func:`record`), ``judge`` passes pairs :func:`through`; games, objectives and penalties know nothing of it.
"""

from __future__ import annotations

__all__ = ["PER_ROW", "Tape", "per_row", "record", "stateless", "through"]

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

from ali import augment, layers, networks, table

# Layers that treat every row by itself, and what holds them together. Spectral normalisation looks at weights only.
PER_ROW: list[type[nn.Module]] = [
    nn.Linear, nn.Conv2d, nn.ConvTranspose2d, nn.Dropout, nn.LeakyReLU, nn.ReLU, nn.Sigmoid, nn.Tanh, nn.Flatten, nn.Unflatten,
    nn.Sequential, nn.ModuleList, nn.ModuleDict, parametrizations._SpectralNorm, parametrize.ParametrizationList,
    layers.Conv2d, layers.ConvTranspose2d, layers.Dropout, layers.Fourier, layers.Heads, layers.Maxout,
    layers.NormedLinear, layers.Residual, layers.UntiedBias, augment.Augment, nn.Identity, table.Network,
    networks.Critic, networks.Discriminator, networks.Joined, networks.Ladder, networks.Unary,
]  # fmt: skip


class Cut(NamedTuple):
    """A pass through a network, taken out of the graph on both sides: ``inputs`` -> ``leaves`` ... ``output`` -> ``seen``.

    ``weights`` are the identities of its parameters.
    """

    inputs: tuple[Tensor, ...]
    leaves: tuple[Tensor, ...]
    output: Tensor
    seen: Tensor
    weights: frozenset[int]


class Tape:
    """What was cut out of the graph while losses were computed."""

    def __init__(self) -> None:
        self.cuts: list[Cut] = []

    def cut(self, network: Callable[..., Tensor], modules: Sequence[nn.Module], inputs: Sequence[Tensor]) -> Float[Tensor, "n ..."]:
        """A network's logits, through which :meth:`backward` will pass the players' gradients.

        Arguments:
            network: treats each row by itself.
            modules: that it consists of.
            inputs: n rows each.
        """
        weights = frozenset(id(p) for module in modules for p in module.parameters())
        leaves = tuple(given.detach().requires_grad_(given.requires_grad) for given in inputs)
        output = network(*leaves)
        self.cuts.append(Cut(tuple(inputs), leaves, output, output.detach().requires_grad_(), weights))
        return self.cuts[-1].seen

    def backward(self, losses: dict[str, Float[Tensor, ""]], owned: dict[str, list[nn.Parameter]]) -> None:
        """Add to each player's weights the gradient of its own loss.

        Arguments:
            losses: of the players who are about to step.
            owned: the parameters of each player.
        """
        # Where each player's gradient starts, and with what slope.
        ends: dict[str, list[tuple[Tensor, Tensor | None]]] = {player: [(loss, None)] for player, loss in losses.items()}
        for cut in reversed(self.cuts):
            self._sweep(cut, ends, owned)
        for player, end in ends.items():
            last = player == list(ends)[-1]
            if not last and len(end) > 1:
                others = {id(p) for other in ends if other != player for p in owned[other]}
                end = self._let_go(end, owned[player], others)
            if end:
                tensors, slopes = zip(*end, strict=True)
                torch.autograd.backward(tensors, slopes, inputs=owned[player], retain_graph=not last)

    @staticmethod
    def _let_go(end: list[tuple[Tensor, Tensor | None]], own: list[nn.Parameter], others: set[int]) -> list[tuple[Tensor, Tensor | None]]:
        """Sweep what shares nothing with the rest and leads to nobody else's weights, and free it: memory is highest here.

        Returns:
            The rest.
        """
        graphs, mine = [_graph(tensor) for tensor, _ in end], {id(p) for p in own}
        rest = []
        for k, ((tensor, slope), (nodes, leaves)) in enumerate(zip(end, graphs, strict=True)):
            if leaves & others or any(nodes & more for j, (more, _) in enumerate(graphs) if j != k):
                rest.append((tensor, slope))
            elif leaves & mine:
                torch.autograd.backward(tensor, slope, inputs=own)
        return rest

    @staticmethod
    def _sweep(cut: Cut, ends: dict[str, list[tuple[Tensor, Tensor | None]]], owned: dict[str, list[nn.Parameter]]) -> None:
        """Take the players' gradients from behind a cut to before it, and leave in its weights what is theirs."""
        learned = {player: [p for p in owned[player] if id(p) in cut.weights] for player in ends}
        # Whoever owns nothing but what was cut out is not concerned by what comes before it.
        concerned = {player: len(owned[player]) > len(learned[player]) for player in ends}
        seeds = {player: _seed(end, cut.seen) for player, end in ends.items()}
        learners = [player for player in ends if learned[player]]
        one = cut.output.dim() == 1 and len(learners) <= 1
        base = learners[0] if learners else next(iter(ends))
        sweeps = [[base, *(player for player in ends if player != base)]] if one else [[player] for player in ends]
        for players in sweeps:
            wanted = [leaf for leaf in cut.leaves if leaf.requires_grad] if any(concerned[player] for player in players) else []
            first, *others = players
            if not learned[first] and not wanted:
                continue
            seed = _floored(seeds[first]) if others else seeds[first]
            more = players != sweeps[-1]
            slopes = torch.autograd.grad(cut.output, [*learned[first], *wanted], seed, retain_graph=more, allow_unused=True)
            for weight, slope in zip(learned[first], slopes, strict=False):
                if slope is not None:
                    if slope.stride() != weight.stride():  # fused optimisers go through memory as it lies
                        slope = torch.empty_like(weight).copy_(slope)
                    weight.grad = slope if weight.grad is None else weight.grad + slope
            before = [given for given, leaf in zip(cut.inputs, cut.leaves, strict=True) if leaf.requires_grad]
            found = [(given, slope) for given, slope in zip(before, slopes[len(learned[first]) :], strict=False) if slope is not None]
            if concerned[first]:
                ends[first] += found
            for player in others:
                if concerned[player]:
                    factor = seeds[player] / seed
                    ends[player] += [(given, slope * factor.reshape(-1, *[1] * (slope.dim() - 1))) for given, slope in found]


_tape: ContextVar[Tape | None] = ContextVar("tape", default=None)


@contextmanager
def record() -> Iterator[Tape]:
    """Cut passes out of the graph for a while: gradients then come from the tape's ``backward`` only."""
    tape = Tape()
    token = _tape.set(tape)
    try:
        yield tape
    finally:
        _tape.reset(token)


def through(network: Callable[..., Tensor], *inputs: Tensor) -> Float[Tensor, "n ..."]:
    """``network(*inputs)``, to be swept once for all players where that is exact, and as ever where nobody records.

    Arguments:
        network: from rows to logits.
        inputs: n rows each.
    """
    tape = _tape.get()
    if tape is None or not torch.is_grad_enabled() or not isinstance(network, nn.Module):
        return network(*inputs)
    if per_row(network):
        return tape.cut(network, [network], inputs)
    if type(network) is networks.Discriminator and per_row(network.d_z) and per_row(network.d_xz):
        x, *others = inputs
        return tape.cut(network.joined, [network.d_z, network.d_xz], (network.d_x(x), *others))
    return network(*inputs)


def per_row(network: nn.Module) -> bool:
    """Does a network treat each row by itself? Only what is known to do so does; not so batch normalisation while it learns."""
    inside = {id(layer) for rows in network.modules() if isinstance(rows, table.Network) for layer in rows}
    # What works in place could change a leaf, but for the layers of a table, which follow one with weights.
    return all(_known(m) and (not getattr(m, "inplace", False) or id(m) in inside) for m in network.modules())


def stateless(network: nn.Module) -> bool:
    """Is one pass over all rows the same as several passes over some each? Spectral normalisation takes a step with every pass."""
    return per_row(network) and not any(parametrize.is_parametrized(module) for module in network.modules())


def _known(module: nn.Module) -> bool:
    kind = type(module).__mro__[parametrize.is_parametrized(module)]  # a parametrised layer has a class of its own
    return kind in PER_ROW or (isinstance(module, nn.modules.batchnorm._BatchNorm) and not module.training)


def _graph(tensor: Tensor) -> tuple[set[Any], set[int]]:
    """The nodes that a tensor was computed by, and the identities of the leaves they lead to."""
    waiting: list[Any] = [tensor.grad_fn]
    nodes, leaves = set(), {id(tensor)} if tensor.grad_fn is None else set()
    while waiting:
        node = waiting.pop()
        if hasattr(node, "variable"):
            leaves.add(id(node.variable))
        elif node is not None and node not in nodes:
            nodes.add(node)
            waiting.extend(following for following, _ in node.next_functions)
    return nodes, leaves


def _seed(ends: list[tuple[Tensor, Tensor | None]], seen: Tensor) -> Tensor:
    tensors, slopes = zip(*ends, strict=True)
    (seed,) = torch.autograd.grad(tensors, seen, slopes, retain_graph=True, allow_unused=True)
    return torch.zeros_like(seen) if seed is None else seed


def _floored(seed: Tensor) -> Tensor:
    """No seed is nearer to 0 than a number that no weight feels: factors stay finite."""
    least = 1e-150 if seed.dtype == torch.float64 else 1e-20
    return torch.where(seed.abs() < least, seed.new_full((), least), seed)
