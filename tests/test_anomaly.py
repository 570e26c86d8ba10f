"""Anomaly scores against hand computations, p-values against their definition, and games that find planted outliers."""

from __future__ import annotations

import contextlib
import copy
import io
import math
import pathlib
import sys
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import nn

import ali
from ali import games, layers
from ali.checkpoint import read_weights, write_weights
from ali.cli import main
from ali.data.digits import digits
from ali.data.source import Batch, Data, Source
from ali.data.tables import number_columns
from ali.distributions import StandardNormal
from ali.networks import Critic, Deterministic, Discriminator
from ali.objectives import gradient_penalty, nonsaturating
from ali.recipes import RECIPES, Spec
from ali.table import build, linear
from ali.train import play

X, Z = 3, 2
LOG2 = math.log(2)


def fixed(matrix: list[list[float]]) -> Deterministic:
    """A linear map without bias: weights as they are written, (outputs, inputs)."""
    layer = nn.Linear(len(matrix[0]), len(matrix), bias=False)
    layer.weight.data = torch.tensor(matrix)
    return Deterministic(layer)


def judge_of(inputs: int, slope: float = 0.5) -> Critic:
    rows = (linear(4, False, 0.0, "lrelu"), linear(1, False, 0.0, "sigmoid"))
    network = build(rows, (inputs,), (1,), slope=slope, sigma=1.0, logits=True)
    return Critic(build((), (inputs,)), network)


def pair_judge(slope: float = 0.5) -> Discriminator:
    return Discriminator(build((), (X,)), build((), (Z,)), judge_of(X + Z, slope).head)


ENCODER, DECODER = fixed([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]), fixed([[1.0, 0.0], [0.0, 0.5], [0.0, 0.0]])
ROWS = torch.tensor([[1.0, 2.0, 0.0], [0.0, 0.0, -3.0], [1.0, 0.0, 0.0]])
BACK = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0], [1.0, 0.0, 0.0]])  # G(E(x)) of these rows
ERROR = torch.tensor([1.0, 3.0, 0.0])  # L1


def lrelu(a: torch.Tensor) -> torch.Tensor:
    return torch.where(a > 0, a, 0.5 * a)


def alad() -> games.ALAD:
    return games.ALAD(ENCODER, DECODER, pair_judge(), judge_of(2 * X), judge_of(2 * Z), StandardNormal(Z))


def test_egbad_s_score_is_its_formula():
    d = pair_judge()
    first, last = d.d_xz[0], d.d_xz[2]
    assert isinstance(first, nn.Linear)
    assert isinstance(last, nn.Linear)
    code = ROWS[:, :2]
    seen, back = (lrelu(torch.cat([x, code], 1) @ first.weight.T) for x in (ROWS, BACK))
    matched = (seen - back).abs().sum(1)
    crossed = -torch.log(torch.sigmoid(seen @ last.weight.T))[:, 0]
    cases = ((0.1, "features", matched), (0.1, "cross_entropy", crossed), (1.0, "features", matched), (0.0, "features", 0))
    for weight, term, found in cases:
        game = games.EGBAD(ENCODER, DECODER, d, StandardNormal(Z), weight=weight, term=term)
        torch.testing.assert_close(game.score(ROWS), (1 - weight) * ERROR + weight * found)
    torch.testing.assert_close(games.ALI(ENCODER, DECODER, d, StandardNormal(Z)).score(ROWS), 0.9 * ERROR + 0.1 * matched)
    with pytest.raises(ali.AliError, match="no features"):
        games.ALI(ENCODER, DECODER, nn.Linear(1, 1), StandardNormal(Z)).score(ROWS)
    assert matched[:2].min() > matched[2] == 0  # what comes back unchanged has the same features


def test_alad_s_score_is_its_formula():
    game = alad()
    weight = game.discriminator_xx.head[0].weight
    same, back = (lrelu(torch.cat([ROWS, other], 1) @ weight.T) for other in (ROWS, BACK))
    torch.testing.assert_close(game.score(ROWS), (same - back).abs().sum(1))
    assert game.score(ROWS)[2] == 0


def test_alad_s_losses_with_undecided_discriminators_are_2_log_2_each():
    game = alad()
    for d in (game.discriminator_xz.d_xz, game.discriminator_xx.head, game.discriminator_zz.head):
        nn.init.zeros_(d[2].weight)
    lost = game.losses(Batch(ROWS), torch.tensor(0.0))
    assert {name: loss.item() for name, loss in lost.items()} == pytest.approx(
        {"discriminator_xz": 2 * LOG2, "discriminator_xx": 2 * LOG2, "discriminator_zz": 2 * LOG2, "generator": 6 * LOG2}
    )


def test_alad_s_generators_lose_the_sum_of_three_games():
    game = alad()
    torch.manual_seed(0)
    lost = game.losses(Batch(ROWS), torch.tensor(0.0))
    torch.manual_seed(0)
    z = torch.randn(3, Z)
    x_tilde, z_check = DECODER(z).mean, ENCODER(DECODER(z).mean).mean
    pairs = {
        "discriminator_xz": (game.discriminator_xz(ROWS, ROWS[:, :2]), game.discriminator_xz(x_tilde, z)),
        "discriminator_xx": (game.discriminator_xx(torch.cat([ROWS, ROWS], 1)), game.discriminator_xx(torch.cat([ROWS, BACK], 1))),
        "discriminator_zz": (game.discriminator_zz(torch.cat([z, z], 1)), game.discriminator_zz(torch.cat([z, z_check], 1))),
    }
    for name, logits in pairs.items():
        torch.testing.assert_close(lost[name], nonsaturating(*logits)[0])
    torch.testing.assert_close(lost["generator"], sum(nonsaturating(*logits)[1] for logits in pairs.values()))


def test_features_are_what_the_last_layer_sees():
    for shape, networks in (((4,), "mlp"), ((1, 8, 8), "conv"), ((1, 8, 8), "mlp")):
        game: Any = RECIPES["alad"](Spec(shape), networks=networks, latent=2, width=4, depth=2).game
        x, z = torch.randn(5, *shape), torch.randn(5, 2)
        last = game.discriminator_xz.d_xz[-1]
        features = game.discriminator_xz.features(x, z)
        torch.testing.assert_close(features @ last.weight.flatten(1).T[:, 0] + last.bias, game.discriminator_xz(x, z))
        assert features.shape == (5, last.weight.shape[1])


def test_spectral_normalisation_survives_average_and_file(tmp_path):
    torch.manual_seed(0)
    run = RECIPES["alad"](Spec((4,)), networks="mlp", latent=2, width=8, depth=2, spectral=True, lr=1e-2, batch_size=16)
    batches = iter([Batch(torch.randn(16, 4))] * 60)
    average = copy.deepcopy(run.game)
    for _ in play(run.game, batches, run.optimizers, steps=60, seed=0, rate=run.rate, average=average, decay=0.9):
        pass
    # The largest singular value of every layer is 1, nearly: it is followed step by step, and for the trained weights, not their average.
    for game in (run.game.eval(), average.eval()):
        owned = [game.discriminator_xz, game.discriminator_xx, game.discriminator_zz]
        norms = [torch.linalg.matrix_norm(m.weight, 2).item() for d in owned for m in d.modules() if isinstance(m, nn.Linear)]
        assert norms == pytest.approx([1.0] * 9, abs=0.02)
    write_weights(tmp_path / "weights.safetensors", average)
    torch.manual_seed(1)
    other = RECIPES["alad"](Spec((4,)), networks="mlp", latent=2, width=8, depth=2, spectral=True).game.eval()
    x = torch.randn(5, 4)
    assert not torch.allclose(other.score(x), average.score(x))
    read_weights(tmp_path / "weights.safetensors", other)
    assert torch.equal(other.score(x), average.score(x))


def test_spectral_normalisation_bounds_slope():
    """Layers that stretch nothing, with leaky ReLUs between them: D's slope is at most 1 everywhere, before training and after."""
    torch.manual_seed(0)
    d = judge_of(4)
    assert gradient_penalty(d, 3 * torch.randn(50, 4)) > 0.5  # half the squared slope
    layers.spectral(d)
    for _ in range(20):
        d(torch.zeros(1, 4))  # power iteration
    assert gradient_penalty(d, 3 * torch.randn(50, 4)) <= 0.5 * 1.001


def test_p_values_are_their_definition():
    held, rng = np.array([3.0, 1.0, 2.0, 2.0]), np.random.default_rng(0)
    np.testing.assert_allclose(ali.p_values(np.array([0.0, 2.0, 2.5, 3.0, 9.0]), held), [1, 4 / 5, 2 / 5, 2 / 5, 1 / 5])
    scores = rng.standard_normal(50).round(1)  # ties
    others = [ali.p_values(scores[[k]], np.delete(scores, k))[0] for k in range(50)]
    np.testing.assert_allclose(ali.p_values(scores), others)
    # Ordinary rows have p <= alpha with probability at most alpha: here over 4000 draws of 19 held-out rows.
    p = np.array([ali.p_values(a[:1], a[1:])[0] for a in rng.standard_normal((4000, 20))])
    for alpha in (0.05, 0.1, 0.5):
        assert (p <= alpha).mean() == pytest.approx(alpha, abs=4 * math.sqrt(alpha * (1 - alpha) / 4000))


@pytest.mark.parametrize("held", [np.array([]), np.array([[1.0]]), np.array([np.nan])])
def test_p_values_refuse_in_words(held):
    with pytest.raises(ali.AliError, match="p-values"):
        ali.p_values(np.array([1.0]), held)


def planted(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows near a bent plane in 6 dimensions; to look at, more of them, and outliers with the same columns that do not belong together."""
    rng = np.random.default_rng(seed)
    t = rng.uniform(-2, 2, (1400, 2))
    x = np.stack([t[:, 0], t[:, 1], t[:, 0] * t[:, 1], np.sin(2 * t[:, 0]), t[:, 1] ** 2, t.sum(1)], 1) + 0.05 * rng.standard_normal(
        (1400, 6)
    )
    outliers = np.stack([rng.permutation(x[1000:1200, k]) for k in range(6)], 1)
    return x[:1000], np.concatenate([x[1200:], outliers]), np.repeat([0, 1], 200)


@pytest.mark.parametrize("recipe", ["egbad", "alad"])
def test_planted_outliers_are_found_and_p_values_hold(tmp_path, recipe):
    x, looked_at, strange = planted()
    data = Data(*(Source(rows, columns=number_columns(6)) for rows in (x[:800], x[800:])))
    model = ali.Model.train("table", data, out=tmp_path / "run", recipe=recipe, epochs=100)
    scores = model.score(looked_at)
    assert roc_auc_score(strange, scores) > 0.9
    np.testing.assert_allclose(
        model.score(looked_at[7:9]), scores[7:9], rtol=1e-4
    )  # a row's score is its own, to float32's rounding of sums
    p = ali.p_values(scores, model.score(data.test.x))
    assert (p[strange == 0] <= 0.05).mean() < 0.11  # 0.05, and three standard deviations of 200 held-out and 200 new rows
    assert (p[strange == 1] <= 0.05).mean() > 0.5


@pytest.mark.parametrize("recipe", ["egbad", "alad"])
def test_a_digit_that_training_never_saw_is_strange(tmp_path, recipe):
    train, test = digits()
    assert train.y is not None
    assert test.y is not None
    data = Data(train.rows(np.flatnonzero(train.y != 0)), test)
    model = ali.Model.train("digits", data, out=tmp_path / "run", recipe=recipe, epochs=30)
    assert roc_auc_score(test.y == 0, model.score(test.x)) > 0.9


def command(*tokens: object) -> tuple[int, str, str]:
    """A command in this process: exit status, and what it printed."""
    out, err, status = io.StringIO(), io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.setattr(sys, "argv", ["ali", *map(str, tokens)])
        try:
            main()
        except SystemExit as stop:
            status = int(stop.code or 0)
    return status, out.getvalue(), err.getvalue()


def test_ali_score_writes_scores_and_p_values_where_it_can(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x, other, _ = planted()
    np.save("x.npy", x[:300].astype(np.float32))
    np.save("other.npy", other[:40].astype(np.float32))
    fast = ["--recipe", "alad", "--width", "4", "--depth", "1", "--epochs", "1"]
    assert command("train", "table", "x.npy", "--hold-out", "0.5", "--out", "run", *fast)[0] == 0
    model, held_out = ali.load("run"), ali.model.open_data("run").test.x

    status, printed, _ = command("score", "run")  # the held-out rows, each among the others
    assert status == 0
    assert "of 150 rows have p <= 0.01; of ordinary rows some 2 would" in printed
    table = np.genfromtxt("scores.csv", delimiter=",", names=True)
    np.testing.assert_allclose(table["score"], model.score(held_out), rtol=1e-6)
    np.testing.assert_allclose(table["p"], ali.p_values(model.score(held_out)))

    assert command("score", "run", "other.npy", "--out", "s.npy")[0] == 0
    scores = model.score(other[:40].astype(np.float32))
    np.testing.assert_allclose(np.load("s.npy"), np.stack([scores, ali.p_values(scores, model.score(held_out))], 1), rtol=1e-6)

    pathlib.Path("x.npy").rename("moved.npy")
    status, _, said = command("score", "run", "other.npy", "--out", "alone.csv")
    assert status == 0
    assert "no column p" in said
    assert pathlib.Path("alone.csv").read_text().splitlines()[0] == '"score"'
    assert command("score", "run", "other.npy", "--data", "moved.npy", "--out", "both.csv")[0] == 0
    assert pathlib.Path("both.csv").read_text().splitlines()[0] == '"score","p"'
    for refused in (("score", "run"), ("score", "run", "other.npy", "--data", "other.npy")):
        status, _, said = command(*refused, "--out", "never.csv")
        assert status == 2
        assert "Traceback" not in said
    assert not pathlib.Path("never.csv").exists()


def test_few_held_out_rows_have_no_small_p_and_that_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", planted()[0][:300].astype(np.float32))
    assert command("train", "table", "x.npy", "--out", "run", "--recipe", "egbad", "--width", "4", "--depth", "1", "--epochs", "1")[0] == 0
    _, printed, _ = command("score", "run")
    assert "of 30 rows have p <= 0.05; of ordinary rows some 2 would" in printed
    assert "p is never below 0.032, because the run has only 30 held-out rows: train with a larger --hold-out" in printed
