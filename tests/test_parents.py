"""Encoders for decoders: latent regressor and post-hoc inference. What is frozen stays so, and a run embeds its parent."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

import ali
from ali import games
from ali.data.digits import digits
from ali.data.source import Batch
from ali.distributions import DiagonalNormal, StandardNormal
from ali.errors import AliError
from ali.model import Model
from ali.networks import Deterministic, Frozen, Gaussian, ImplicitConditional
from ali.recipes import RECIPES, Spec
from ali.session import Session, Stopped
from ali.table import build, linear
from ali.train import play

FAST = {"width": 16, "depth": 1, "epochs": 3}


def network(inputs: int, outputs: int, batch_norm: bool = False) -> torch.nn.Module:
    return build((linear(5, batch_norm, 0.0, "lrelu"), linear(outputs, False, 0.0, "linear")), (inputs,), (outputs,), sigma=0.7)


def gradients(loss: Tensor, module: torch.nn.Module) -> list[Tensor]:
    slopes = torch.autograd.grad(loss, list(module.parameters()), retain_graph=True, allow_unused=True, materialize_grads=True)
    return list(slopes)


# The games.


def test_the_loss_of_a_gaussian_regressor_is_the_negative_log_density():
    torch.manual_seed(0)
    encoder, decoder, prior = Gaussian(network(3, 4)), Deterministic(network(2, 3)), StandardNormal(2)
    game = games.LatentRegressor(encoder, decoder, None, prior)
    torch.manual_seed(1)
    found = game.losses(Batch(torch.zeros(7, 3)), torch.tensor(0.0))
    torch.manual_seed(1)
    z = torch.randn(7, 2)
    q = encoder(decoder(z).mean)
    assert isinstance(q, DiagonalNormal)
    wanted = -torch.distributions.Normal(q.mu, q.log_sigma.exp()).log_prob(z).sum(1).mean()
    assert found.keys() == {"encoder"}
    torch.testing.assert_close(found["encoder"], wanted)


@pytest.mark.parametrize("family", ["deterministic", "implicit"])
def test_the_loss_of_another_regressor_is_the_squared_error(family):
    torch.manual_seed(0)
    encoder = Deterministic(network(3, 2)) if family == "deterministic" else ImplicitConditional(network(4, 2), 1)
    decoder = Deterministic(network(2, 3))
    game = games.LatentRegressor(encoder, decoder, None, StandardNormal(2))
    torch.manual_seed(1)
    found = game.losses(Batch(torch.zeros(7, 3)), torch.tensor(0.0))
    torch.manual_seed(1)
    z = torch.randn(7, 2)
    torch.testing.assert_close(found["encoder"], ((encoder(decoder(z).mean).rsample() - z) ** 2).mean())


def test_a_regressor_of_a_linear_decoder_finds_the_posterior():
    # x = W z + b with W orthogonal: z = W^T (x - b), without doubt; the squared error can be 0 and is.
    torch.manual_seed(0)
    decoder = Deterministic(build((linear(3, False, 0.0, "linear"),), (3,)))
    decoder.network[0].weight.data.copy_(torch.linalg.qr(torch.randn(3, 3))[0])
    encoder = Deterministic(build((linear(3, False, 0.0, "linear"),), (3,)))
    game = games.LatentRegressor(encoder, decoder, None, StandardNormal(3))
    optimizers = {"encoder": torch.optim.Adam(encoder.parameters(), 0.03)}
    losses = [step.losses["encoder"].item() for step in play(game, [Batch(torch.zeros(64, 3))] * 400, optimizers, steps=400, seed=0)]
    assert losses[-1] < 1e-4 < losses[0]
    torch.testing.assert_close(encoder.network[0].weight, decoder.network[0].weight.T, rtol=0, atol=0.02)


def test_beside_a_gan_only_the_encoder_learns_from_the_code_error():
    run = RECIPES["latent_regressor"](Spec((4,)), networks="mlp", latent=2, width=5, depth=1)
    lost = run.game.losses(Batch(torch.randn(6, 4)), torch.tensor(0.0))
    assert lost.keys() == {"discriminator", "generator", "encoder"} == run.game.players.keys()
    for part, own in (("encoder", "encoder"), ("decoder", "generator"), ("discriminator", "discriminator")):
        for player, loss in lost.items():
            moved = any(slope.any() for slope in gradients(loss, getattr(run.game, part)))
            # D and G lose on one contest, so that each one's loss has a slope in the other's weights; nobody takes it.
            assert moved == (player == own or (player != "encoder" and own != "encoder")), (part, player)


@pytest.mark.parametrize("kind", ["post_hoc", "latent_regressor"])
def test_a_frozen_decoder_with_batch_normalisation_does_not_move_in_a_bit(kind):
    torch.manual_seed(0)
    encoder, decoder, prior = Gaussian(network(3, 4)), Deterministic(network(2, 3, batch_norm=True)), StandardNormal(2)
    with torch.no_grad():
        decoder(torch.randn(50, 2))  # running statistics that are not those of the start
    before = {name: value.clone() for name, value in decoder.state_dict().items()}
    if kind == "post_hoc":
        from ali.networks import Discriminator

        d = Discriminator(build((), (3,)), build((), (2,)), build((linear(1, False, 0.0, "sigmoid"),), (5,), (1,), sigma=1.0, logits=True))
        game: games.Game = games.PostHoc(encoder, decoder, d, prior, cycle=1.0, regression=1.0, penalty=0.1)
    else:
        game = games.LatentRegressor(encoder, decoder, None, prior)
    start = {name: p.clone() for name, p in encoder.named_parameters()}
    game.train()
    assert encoder.training
    assert not any(module.training for module in decoder.modules())
    assert not [p for p in decoder.parameters() if p.requires_grad]
    assert not {id(p) for player in game.players for p in games.parameters(game, player)} & {id(p) for p in decoder.parameters()}

    average = copy.deepcopy(game).eval()
    optimizers = {player: torch.optim.Adam(games.parameters(game, player), 0.01) for player in game.players}
    for _ in play(game, [Batch(torch.randn(20, 3))] * 10, optimizers, steps=10, seed=0, average=average, decay=0.9):
        pass
    for whose in (game, average):
        after = whose.decoder.conditional.state_dict()
        assert [name for name in before if not torch.equal(before[name], after[name])] == []
    assert all(p.grad is None for p in decoder.parameters())
    assert all(not torch.equal(p, start[name]) for name, p in encoder.named_parameters())
    z = torch.randn(4, 2)
    torch.testing.assert_close(game.decoder(z).mean, decoder.eval()(z).mean, rtol=0, atol=0)


def test_freezing_stays_whatever_is_asked_for():
    frozen = Frozen(Deterministic(network(2, 3, batch_norm=True)))
    assert not any(module.training for module in frozen.train().modules())
    u = torch.randn(5, 2, requires_grad=True)
    frozen(u).mean.sum().backward()
    assert u.grad is not None  # gradients pass through it


# The runs.


@pytest.fixture(scope="module")
def gan(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "gan"
    Model.train("digits", out=out, recipe="gan", latent=5, **FAST)
    return out


def decoder_of(run: Path) -> dict[str, Tensor]:
    """The weights of a run's decoder, whatever it is wrapped in."""
    weights = load_file(run / "model.safetensors")
    parts = {name: value for name, value in weights.items() if name.startswith("decoder.")}
    return {name.replace("conditional.", ""): value for name, value in parts.items()}


def assert_same(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


@pytest.mark.parametrize("recipe", ["post_hoc", "latent_regressor"])
def test_a_run_embeds_its_parent_and_needs_it_no_more(gan, tmp_path, recipe):
    parent, out = tmp_path / "secret-parent", tmp_path / "run"
    shutil.copytree(gan, parent)
    model = Model.train("digits", out=out, recipe=recipe, parent=parent, **FAST)
    assert model.latent == 5
    assert_same(decoder_of(parent), decoder_of(out))
    assert (out / "preprocess.json").read_text() == (parent / "preprocess.json").read_text()
    config = json.loads((out / "config.json").read_text())
    assert config["arguments"]["latent"] == 5
    assert config["arguments"]["parent"].keys() == {"recipe", "spec", "arguments"}
    assert [file for file in out.rglob("*") if file.is_file() and b"secret-parent" in file.read_bytes()] == []

    x = digits().test.x[:5]
    samples, codes = ali.load(parent).sample(5, seed=0), model.encode(x)
    shutil.rmtree(parent)
    loaded = ali.load(out)
    np.testing.assert_array_equal(loaded.sample(5, seed=0), samples)
    np.testing.assert_array_equal(loaded.encode(x), codes)
    assert "| parent | gan |" in (out / "README.md").read_text()


def test_a_parent_may_have_a_parent(gan, tmp_path):
    Model.train("digits", out=tmp_path / "child", recipe="latent_regressor", parent=str(gan), **FAST)
    Model.train("digits", out=tmp_path / "grandchild", recipe="post_hoc", parent=str(tmp_path / "child"), **FAST)
    shutil.rmtree(tmp_path / "child")
    assert_same(decoder_of(gan), decoder_of(tmp_path / "grandchild"))
    config = json.loads((tmp_path / "grandchild" / "config.json").read_text())
    assert config["arguments"]["parent"]["arguments"]["parent"]["recipe"] == "gan"
    assert ali.load(tmp_path / "grandchild").reconstruct(digits().test.x[:2]).shape == (2, 8, 8)


def test_loading_opens_no_folder_that_a_run_names(gan, tmp_path):
    """A downloaded folder may say anything: a path in the place of what is embedded is refused, not followed."""
    Model.train("digits", out=tmp_path / "run", recipe="post_hoc", parent=str(gan), **FAST)
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    for parent, words in (
        (str(gan), "parent is a folder only where training begins"),
        ({"recipe": "os.system", "spec": config["spec"], "arguments": {}}, "only runs of this package's own recipes"),
        ({"recipe": "custom:mine", "spec": config["spec"], "arguments": {}}, "only runs of this package's own recipes"),
        ({"recipe": "gan"}, "not one that this version of ali can read"),
    ):
        broken = config | {"arguments": config["arguments"] | {"parent": parent}}
        (tmp_path / "run" / "config.json").write_text(json.dumps(broken))
        with pytest.raises(AliError, match=words):
            ali.load(tmp_path / "run")


def test_a_run_killed_before_its_first_checkpoint_keeps_the_frozen_weights(gan, tmp_path):
    command = [sys.executable, "-m", "ali.cli", "train"]
    flags = ["digits", "--recipe", "post_hoc", "--parent", str(gan), "--width", "16", "--depth", "1", "--epochs", "40"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    parts = tmp_path / "parts"
    process = subprocess.Popen([*command, *flags, "--out", str(parts)], env=environment, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not parts.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.returncode == -signal.SIGKILL, "it was to be killed while it learned"
    assert_same(decoder_of(gan), decoder_of(parts))
    session = Session.resume(parts, digits())
    assert session.step == 0  # no checkpoint but the first
    assert_same({f"decoder.{k}": v for k, v in session.run.game.decoder.conditional.state_dict().items()}, decoder_of(gan))


def test_a_run_with_a_parent_is_resumed_to_the_same_weights_and_without_it(gan, tmp_path):
    parent = tmp_path / "parent"
    shutil.copytree(gan, parent)
    options = {"recipe": "post_hoc", "parent": str(parent), **FAST}
    Model.train("digits", out=tmp_path / "whole", **options)
    session = Session.start("digits", digits(), tmp_path / "parts", **options)
    reports = session.play()
    for _ in range(15):
        next(reports)
    session.stop()
    with pytest.raises(Stopped):
        next(reports)
    shutil.rmtree(parent)
    torch.manual_seed(123)
    for _ in Session.resume(tmp_path / "parts", digits()).play():
        pass
    for name in ("model.safetensors", "resume/state.safetensors"):
        assert_same(load_file(tmp_path / "whole" / name), load_file(tmp_path / "parts" / name))
    shutil.rmtree(tmp_path / "parts" / "resume")
    (tmp_path / "parts" / "model.safetensors").unlink()
    with pytest.raises(AliError, match="nothing to go on from"):
        Session.resume(tmp_path / "parts", digits())


def labelled(spec, *, lr: float = 1e-3):
    """A recipe of somebody's own."""
    return RECIPES["gan"](spec, networks="mlp", width=4, depth=1, latent=2, epochs=1, lr=lr)


def test_parents_that_can_not_be_are_refused_in_words(gan, tmp_path):
    def refused(words: str, data: np.ndarray | None = None, **options) -> None:
        name, rows = ("digits", digits()) if data is None else ("images", data)
        with pytest.raises(AliError, match=words):
            Model.train(name, rows, out=tmp_path / "never", **{"recipe": "post_hoc", **FAST, **options})
        assert not (tmp_path / "never").exists()

    refused(r"post_hoc learns beside the decoder of a finished run: .* \(--parent RUN\)")
    refused("no such run folder", parent="nowhere")
    refused("config.json is missing", parent=str(tmp_path))
    refused("latent is that of the parent's decoder, 5: leave it out, got 7", parent=str(gan), latent=7)
    refused("must be the folder of a finished run, got dict", parent={"recipe": "gan"})
    x = np.random.default_rng(0).integers(0, 255, (40, 8, 8), dtype=np.uint8)
    refused("brightest pixel: 16.0, here: 255.0", data=x, parent=str(gan), networks="mlp")
    refused(r"shape of the rows: \(8, 8\), here: \(9, 9\)", data=x[:, :1, :1].repeat(9, 1).repeat(9, 2), parent=str(gan), networks="mlp")

    Model.train("digits", out=tmp_path / "custom", recipe=labelled)
    refused("made by 'custom:labelled', and only runs of this package's own recipes", parent=str(tmp_path / "custom"))
    shutil.copytree(gan, tmp_path / "empty")
    (tmp_path / "empty" / "model.safetensors").unlink()
    refused("has no weights yet", parent=str(tmp_path / "empty"))


def test_a_parent_that_saw_other_rows_is_told(gan, tmp_path):
    from ali.data.source import Data

    train, test = digits()
    other = Data(train.rows(np.arange(300)), test)
    with pytest.warns(UserWarning, match="was trained on other rows: rows held out here may be among them"):
        Model.train("digits", other, out=tmp_path / "run", recipe="latent_regressor", parent=str(gan), **FAST)


def test_the_command_line_takes_a_parent(gan, tmp_path, monkeypatch, capsys):
    from ali.cli import main

    def ali_says(*tokens: str) -> str:
        monkeypatch.setattr("sys.argv", ["ali", *tokens])
        with contextlib.suppress(SystemExit):
            main()
        return capsys.readouterr().out

    small = ["--width", "16", "--depth", "1", "--epochs", "2", "--out", str(tmp_path / "run")]
    assert "ali reconstruct" in ali_says("train", "digits", "--recipe", "post_hoc", "--parent", str(gan), *small)
    assert ali.load(tmp_path / "run").latent == 5  # not the 16 of the data set's defaults


# Learning. Untrained, or after an epoch: mse_share 0.4, q_z 0.45.


def test_an_encoder_learned_beside_a_gan_infers_digits(tmp_path):
    model = Model.train("digits", out=tmp_path / "run", recipe="latent_regressor", epochs=25)
    values = ali.evaluate(model, digits())
    assert values["mse_share"] < 0.55  # the GAN is young, and reconstructs with what it has
    assert values["label_kept"] > 0.75
    assert values["q_z"] < 0.15
    assert values["coverage"] > 0.4


def test_encoders_learned_after_a_gan_infer_digits(tmp_path):
    Model.train("digits", out=tmp_path / "gan", recipe="gan", epochs=25)
    bounds = {"post_hoc": (0.34, 0.92), "latent_regressor": (0.42, 0.85)}
    for recipe, (share, kept) in bounds.items():
        model = Model.train("digits", out=tmp_path / recipe, recipe=recipe, parent=tmp_path / "gan", epochs=20)
        values = ali.evaluate(model, digits())
        assert values["mse_share"] < share
        assert values["label_kept"] > kept
        assert values["q_z"] < 0.15


def test_a_parent_that_saw_rows_in_other_units_is_refused(tmp_path):
    x = np.random.default_rng(0).normal(size=(200, 3))
    ali.Model.train("table", x, out=tmp_path / "parent", recipe="gan", epochs=1, width=8, depth=1)
    with pytest.raises(ali.AliError, match="in other units"):
        ali.Model.train("table", 1000 * x + 7, out=tmp_path / "run", recipe="post_hoc", parent=str(tmp_path / "parent"), epochs=1)
    with pytest.warns(UserWarning, match="was trained on other rows"):
        ali.Model.train(
            "table", x[:150], out=tmp_path / "same", recipe="post_hoc", parent=str(tmp_path / "parent"), epochs=1, width=8, depth=1
        )
