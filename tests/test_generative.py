"""GAN and what is built around it: closed forms, what each part learns from, and runs that only generate or only infer."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

import ali
from ali import games, recipes
from ali.data.digits import digits
from ali.data.source import Batch, Source, split
from ali.distributions import StandardNormal
from ali.errors import AliError
from ali.evaluation import report
from ali.evaluation.words import verdict
from ali.model import Model
from ali.networks import Critic, Deterministic
from ali.objectives import OBJECTIVES
from ali.table import build, linear

LOG2 = math.log(2)


def affine(slope: float, shift: float, logits: bool = False) -> nn.Module:
    """The network u -> slope u + shift."""
    network = build((linear(1, False, 0.0, "sigmoid" if logits else "linear"),), (1,), (1,), logits=logits).double()
    network[0].weight.data.fill_(slope)
    network[0].bias.data.fill_(shift)
    return network


class Known(StandardNormal):
    """A prior whose draws are known."""

    def __init__(self, z: Tensor):
        super().__init__(z.shape[1])
        self.z = z

    def sample(self, n: int) -> Tensor:
        return self.z[:n]


def line(z: Tensor, *, b: float = -1.1, f: float = 0.4, u: float = 0.7, c: float = 0.2, **options) -> games.GAN:
    """The one-layer GAN: x_tilde = b z + f, D = u x + c."""
    critic = Critic(build((), (1,)), affine(u, c, logits=True))
    return games.GAN(Deterministic(affine(b, f)), critic, Known(z), **options).double()


@pytest.fixture
def xz() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(50, 1, generator=generator, dtype=torch.float64), torch.randn(50, 1, generator=generator, dtype=torch.float64)


def lost(game: games.Game, x: Tensor, progress: float = 0.3) -> dict[str, Tensor]:
    return game.losses(Batch(x), torch.tensor(progress))


def gradient(loss: Tensor, *modules: nn.Module) -> Tensor:
    parameters = [p for module in modules for p in module.parameters()]
    slopes = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True, materialize_grads=True)
    return torch.cat([slope.flatten() for slope in slopes])


@pytest.mark.parametrize(
    ("objective", "loss_d", "loss_g"),
    [("nonsaturating", 2 * LOG2, 2 * LOG2), ("minimax", 2 * LOG2, -2 * LOG2), ("relativistic", LOG2, LOG2), ("hinge", 2.0, 0.0)],
)
def test_losses_of_a_discriminator_that_knows_nothing(objective, loss_d, loss_g, xz):
    found = lost(line(xz[1], u=0, c=0, objective=OBJECTIVES[objective]), xz[0])
    assert found["discriminator"].item() == pytest.approx(loss_d, abs=1e-14)
    assert found["generator"].item() == pytest.approx(loss_g, abs=1e-14)


def test_gradient_of_the_one_layer_gan_is_that_derived_by_hand(xz):
    (x, z), gamma = xz, 0.25
    game = line(z, penalty=gamma)
    found = lost(game, x)
    u, c, b, f = 0.7, 0.2, -1.1, 0.4
    x_tilde = b * z + f
    q, p = u * x + c, u * x_tilde + c
    # L_d = E softplus(-q) + E softplus(p) + gamma (u^2 / 2 + u^2 / 2); of L_g only E softplus(-p) depends on G.
    to_q, to_p, to_g = -torch.sigmoid(-q), torch.sigmoid(p), -torch.sigmoid(-p)
    by_d = torch.stack([(to_q * x + to_p * x_tilde).mean() + 2 * gamma * u, (to_q + to_p).mean()])
    by_g = torch.stack([(to_g * u * z).mean(), (to_g * u).mean()])
    torch.testing.assert_close(gradient(found["discriminator"], game.discriminator), by_d, rtol=0, atol=1e-14)
    torch.testing.assert_close(gradient(found["generator"], game.decoder), by_g, rtol=0, atol=1e-14)


def test_the_best_discriminator_is_the_log_ratio_of_the_densities():
    # q = N(1, 1) and p = N(-1, 1): log q / p = 2 x, so that the best logit has slope 2 and no shift.
    # The quantiles of a normal law stand for its draws, so that sums are integrals.
    z = torch.special.ndtri((torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000)[:, None]
    x, game = 1 + z, line(z, b=1.0, f=-1.0, u=0.0, c=0.0)
    optimizer = torch.optim.LBFGS(game.discriminator.parameters(), max_iter=50)

    def step() -> Tensor:
        optimizer.zero_grad()
        loss = lost(game, x)["discriminator"]
        loss.backward(inputs=list(game.discriminator.parameters()))
        return loss

    optimizer.step(step)
    slope, shift = (p.item() for p in game.discriminator.parameters())
    assert slope == pytest.approx(2, abs=1e-3)
    assert shift == pytest.approx(0, abs=1e-3)
    # V = -log 4 + 2 JSD, the divergence by numerical integration.
    grid = torch.linspace(-9, 9, 20_001, dtype=torch.float64)
    densities = [torch.exp(-0.5 * (grid - mean) ** 2) / math.sqrt(2 * math.pi) for mean in (1, -1)]
    middle = sum(densities) / 2
    jsd = sum(0.5 * torch.trapezoid(d * (d / middle).log(), grid) for d in densities).item()
    assert -step().item() == pytest.approx(-math.log(4) + 2 * jsd, abs=1e-4)


@pytest.mark.parametrize(("progress", "gamma"), [(0.0, 0.4), (0.35, 0.4 / 40**0.5), (0.7, 0.01), (1.0, 0.01)])
def test_penalty_is_half_the_squared_slope_at_data_and_at_samples_and_is_annealed(progress, gamma, xz):
    game = line(xz[1], u=3.0, objective=lambda q, p: (0 * q.sum(), 0 * p.sum()), penalty=0.4, penalty_end=0.01)
    found = lost(game, xz[0], progress)
    assert found["discriminator"].item() == pytest.approx(gamma * 9, rel=1e-6)  # progress is float32
    assert not gradient(found["discriminator"], game.decoder).any()


def test_penalty_and_batch_normalisation_do_not_meet():
    head = build((linear(3, True, 0.0, "relu"), linear(1, False, 0.0, "sigmoid")), (1,), (1,), logits=True)
    with pytest.raises(AliError, match="without batch normalisation"):
        games.GAN(Deterministic(affine(1, 0)), Critic(build((), (1,)), head), StandardNormal(1), penalty=0.1)
    with pytest.raises(AliError, match="penalty_end can not be 0"):
        line(torch.zeros(1, 1), penalty=0.1, penalty_end=0.0)


def test_separate_passes_are_another_model_under_batch_normalisation(xz):
    torch.manual_seed(0)
    x, z = xz[0], 3 + xz[1]
    head = build((linear(5, True, 0.0, "relu"), linear(1, False, 0.0, "sigmoid")), (1,), (1,), sigma=1.0, logits=True)
    found = {}
    for separate in (False, True):
        game = games.GAN(Deterministic(affine(1, 0)), Critic(build((), (1,)), head), Known(z), separate=separate).double()
        found[separate] = lost(game, x)["discriminator"].item()
        rho_q, rho_p = (head(x)[:, 0], head(z)[:, 0]) if separate else head(torch.cat([x, z]))[:, 0].chunk(2)
        assert found[separate] == pytest.approx(OBJECTIVES["nonsaturating"](rho_q, rho_p)[0].item(), abs=1e-12)
    assert abs(found[True] - found[False]) > 0.05


# Runs that only generate, or only infer.

FAST = {"width": 16, "depth": 1, "epochs": 2}


@pytest.fixture(scope="module")
def generator(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "gan"
    return out, Model.train("digits", out=out, recipe="gan", **FAST)


def infer_only(spec, *, lr: float = 1e-3):
    """An encoder that is to have small codes: the smallest game that infers and does not generate."""
    from ali.recipes import Run
    from ali.train import constant

    class Small(games.Game):
        players: dict
        schedule = (("encoder",),)

        def __init__(self):
            super().__init__()
            self.encoder = Deterministic(build((linear(3, False, 0.0, "linear"),), spec.shape, (3,)))
            self.players = {"encoder": [self.encoder]}

        def losses(self, batch, progress):
            return {"encoder": self.encode(batch.x).mean.square().mean()}

        def encode(self, x):
            return self.encoder(x)

    game = Small()
    return Run(game, {"encoder": torch.optim.Adam(game.parameters(), lr)}, 64, 1, constant, 0.0)


def test_a_run_that_only_generates_is_evaluated_by_its_samples(generator, tmp_path):
    out, model = generator
    values = report.write(out, model, digits(), tmp_path / "report")
    assert {"two_sample", "frechet", "recall", "coverage", "memorisation"} <= set(values)
    assert {"mse_share", "pca_share", "q_z", "nn_codes", "nn_pixels", "label_kept", "label_kept_ceiling"}.isdisjoint(values)
    said = "\n".join(verdict(values))
    assert "Samples" in said
    assert all(word not in said for word in ("Reconstruction", "Codes", "classification"))
    names = {file.name for file in (tmp_path / "report").iterdir()}
    assert names == {"metrics.json", "report.html", "samples.png", "samples.gif", "curves.png"}


def test_a_run_that_only_infers_is_evaluated_by_its_codes(tmp_path):
    model = Model.train("digits", out=tmp_path / "run", recipe=infer_only)
    values = report.write(tmp_path / "run", model, digits(), tmp_path / "report")
    assert set(values) == {"held_out", "held_out_labelled", "q_z", "q_z_floor", "nn_codes", "nn_pixels"}
    said = "\n".join(verdict(values))
    assert "q(z) does not match p(z)" in said
    assert "samples" not in said
    assert {file.name for file in (tmp_path / "report").iterdir()} == {"metrics.json", "report.html", "latent.png", "curves.png"}
    with pytest.raises(AliError, match=r"\(custom:infer_only\) can not sample: its game has no decoder"):
        model.sample(2)


def test_a_generator_in_the_plane_is_judged_by_the_modes_it_reaches(tmp_path):
    model = Model.train("mixture", out=tmp_path / "run", recipe="gan", n=2000, **FAST)
    from ali.data.mixtures import mixture

    values = report.write(tmp_path / "run", model, mixture(n=2000), tmp_path / "report")
    assert {"modes_strict", "high_quality", "two_sample"} <= set(values)
    assert "same_mode" not in values
    assert (tmp_path / "report" / "plane.png").exists()


@pytest.mark.parametrize("verb", ["encode", "reconstruct", "interpolate", "score", "classify"])
def test_a_run_that_only_generates_says_what_it_can_not_do(generator, verb):
    _, model = generator
    x = digits().test.x[:4]
    part = {"score": "anomaly score", "classify": "classifier"}.get(verb, "encoder")
    with pytest.raises(AliError, match=rf"this run \(gan\) can not {verb}: its game has no {part}"):
        getattr(model, verb)(*([x, x] if verb == "interpolate" else [x]))


def test_the_model_card_speaks_of_what_is_there(generator):
    card = (generator[0] / "README.md").read_text()
    assert "A decoder that turns codes z into data x, trained" in card
    assert "encode" not in card.split("---")[-1]


def test_gan_learns_to_generate_digits(tmp_path):
    values = ali.evaluate(Model.train("digits", out=tmp_path / "run", recipe="gan", epochs=30), digits())
    assert values["two_sample"] < 0.96  # after one epoch 1.0
    assert values["frechet"] < 5  # after one epoch 55
    assert values["coverage"] > 0.5  # after one epoch 0
    assert values["recall"] > 0.35  # after one epoch 0


# DCGAN.

# Radford et al. 2016, Figure 1 and section 3, and the authors' code: kernel, stride, maps, BN.
DCGAN = {
    64: ([(4, 1, 1024, True), (5, 2, 512, True), (5, 2, 256, True), (5, 2, 128, True), (5, 2, 3, False)],
         [(5, 2, 128, False), (5, 2, 256, True), (5, 2, 512, True), (5, 2, 1024, True)]),
    32: ([(4, 1, 256, True), (5, 2, 128, True), (5, 2, 64, True), (5, 2, 3, False)],
         [(5, 2, 64, False), (5, 2, 128, True), (5, 2, 256, True)]),
}  # fmt: skip


def layers(network: nn.Module, kind: type) -> list[tuple[int, int, int, bool]]:
    """Kernel, stride, maps and normalisation of the convolutions of a kind."""
    found, modules = [], list(network.modules())
    for module, after in zip(modules, [*modules[1:], None], strict=True):
        if isinstance(module, kind):
            found.append((module.kernel_size[0], module.stride[0], module.out_channels, isinstance(after, nn.BatchNorm2d)))
    return found


@pytest.mark.parametrize("maps", [1, 3])
@pytest.mark.parametrize("size", [64, 32])
def test_dcgan_is_the_published_network_and_is_trained_as_published(size, maps):
    torch.manual_seed(0)
    made = recipes.RECIPES["dcgan"](recipes.Spec((maps, size, size)))
    game, (decoder, critic) = made.game, DCGAN[size]
    assert layers(game.decoder, nn.ConvTranspose2d) == [*decoder[:-1], (*decoder[-1][:2], maps, False)]
    assert layers(game.discriminator.body, nn.Conv2d) == critic
    assert game.discriminator.head.input_shape == (critic[-1][2] * 16, 1, 1)
    kinds = [type(module) for module in game.decoder.modules()]
    assert kinds.count(nn.ReLU) == len(decoder) - 1
    assert kinds[-1] is nn.Tanh
    slopes = {module.negative_slope for module in game.discriminator.modules() if isinstance(module, nn.LeakyReLU)}
    assert slopes == {0.2}
    assert not [module for module in game.discriminator.modules() if isinstance(module, nn.Sigmoid | nn.Dropout)]
    weights = torch.cat([p.flatten() for p in game.parameters() if p.ndim == 4])
    assert weights.std().item() == pytest.approx(0.02, rel=0.01)

    # Every size on the way, as Figure 1 draws it: 4, 8, ..., and the same back.
    with torch.no_grad():
        x = game.decoder.eval()(torch.randn(2, 100)).mean
        assert x.shape == (2, maps, size, size)
        assert game.discriminator.eval()(x).shape == (2,)
    assert {(g["lr"], g["betas"]) for o in made.optimizers.values() for g in o.param_groups} == {(2e-4, (0.5, 0.999))}
    assert (made.batch_size, made.decay, made.rate(0.9)) == (128, 0.0, 1.0)
    assert game.schedule == (("discriminator",), ("generator",))
    assert game.separate
    assert game.objective is OBJECTIVES["nonsaturating"]


def test_the_decoder_of_dcgan_is_the_transpose_of_its_discriminator():
    # Same kernel, stride and padding: <conv(x), y> = <x, tconv(y)>, so each doubles exactly what the other halves.
    made = recipes.RECIPES["dcgan"](recipes.Spec((3, 32, 32))).game
    down, up = made.discriminator.body[0], made.decoder.network[-2]
    assert isinstance(up, nn.ConvTranspose2d)
    assert (down.weight.shape, down.padding, down.stride) == (up.weight.shape, up.padding, up.stride)
    x, y = torch.randn(1, 3, 32, 32), torch.randn(1, 64, 16, 16)
    with torch.no_grad():
        up.weight.copy_(down.weight), up.bias.zero_(), down.bias.zero_()
        assert (down(x) * y).sum().item() == pytest.approx((x * up(y)).sum().item(), rel=1e-3)


def test_dcgan_refuses_what_it_is_not_for(tmp_path):
    with pytest.raises(AliError, match=r"'dcgan' are for images of 64 x 64 or 32 x 32 pixels, here rows have shape \(1, 8, 8\)"):
        Model.train("digits", out=tmp_path / "run", recipe="dcgan")
    with pytest.raises(AliError, match=r"pixels, here rows have shape \(2,\)"):
        Model.train("mixture", out=tmp_path / "run", recipe="dcgan")
    with pytest.raises(AliError, match="dcgan has one face only"):
        Model.train("digits", out=tmp_path / "run", recipe="dcgan", face="paper")
    with pytest.raises(AliError, match="'dcgan' have no encoder"):
        recipes.RECIPES["ali"](recipes.Spec((3, 32, 32)), networks="dcgan")
    with pytest.raises(AliError, match="without batch normalisation"):
        recipes.RECIPES["gan"](recipes.Spec((3, 32, 32)), networks="dcgan")


def test_dcgan_learns_small_pictures(tmp_path):
    # 512 digits, blown up to 32 pixels.
    x, y = load_digits(return_X_y=True)
    images, labels = (np.kron(x.reshape(-1, 8, 8), np.ones((4, 4)))[:512] * 15.9375).astype(np.uint8), y[:512]
    model = Model.train("images", (images, labels), out=tmp_path / "run", recipe="dcgan", epochs=10, batch_size=32)
    values = ali.evaluate(model, split(Source(images, labels), 0.1))
    assert values["coverage"] > 0.6  # after one epoch 0
    assert values["precision"] > 0.6  # after one epoch 0
    assert values["frechet"] < 400  # after one epoch 563; of training rows 76
