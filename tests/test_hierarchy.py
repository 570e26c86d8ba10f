"""Hierarchical ALI: its losses against ALI's, its levels, networks for every size of image, and what the levels keep."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import ali
from ali import games
from ali.cli import main
from ali.data.digits import digits
from ali.data.source import Batch
from ali.distributions import StandardNormal
from ali.evaluation import metrics
from ali.games.game import Climbs
from ali.networks import Deterministic, Gaussian, Ladder
from ali.recipes import Spec, hali
from ali.table import build, linear
from ali.tables import generic


def affine(slope: float, shift: float, outputs: int = 1) -> nn.Module:
    network = build((linear(outputs, False, 0.0, "linear"),), (1,), (outputs,)).double()
    network[0].weight.data.fill_(slope)
    network[0].bias.data.fill_(shift)
    return network


def linear_joint(weights: tuple[float, ...]) -> nn.Module:
    network = build((linear(1, False, 0.0, "sigmoid"),), (len(weights),), (1,), logits=True).double()
    network[0].weight.data.copy_(torch.tensor([weights]))
    network[0].bias.data.fill_(0.0)
    return network


class Known(StandardNormal):
    def __init__(self, z: Tensor):
        super().__init__(z.shape[1])
        self.z = z

    def sample(self, n: int) -> Tensor:
        return self.z[:n]


@pytest.mark.parametrize("skip", [False, True])
def test_losses_of_a_linear_ladder_are_those_derived_by_hand(skip):
    """Deterministic and linear, so that every code is known: z1 = a x, z2 = b z1 (or b x), z1~ = c z2, x~ = d z1~."""
    a, b, c, d, u, v, w = 0.8, -0.5, 1.3, 0.6, 0.7, -0.4, 0.2
    x, z = torch.randn(5, 1).double(), torch.randn(5, 1).double()
    encoders = [Deterministic(affine(a, 0.0)), Deterministic(affine(b, 0.0))]
    decoders = [Deterministic(affine(d, 0.0)), Deterministic(affine(c, 0.0))]
    ladder = Ladder([build((), (1,)), build((), (2,))], linear_joint((u, v, w)))
    game = games.HALI(encoders, decoders, ladder, Known(z), cycle=2.0, regression=0.5, skip=skip).double()
    lost = game.losses(Batch(x), torch.tensor(0.0))

    z1 = a * x
    z2 = b * (x if skip else z1)
    rho_q, rho_p = u * x + v * z1 + w * z2, u * d * c * z + v * c * z + w * z
    softplus = nn.functional.softplus
    torch.testing.assert_close(lost["discriminator"], (softplus(-rho_q) + softplus(rho_p)).mean())
    cycle = 2.0 * (((d * z1 - x) ** 2).mean() + 0.1 * ((d * c * z2 - x) ** 2).mean())
    made = d * c * z
    top = b * (made if skip else a * made)
    regression = 0.5 * (((a * made - c * z) ** 2).mean() + ((top - z) ** 2).mean()) / 2
    torch.testing.assert_close(lost["generator"], (softplus(rho_q) + softplus(-rho_p)).mean() + cycle + regression)


def test_one_level_is_ali():
    torch.manual_seed(0)
    rows = generic.mlp(3, 4, width=5, depth=1)
    e, g = Gaussian(build(rows.G_z, (3,), (4,), sigma=0.7)), Deterministic(build(rows.G_x, (2,), (3,), sigma=0.7))
    joint = build(rows.D_xz, (5,), (1,), sigma=1.0, logits=True)
    ladder = Ladder([build((), (3,))], joint)
    prior, x = StandardNormal(2), torch.randn(6, 3)
    options = {"penalty": 0.3, "cycle": 2.0, "regression": 0.5}
    lost = []
    for game in (games.HALI([e], [g], ladder, prior, **options), games.ALI(e, g, ladder, prior, **options)):
        torch.manual_seed(1)
        lost.append(game.losses(Batch(x), torch.tensor(0.0)))
    for player in lost[0]:
        torch.testing.assert_close(lost[0][player], lost[1][player])


@pytest.mark.parametrize("climb", ["z", "x"])
@pytest.mark.parametrize(("size", "levels"), [(8, 2), (28, 2), (32, 2), (32, 4), (33, 3), (64, 3), (128, 4)])
def test_networks_for_every_size_lead_from_level_to_level(size, levels, climb):
    run = hali(Spec((3, size, size)), networks="conv", width=2, latent=5, levels=levels, climb=climb, batch_size=2)
    game, x = run.game, torch.rand(2, 3, size, size) * 2 - 1
    assert isinstance(game, Climbs)
    assert game.levels == levels
    sizes = []
    with torch.no_grad():
        for level in range(1, levels + 1):
            z = game.encode(x, level).mean
            sizes.append(z.shape[1])
            assert game.decode(z, level).mean.shape == x.shape
        assert sizes[-1] == 5
        assert sizes[:-1] == sorted(sizes[:-1], reverse=True)
        assert game.descend(game.prior.sample(2), levels, 1).shape == (2, sizes[0])
    lost = game.losses(Batch(x), torch.tensor(0.0))
    assert all(torch.isfinite(loss) for loss in lost.values())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"levels": 1}, "levels must be at least 2"),
        ({"levels": 3, "lower": (4,)}, "each of the 2 levels below the top"),
        ({"levels": 4, "networks": "conv"}, "at most 2 levels"),
        ({"networks": "svhn"}, "networks 'conv' for images, or 'mlp'"),
    ],
)
def test_ladders_that_can_not_be_built_are_refused_in_words(options, words):
    with pytest.raises(ali.AliError, match=words):
        hali(Spec((1, 8, 8)), **{"networks": "mlp", "width": 4} | options)


def test_fidelity_falls_with_the_level_while_the_class_is_kept(tmp_path):
    model = ali.Model.train("digits", out=tmp_path / "run", recipe="hali", epochs=40)
    rows = digits()
    share, kept = [], []
    for level in (1, 2):
        x_hat = model.at(level).reconstruct(rows.test.x)
        share.append(float(((x_hat - rows.test.x.astype(float)) ** 2).mean() / rows.test.x.astype(float).var(0).mean()))
        flat = (rows.train.x.reshape(-1, 64), rows.train.y, x_hat.reshape(-1, 64), rows.test.y)
        kept.append(metrics.nearest_neighbour_accuracy(*map(np.asarray, flat)))
    assert share[0] < 0.085
    assert share[0] < 0.8 * share[1] < 0.8 * 0.14  # 16 principal components leave 0.16
    assert min(kept) > 0.95
    # Samples that share their top code are alike, and not the same.
    x = model.sample(64, seed=0, fix_level=2).astype(float)
    free = model.sample(64, seed=0).astype(float)
    assert 0 < x.var(0).mean() < 0.5 * free.var(0).mean()
    # A level's code goes down again to what the level reconstructs.
    np.testing.assert_allclose(model.at(1).decode(model.at(1).encode(rows.test.x[:9])), model.at(1).reconstruct(rows.test.x[:9]))
    np.testing.assert_array_equal(model.at(2).encode(rows.test.x[:9]), model.encode(rows.test.x[:9]))


def test_levels_on_the_command_line_and_levels_that_are_none(tmp_path):
    model = ali.Model.train("digits", out=tmp_path / "run", recipe="hali", epochs=1, width=8, depth=1)
    for bad in (0, 3):
        with pytest.raises(ali.AliError, match=f"levels 1 to 2, got {bad}"):
            model.at(bad)
    plain = ali.Model.train("digits", out=tmp_path / "plain", epochs=1, width=8, depth=1)
    for call in (lambda: plain.at(1), lambda: plain.sample(2, fix_level=1)):
        with pytest.raises(ali.AliError, match="its game has no levels"):
            call()
    x = np.arange(128).reshape(2, 8, 8).astype(np.uint8) % 16
    np.save(tmp_path / "x.npy", x)
    with pytest.MonkeyPatch.context() as patch:
        for verb, *flags in (["encode", "--level", "1"], ["reconstruct", "--level", "2"]):
            patch.setattr(
                "sys.argv", ["ali", verb, str(tmp_path / "run"), str(tmp_path / "x.npy"), *flags, "--out", str(tmp_path / f"{verb}.npy")]
            )
            with pytest.raises(SystemExit):
                main()
        patch.setattr(
            "sys.argv", ["ali", "sample", str(tmp_path / "run"), "--n", "5", "--fix-level", "2", "--out", str(tmp_path / "s.npy")]
        )
        with pytest.raises(SystemExit):
            main()
    np.testing.assert_allclose(np.load(tmp_path / "encode.npy"), model.at(1).encode(x), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(np.load(tmp_path / "reconstruct.npy"), model.reconstruct(x))
    assert np.load(tmp_path / "s.npy").shape == (5, 8, 8)
