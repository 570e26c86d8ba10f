"""The contract of a game, held against what every recipe of the package makes, on vectors and on small images.

A new recipe is under it by being in ``RECIPES``. What a recipe's game can not do by construction is said in ``BLIND`` and ``NEEDS``.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from ali import games, sweeps
from ali.data.source import Batch
from ali.distributions import Distribution
from ali.games.game import Classifies, Conditions, Generates, Infers, Scores
from ali.recipes import RECIPES, Run, Spec
from ali.train import play

N, K = 6, 3
KINDS = {"vectors": ((4,), "mlp"), "images": ((1, 8, 8), "conv")}
# Parameters whose gradient is zero by construction, as a pattern: a relativistic objective sees only differences of logits.
BLIND = {name: r"discriminator\.d_xz\.\d+\.bias" for name in ("ali", "bigan", "conditional", "egbad", "post_hoc")}
BLIND |= {
    "gan": r"discriminator\.head\.\d+\.bias",
    "latent_regressor": r"discriminator\.head\.\d+\.bias",
    "hali": r"discriminator\.joint\.\d+\.bias",
    "infogan": r"critic\.head\.\d+\.bias",
    "vae_gan": r"discriminator\.head\.\d+\.bias",
    "alad": r"(discriminator_xz\.d_xz|discriminator_xx\.head|discriminator_zz\.head)\.\d+\.bias",
    "alice": r"(discriminator\.d_xz|cycle_discriminator\.head)\.\d+\.bias",
}
BLIND |= {"bigbigan": r"discriminator\.(s_x|s_z|joint)\.\d+\.bias"}  # so does a hinge whose margin nobody has reached
FEW = {"labelled": 2, "dropout": 0.0}  # so that each of the few weights has a gradient
NEEDS: dict[str, dict[str, Any]] = {"semi_supervised": FEW, "k_plus_one": FEW}  # arguments without which a recipe can not be made

CASES = [(name, kind) for name in RECIPES for kind in KINDS]


def make(name: str, kind: str, seed: int = 0) -> Run:
    torch.manual_seed(seed)
    shape, networks = KINDS[kind]
    labels = np.arange(60) % K
    spec = Spec(shape, tuple("abc"), y=labels.astype(np.int64))
    small = {"networks": networks, "latent": 2, "width": 4, "depth": 1}
    needs = NEEDS.get(name, {})
    if name == "post_hoc":
        needs = needs | {"parent": {"recipe": "gan", "spec": spec.to_json(), "arguments": small}}
    return RECIPES[name](spec, **small, epochs=1, batch_size=N, **needs)


def batch(kind: str) -> Batch:
    generator = torch.Generator().manual_seed(1)
    return Batch(torch.rand(N, *KINDS[kind][0], generator=generator) * 2 - 1, torch.arange(N) % K)


def losses(game: games.Game, kind: str) -> dict[str, Tensor]:
    torch.manual_seed(7)
    return game.losses(batch(kind), torch.tensor(0.3))


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_every_recipe_makes_a_game_that_keeps_the_contract(name, kind):
    run = make(name, kind)
    game = run.game

    # Every trainable parameter has exactly one owner; those who move are players, and every player moves and has an optimiser.
    owned = [id(p) for player in game.players for p in games.parameters(game, player)]
    assert sorted(owned) == sorted(id(p) for p in game.parameters() if p.requires_grad)
    assert {player for players in game.schedule for player in players} == set(game.players) == set(run.optimizers)

    # A finite scalar for each player, whose gradient reaches all that the player owns.
    lost = losses(game, kind)
    assert lost.keys() == game.players.keys()
    assert all(loss.shape == () and torch.isfinite(loss) for loss in lost.values())
    names = {id(p): name for name, p in game.named_parameters()}
    for player, loss in lost.items():
        mine = games.parameters(game, player)
        game.zero_grad()
        loss.backward(inputs=mine, retain_graph=True)
        unmoved = {names[id(p)] for p in mine if p.grad is None or p.grad.abs().max() < 1e-12}
        assert [p for p in unmoved if not re.fullmatch(BLIND.get(name, "never"), p)] == []

    # Weights saved and loaded give the same losses under the same seed; other weights do not.
    other = make(name, kind, seed=1).game
    assert losses(other, kind) != lost
    other.load_state_dict(game.state_dict())  # what was followed from pass to pass (singular values) is in it, too
    assert losses(other, kind) == losses(game, kind)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_every_recipe_s_game_is_played_and_its_verbs_answer(name, kind):
    run = make(name, kind)
    before = {name: p.clone() for name, p in run.game.named_parameters()}
    for step in play(run.game, iter([batch(kind)] * 3), run.optimizers, steps=3, seed=0):
        assert all(torch.isfinite(loss) for loss in step.losses.values())
    moved = {name for name, p in run.game.named_parameters() if not torch.equal(p, before[name])}
    assert len(moved) > 0.5 * sum(p.requires_grad for p in run.game.parameters())

    game: Any = run.game.eval()
    x, y = batch(kind)
    labels = (y,) if isinstance(game, Conditions) else ()
    with torch.no_grad():
        if isinstance(game, Generates):
            z = game.prior.sample(N)
            assert z.shape == (N, game.prior.dim)
            made = game.decode(z, *labels)
            assert isinstance(made, Distribution)
            assert made.mean.shape == made.rsample().shape == x.shape
        if isinstance(game, Conditions):
            drawn = game.labels(N)
            assert (drawn.shape, drawn.dtype) == (y.shape, y.dtype)
        if isinstance(game, Infers):
            code = game.encode(x, *labels)
            assert isinstance(code, Distribution)
            assert code.mean.shape == code.rsample().shape == (N, game.prior.dim)
        if isinstance(game, Classifies):
            probabilities = game.classify(x)
            assert len(probabilities) == N
            torch.testing.assert_close(probabilities.sum(1), torch.ones(N))
        if isinstance(game, Scores):
            scores = game.score(x)
            assert scores.shape == (N,)
            # A row's score is its own: what else is in the batch does not matter.
            torch.testing.assert_close(game.score(x[:2]), scores[:2])


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_the_loop_s_sweep_gives_every_player_its_own_gradient(name, kind):
    """The same as a backward pass for each player through the whole graph, to the rounding of double precision."""
    game = make(name, kind).game.double()
    owned = {player: games.parameters(game, player) for player in game.players}
    x, y = batch(kind)

    def lost() -> dict[str, Tensor]:
        torch.manual_seed(7)
        return game.losses(Batch(x.double(), y), torch.tensor(0.3))

    for players in game.schedule:
        plain = lost()
        expected = {player: torch.autograd.grad(plain[player], owned[player], retain_graph=True, allow_unused=True) for player in players}
        game.zero_grad()
        with sweeps.record() as tape:
            losses = lost()
        tape.backward({player: losses[player] for player in players}, owned)
        for player in players:
            assert torch.equal(losses[player], plain[player])
            for p, slope in zip(owned[player], expected[player], strict=True):
                found = torch.zeros_like(p) if p.grad is None else p.grad
                torch.testing.assert_close(found, torch.zeros_like(p) if slope is None else slope, rtol=1e-10, atol=1e-14)


class Questions(TorchDispatchMode):
    """Notes who asks for a number, or for as many rows as numbers say: there a GPU is waited for, and no graph can be captured."""

    ASKING = ("_local_scalar_dense", "nonzero", "equal", "is_nonzero", "masked_select", "_unique2")

    def __init__(self):
        super().__init__()
        self.asked: set[str] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        # A mask that chooses rows, too: how many there are depends on its numbers.
        masks = name.startswith("index") and any(t is not None and t.dtype == torch.bool for t in args[1])
        if name in self.ASKING or masks:
            self.asked.add(name)
        return func(*args, **(kwargs or {}))


def test_questions_are_noticed():
    x = torch.randn(4)
    for ask in (lambda: float(x[0]), lambda: bool(x.sum() > 0), lambda: x[x > 0], lambda: torch.equal(x, x), lambda: x.nonzero()):
        with Questions() as questions:
            ask()
        assert questions.asked


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_no_step_waits_for_the_device(name, kind):
    run = make(name, kind)
    played = play(run.game, iter([batch(kind)] * 2), run.optimizers, steps=2, seed=0, average=make(name, kind).game, decay=0.9)
    next(played)
    with Questions() as questions:
        next(played)
    assert not questions.asked
