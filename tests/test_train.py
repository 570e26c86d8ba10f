"""The one loop: each player's own gradient, the order of moves, rates, averages, and weights that (seed, step) alone decide."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ali import games
from ali.data.source import Batch, Source, stream
from ali.distributions import StandardNormal
from ali.networks import Deterministic, Discriminator, Gaussian
from ali.table import build
from ali.tables import generic
from ali.train import constant, hold_then_cosine, play, warm_hold_cosine

X, Z = 3, 2
SIMULTANEOUS, ALTERNATING = (("discriminator", "generator"),), (("discriminator",), ("generator",))
ROWS = Source(np.random.default_rng(0).normal(size=(40, X)))  # float64


class Known(StandardNormal):
    """A prior that always draws the same codes, so that a deterministic game has no noise at all."""

    def sample(self, n: int) -> Tensor:
        return torch.linspace(-1, 1, n * self.dim, dtype=torch.float64).reshape(n, self.dim).sin()


def small_game(encoder=Gaussian, prior=StandardNormal, batch_norm: bool = False, seed: int = 0, **options) -> games.ALI:
    """ALI on rows of three numbers, in float64."""
    torch.manual_seed(seed)
    codes = 2 * Z if encoder is Gaussian else Z
    rows = generic.mlp(X, codes, width=6, depth=1, batch_norm=batch_norm)
    e, g = encoder(build(rows.G_z, (X,), (codes,), sigma=0.5)), Deterministic(build(rows.G_x, (Z,), (X,), sigma=0.5))
    d = Discriminator(build((), (X,)), build((), (Z,)), build(rows.D_xz, (X + Z,), (1,), sigma=0.5, logits=True))
    return games.ALI(e, g, d, prior(Z), **options).double()


def adams(game: games.Game, lr: float = 1e-2) -> dict[str, torch.optim.Optimizer]:
    return {player: torch.optim.Adam(games.parameters(game, player), lr=lr, betas=(0.5, 0.99)) for player in game.players}


def batches(start: int = 0):
    return stream(ROWS, 8, seed=3, start=start)


def weights(game: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in game.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    """Bit for bit."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def train(game: games.Game, steps: int = 6, seed: int = 5, **options) -> dict[str, Tensor]:
    for _ in play(game, batches(), adams(game), steps=steps, seed=seed, **options):
        pass
    return weights(game)


@pytest.mark.parametrize("schedule", [SIMULTANEOUS, ALTERNATING])
def test_a_step_takes_the_gradient_of_each_players_own_loss(schedule):
    """Stepping with rate 1, weights change by minus the gradient; only in the simultaneous game all gradients are at the same point."""
    game = small_game(Deterministic, Known, penalty=0.5, cycle=1.0, regression=1.0, schedule=schedule)
    before = copy.deepcopy(game)
    optimizers = {player: torch.optim.SGD(games.parameters(game, player), lr=1.0) for player in game.players}
    next(play(game, batches(), optimizers, steps=4, seed=0))

    batch, progress = next(batches()), torch.tensor(0.0)
    for player in ("discriminator", "generator"):
        at = games.parameters(before, player)
        want = torch.autograd.grad(before.losses(batch, progress)[player], at)
        for p, q, gradient in zip(at, games.parameters(game, player), want, strict=True):
            torch.testing.assert_close(p - q, gradient, rtol=0, atol=1e-12)
            assert gradient.abs().max() > 1e-6
        if schedule == ALTERNATING:  # the generators answer the discriminator that has just moved
            before.discriminator.load_state_dict(game.discriminator.state_dict())


class Reference:
    """ALI written by hand, for two-layer networks and Algorithm 1 with Kingma and Ba's Adam; nothing of the package in it."""

    def __init__(self, state: dict[str, Tensor], lr: float, beta1: float, beta2: float):
        self.w = {name: tensor.clone().requires_grad_() for name, tensor in state.items()}
        self.lr, self.beta1, self.beta2 = lr, beta1, beta2
        self.m = {name: torch.zeros_like(tensor) for name, tensor in state.items()}
        self.v, self.t = copy.deepcopy(self.m), dict.fromkeys(state, 0)

    def network(self, name: str, u: Tensor) -> Tensor:
        h = u @ self.w[f"{name}.0.weight"].T + self.w[f"{name}.0.bias"]
        return torch.where(h > 0, h, 0.1 * h) @ self.w[f"{name}.2.weight"].T + self.w[f"{name}.2.bias"]

    def gradients(self, player: str, x: Tensor, z: Tensor) -> dict[str, Tensor]:
        encoded = torch.cat([x, self.network("encoder.network", x)], 1)
        decoded = torch.cat([self.network("decoder.network", z), z], 1)
        d_q, d_p = (self.network("discriminator.d_xz", pair).sigmoid() for pair in (encoded, decoded))
        loss = {"discriminator": -d_q.log().mean() - (1 - d_p).log().mean(), "generator": -(1 - d_q).log().mean() - d_p.log().mean()}[
            player
        ]
        own = [name for name in self.w if name.startswith("discriminator") == (player == "discriminator")]
        return dict(zip(own, torch.autograd.grad(loss, [self.w[name] for name in own]), strict=True))

    def adam(self, gradients: dict[str, Tensor]) -> None:
        for name, g in gradients.items():
            self.t[name] += 1
            self.m[name] = self.beta1 * self.m[name] + (1 - self.beta1) * g
            self.v[name] = self.beta2 * self.v[name] + (1 - self.beta2) * g**2
            m_hat, v_hat = self.m[name] / (1 - self.beta1 ** self.t[name]), self.v[name] / (1 - self.beta2 ** self.t[name])
            self.w[name] = (self.w[name] - self.lr * m_hat / (v_hat.sqrt() + 1e-8)).detach().requires_grad_()

    def step(self, x: Tensor, z: Tensor, simultaneous: bool) -> None:
        to_d = self.gradients("discriminator", x, z)
        if simultaneous:
            to_g = self.gradients("generator", x, z)
            self.adam(to_d), self.adam(to_g)
        else:
            self.adam(to_d)
            self.adam(self.gradients("generator", x, z))


@pytest.mark.parametrize("schedule", [SIMULTANEOUS, ALTERNATING])
def test_the_loop_equals_one_written_by_hand(schedule):
    game = small_game(Deterministic, Known, schedule=schedule)
    right, wrong = (Reference(weights(game), lr=1e-2, beta1=0.5, beta2=0.99) for _ in range(2))
    train(game, steps=7)
    for _, batch in zip(range(7), batches(), strict=False):
        right.step(batch.x, game.prior.sample(8), simultaneous=schedule == SIMULTANEOUS)
        wrong.step(batch.x, game.prior.sample(8), simultaneous=schedule != SIMULTANEOUS)
    apart = {}
    for name, weight in game.state_dict().items():
        torch.testing.assert_close(weight, right.w[name].detach(), rtol=0, atol=1e-12)
        apart[name] = (weight - wrong.w[name]).abs().max().item()
    assert max(apart.values()) > 1e-4  # the other schedule leads elsewhere


def test_a_frozen_decoder_stays_while_the_others_learn():
    """Post-hoc inference (section 2.2): the encoder follows a decoder that has been trained before."""
    game = small_game()
    game.decoder.requires_grad_(False)
    before = weights(game)
    moved = {name.partition(".")[0] for name, weight in train(game).items() if not torch.equal(weight, before[name])}
    assert moved == {"encoder", "discriminator"}


class Trio(games.Game):
    """Three players with a number each, whose wishes share one graph: a wants h = abc small, b wants it large, c wants h^2 small."""

    def __init__(self, schedule):
        super().__init__()
        self.numbers = nn.ModuleDict({player: nn.Linear(1, 1, bias=False).double() for player in "abc"})
        for number, value in zip(self.numbers.values(), (0.5, -1.5, 2.0), strict=True):
            nn.init.constant_(number.weight, value)
        self.players = {player: [number] for player, number in self.numbers.items()}
        self.schedule, self.asked = schedule, 0

    def losses(self, batch: Batch, progress: Tensor) -> dict[str, Tensor]:
        self.asked += 1
        h = torch.stack([number.weight for number in self.numbers.values()]).prod()
        return {"a": h, "b": -h, "c": h**2}

    def values(self) -> dict[str, float]:
        return {player: number.weight.item() for player, number in self.numbers.items()}


@pytest.mark.parametrize(
    "schedule", [(("a", "b", "c"),), (("a",), ("b",), ("c",)), (("c",), ("c",), ("a", "b"), ("c",)), (("b", "c"), ("c", "b"), ("a",))]
)
def test_a_schedule_of_three_players_is_played_as_told(schedule):
    game, lr = Trio(schedule), {"a": 0.1, "b": 0.2, "c": 0.05}
    optimizers = {player: torch.optim.SGD(games.parameters(game, player), lr=lr[player]) for player in "abc"}
    w = game.values()
    for step in play(game, [Batch(torch.zeros(1))] * 3, optimizers, steps=3, seed=0):
        lost = {}
        for players in schedule:
            h = w["a"] * w["b"] * w["c"]
            slopes = {"a": h / w["a"], "b": -h / w["b"], "c": 2 * h * h / w["c"]}
            lost |= {player: {"a": h, "b": -h, "c": h * h}[player] for player in players}
            w |= {player: w[player] - lr[player] * slopes[player] for player in players}
        assert game.values() == pytest.approx(w, abs=1e-14)
        assert {player: loss.item() for player, loss in step.losses.items()} == pytest.approx(lost, abs=1e-14)
        assert not any(loss.requires_grad for loss in step.losses.values())
    assert (step.done, game.asked) == (3, 3 * len(schedule))


def test_hold_then_cosine():
    shares = np.linspace(0, 1, 201)
    rates = np.array([hold_then_cosine(float(share)) for share in shares])
    assert (rates[shares < 0.5] == 1).all()
    assert hold_then_cosine(0.5) == pytest.approx(1, abs=1e-12)  # no jump
    assert hold_then_cosine(0.75) == pytest.approx((1 + 0.01) / 2, abs=1e-12)
    assert hold_then_cosine(1.0) == pytest.approx(0.01, abs=1e-12)
    assert (np.diff(rates) <= 0).all()
    assert (np.diff(rates[shares >= 0.5]) < 0).all()
    assert {constant(float(share)) for share in shares} == {1.0}


def test_warm_hold_cosine_rises_and_then_is_the_same():
    assert warm_hold_cosine(0.0) == pytest.approx(0.01, abs=1e-12)
    assert warm_hold_cosine(0.01) == pytest.approx(0.51, abs=1e-12)
    assert [warm_hold_cosine(share) for share in (0.02, 0.3, 0.6, 1.0)] == [hold_then_cosine(share) for share in (0.02, 0.3, 0.6, 1.0)]


class Downhill(games.Game):
    """One player, two numbers, both with slope 1: each step moves a number by exactly its learning rate."""

    def __init__(self):
        super().__init__()
        self.numbers = nn.Linear(1, 1).double()
        self.players = {"walker": [self.numbers]}
        self.schedule, self.seen = (("walker",),), []

    def losses(self, batch: Batch, progress: Tensor) -> dict[str, Tensor]:
        self.seen.append(progress.item())
        return {"walker": self.numbers.weight.sum() + self.numbers.bias.sum()}


def test_the_learning_rate_is_each_groups_own_times_the_schedules():
    game = Downhill()
    groups = [{"params": [game.numbers.weight], "lr": 1.0}, {"params": [game.numbers.bias], "lr": 0.25}]
    sgd = torch.optim.SGD(groups)
    walked = []
    at = [p.item() for p in game.parameters()]
    for _ in play(game, [Batch(torch.zeros(1))] * 8, {"walker": sgd}, steps=8, seed=0, rate=lambda progress: 1 / (1 + progress)):
        now = [p.item() for p in game.parameters()]
        walked.append([before - after for before, after in zip(at, now, strict=True)])
        at = now
    shares = np.arange(8) / 8
    np.testing.assert_allclose(walked, np.stack([1 / (1 + shares), 0.25 / (1 + shares)], 1), rtol=0, atol=1e-14)
    assert game.seen == shares.tolist()  # and the game is told the same progress


@pytest.mark.parametrize("decay", [0.3, 0.999])
def test_the_average_follows_its_recursion_and_copies_buffers(decay):
    game = small_game(batch_norm=True)
    average = copy.deepcopy(game)
    kept = {name: p.detach().clone() for name, p in game.named_parameters()}
    buffers = dict(game.named_buffers())
    for step in play(game, batches(), adams(game, lr=0.05), steps=12, seed=1, average=average, decay=decay):
        n = step.done - 1
        d = min(decay, (1 + n) / (10 + n))  # a short memory at first: 0.1, 2/11, 3/12, ...
        for name, p in game.named_parameters():
            kept[name] = d * kept[name] + (1 - d) * p.detach()
            torch.testing.assert_close(average.get_parameter(name).detach(), kept[name], rtol=0, atol=1e-14)
        assert all(torch.equal(buffer, buffers[name]) for name, buffer in average.named_buffers())
    assert (average.encoder.network[1].running_mean != 0).any()
    assert average.encoder.network[1].num_batches_tracked == 12
    assert not average.encoder.network[0].weight.equal(game.encoder.network[0].weight)


def test_averaging_changes_nothing_in_the_game():
    one, other = small_game(), small_game()
    assert same(train(one), train(other, average=copy.deepcopy(other)))


@pytest.mark.parametrize("stop", [1, 4, 9])
@pytest.mark.parametrize("schedule", [SIMULTANEOUS, ALTERNATING])
def test_a_run_resumed_at_any_step_ends_with_the_same_bits(schedule, stop):
    """14 steps, over the end of an epoch of 5, with noise, running statistics, annealed penalty, rate and average."""

    def begin():
        game = small_game(batch_norm=True, penalty=0.5, penalty_end=0.1, cycle=1.0, regression=1.0, schedule=schedule)
        return game, copy.deepcopy(game), adams(game)

    how = {"steps": 14, "seed": 5, "rate": hold_then_cosine}
    game, average, optimizers = begin()
    for step in play(game, batches(), optimizers, average=average, **how):
        if step.done == stop:
            state = copy.deepcopy((game.state_dict(), average.state_dict(), {p: o.state_dict() for p, o in optimizers.items()}))

    resumed, average_resumed, optimizers_resumed = begin()
    torch.manual_seed(999)  # whatever happened in between
    for p in resumed.parameters():
        nn.init.normal_(p)
    resumed.load_state_dict(state[0])
    average_resumed.load_state_dict(state[1])
    for player, optimizer in optimizers_resumed.items():
        optimizer.load_state_dict(state[2][player])
    done = [step.done for step in play(resumed, batches(stop), optimizers_resumed, start=stop, average=average_resumed, **how)]
    assert done == list(range(stop + 1, 15))
    assert same(weights(resumed), weights(game))
    assert same(weights(average_resumed), weights(average))


def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not():
    first, again, other = train(small_game(), seed=5), train(small_game(), seed=5), train(small_game(), seed=6)
    assert same(first, again)
    assert not same(first, other)


def test_noise_does_not_depend_on_what_the_consumer_draws():
    quiet, noisy = small_game(), small_game()
    train(quiet)
    for step in play(noisy, batches(), adams(noisy), steps=6, seed=5):
        torch.randn(step.done)
    assert same(weights(noisy), weights(quiet))


class Listener(games.Game):
    """One player that writes down the noise it is given."""

    def __init__(self, rounds: int):
        super().__init__()
        self.number, self.heard = nn.Linear(1, 1), []
        self.players, self.schedule = {"listener": [self.number]}, (("listener",),) * rounds

    def losses(self, batch: Batch, progress: Tensor) -> dict[str, Tensor]:
        self.heard.append(torch.randn(()).item())
        return {"listener": self.number.weight.sum()}


def heard(rounds: int = 1, seed: int = 0, start: int = 0, steps: int = 50) -> list[float]:
    game = Listener(rounds)
    sgd = {"listener": torch.optim.SGD(game.parameters(), lr=0.0)}
    for _ in play(game, [Batch(torch.zeros(1))] * steps, sgd, steps=steps, seed=seed, start=start):
        pass
    return game.heard


def test_every_step_every_round_and_every_seed_has_noise_of_its_own():
    noise = heard(rounds=2) + heard(rounds=2, seed=1) + heard(rounds=2, seed=2**63 - 1)
    assert len(set(noise)) == 300
    assert heard(start=30) == heard()[30:]
    # Seeds that follow one another do not give shifted copies, and all noise together is standard normal.
    assert not set(heard(seed=1)) & set(heard(seed=0))
    assert abs(sum(noise) / 300) < 4 / math.sqrt(300)
    assert abs(np.var(noise) - 1) < 4 * math.sqrt(2 / 300)


def test_the_loop_takes_no_batch_that_it_does_not_play():
    served = iter([Batch(torch.zeros(1))] * 10)
    game = Downhill()
    played = list(play(game, served, {"walker": torch.optim.SGD(game.parameters(), lr=0.1)}, steps=7, seed=0, start=3))
    assert [step.done for step in played] == [4, 5, 6, 7]
    assert len(list(served)) == 6
