"""Few labels: which are kept, what they teach, and that semi-supervised ALI makes more of them than a network that sees them alone."""

import math
import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import ali
from ali import games
from ali.cli import main
from ali.data.digits import digits
from ali.data.source import Batch, Data, Source, hide
from ali.distributions import StandardNormal
from ali.errors import AliError
from ali.networks import Critic, Deterministic, Discriminator, Gaussian
from ali.objectives import known_classes
from ali.session import Session
from ali.table import build, linear

NAMES = ("a", "b", "c")


def source(y, classes=NAMES) -> Source:
    y = None if y is None else np.asarray(y)
    return Source(np.random.default_rng(0).normal(size=(60 if y is None else len(y), 4)).astype(np.float32), y, classes)


# Which labels are kept.


@pytest.mark.parametrize("labels", [3, 12, 13, 14, 60])
def test_as_many_labels_as_asked_for_are_kept_and_equally_many_of_each_class(labels):
    full = source(np.arange(60) % 3)
    few = hide(full, labels, seed=4)
    kept = few.y >= 0
    counts = np.bincount(few.y[kept], minlength=3)
    assert kept.sum() == labels
    assert counts.max() - counts.min() <= 1
    assert (few.y[kept] == full.y[kept]).all()
    assert (few.y[~kept] == -1).all()
    assert (full.y >= 0).all()  # the given rows keep theirs
    assert few.fingerprint() == full.fingerprint()


def test_the_seed_draws_the_labels_and_rows_that_had_none_get_none():
    full = source(np.where(np.arange(90) < 60, np.arange(90) % 3, -1))
    first, again, other = hide(full, 12, seed=0), hide(full, 12, seed=0), hide(full, 12, seed=1)
    assert (first.y == again.y).all()
    assert (first.y != other.y).any()
    assert (first.y[60:] == -1).all()
    # Every label has the same chance: over many draws each is kept about equally often (binomial, five standard deviations).
    often = sum((hide(full, 30, seed).y >= 0)[:60].astype(int) for seed in range(200))
    assert np.abs(often - 100).max() < 5 * math.sqrt(200 / 4)


@pytest.mark.parametrize(
    ("y", "labels", "words"),
    [
        (np.arange(60) % 3, 61, "at most the 60 rows whose class is known, got 61"),
        (np.where(np.arange(60) < 30, np.arange(60) % 3, -1), 31, "at most the 30 rows"),
        (np.arange(60) % 3, 2, "at least one for each of the 3 classes, got 2"),
        (np.arange(60) % 2, 6, "class 'c' has no labelled row"),
        (np.arange(60) % 4, 6, "row 3 has class number 3, but classes are numbered 0 to 2"),
        (np.arange(60) % 3 - 2, 6, "row 0 has class number -2"),
        (np.repeat([0, 1, 2], [40, 18, 2]), 9, "9 are 3 for each class, but class 'c' has 2 row(s): keep at most 6"),
        (None, 6, "have no classes"),
        (np.zeros((60, 2), np.float32), 6, "have no classes"),
    ],
)
def test_labels_that_can_not_be_kept_are_refused_in_words(y, labels, words):
    with pytest.raises(AliError, match=re.escape(words)):
        hide(source(y), labels, seed=0)


def few(folder, **options) -> Session:
    data = Data(source(np.arange(60) % 3), source(np.arange(6) % 3))
    given = {
        "recipe": "semi_supervised",
        "labels": 9,
        "networks": "mlp",
        "width": 8,
        "epochs": 3,
        "batch_size": 16,
        "labelled": 8,
    } | options
    return Session.start("table", data, folder, **given)


def test_a_resumed_run_keeps_the_same_labels_and_ends_with_the_same_weights(tmp_path):
    whole = few(tmp_path / "whole", seed=5)
    assert (whole.data.train.y >= 0).sum() == 9
    assert (whole.data.test.y >= 0).all()
    for _ in whole.play():
        pass
    stopped = few(tmp_path / "stopped", seed=5)
    played = stopped.play()
    next(played), stopped.stop()
    with pytest.raises(AliError, match="stopped after step"):
        next(played)
    resumed = Session.resume(tmp_path / "stopped", Data(source(np.arange(60) % 3), source(np.arange(6) % 3)))
    assert (resumed.data.train.y == whole.data.train.y).all()
    for _ in resumed.play():
        pass
    assert all(torch.equal(a, b) for a, b in zip(whole.run.game.parameters(), resumed.run.game.parameters(), strict=True))


def test_the_game_s_first_rows_are_the_labelled_ones(tmp_path):
    session = few(tmp_path / "run")
    batches = session.batches()
    seen = [next(batches) for _ in range(6)]
    assert all((batch.y[:8] >= 0).all() for batch in seen)
    assert sum(int((batch.y[8:] >= 0).sum()) for batch in seen) < 20  # the others as they come: 9 of 60 have a class


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"labels": 2}, "at least one for each"),
        ({"labelled": 0}, "labelled must be at least 1"),
        ({"labelled": 9}, "labelled must be at most half of batch_size, which is 16, got 9"),
        ({"dropout": 1.0}, "dropout must be"),
        ({"label_weight": 0.0}, "label_weight must be above 0"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(tmp_path, options, words):
    with pytest.raises(AliError, match=words):
        few(tmp_path / "run", **options)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("recipe", ["semi_supervised", "k_plus_one", "supervised"])
@pytest.mark.parametrize(
    ("y", "classes", "words"),
    [
        (None, (), "learns classes"),
        (np.zeros(60, np.int64), ("a",), "learns classes, and this data has 1"),
        (np.full(60, -1), NAMES, "class 'a' has no labelled row"),
        (np.arange(60) % 2, NAMES, "class 'c' has no labelled row"),
        (np.arange(60) % 4, NAMES, "row 3 has class number 3"),
    ],
)
def test_classes_that_can_not_be_learned_are_refused(tmp_path, recipe, y, classes, words):
    data = Data(source(y, classes), source(None))
    with pytest.raises(AliError, match=words):
        Session.start("table", data, tmp_path / "run", recipe=recipe, networks="mlp", width=8)


def test_the_command_line_says_what_is_wrong_with_labels(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["ali", "train", "digits", "--recipe", "supervised", "--labels", "5", "--out", str(tmp_path / "run")])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    assert capsys.readouterr().err == "ali: labels says how many labels are kept: at least one for each of the 10 classes, got 5\n"
    assert not (tmp_path / "run").exists()


# What they teach.


def small(seed=0, k=3, **options):
    torch.manual_seed(seed)

    def net(inputs, *sizes):
        rows = (*(linear(n, False, 0.0, "lrelu") for n in sizes[:-1]), linear(sizes[-1], False, 0.0, "linear"))
        return build(rows, (inputs,), sigma=0.5)

    d = Discriminator(net(4, 8), build((), (2,)), net(10, 8, k))
    return games.SemiSupervised(Gaussian(net(4, 8, 4)), Deterministic(net(2, 8, 4)), d, StandardNormal(2), **options)


def batch(n=12, y=None, seed=1) -> Batch:
    return Batch(torch.randn(n, 4, generator=torch.Generator().manual_seed(seed)), y)


def losses(game, given):
    torch.manual_seed(3)
    return game.losses(given, torch.tensor(0.5))


class Knows(nn.Module):
    """A discriminator that gives the same logits to every pair, or says of x what it holds."""

    def __init__(self, logits):
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits))

    def forward(self, x, *others):
        return self.logits.expand(len(x), -1)


def test_losses_are_those_of_k_plus_1_classes_the_last_logit_0():
    game = small(labelled=4)
    y = torch.tensor([0, 1, 2, 1, -1, -1, 2, -1, -1, -1, -1, -1])
    given = batch(y=y)
    got = losses(game, given)

    torch.manual_seed(3)
    z = torch.randn(8, 2)
    z_hat, x_tilde = game.encoder(given.x).rsample(), game.decoder(z).rsample()

    def p(x, z):  # log probabilities of K + 1 classes
        logits = game.discriminator(x, z)
        return torch.cat([logits, torch.zeros(len(logits), 1)], 1).log_softmax(1)

    real, fake = p(given.x, z_hat), p(x_tilde, z)
    right = real[y >= 0][range(5), y[y >= 0]] - real[y >= 0, :3].logsumexp(1)
    loss_d = -real[4:, :3].logsumexp(1).mean() - fake[:, 3].mean() - right.mean()
    loss_g = -real[4:, 3].mean() - fake[:, :3].logsumexp(1).mean()
    torch.testing.assert_close(got["discriminator"], loss_d)
    torch.testing.assert_close(got["generator"], loss_g)


def test_with_one_class_it_is_ali():
    game = small(k=1)
    game.discriminator.forward = lambda x, z: Discriminator.forward(game.discriminator, x, z)[:, None]
    alike = games.ALI(game.encoder, game.decoder, game.discriminator, game.prior)
    got = losses(game, batch(y=torch.zeros(12, dtype=torch.int64)))
    game.discriminator.forward = lambda x, z: Discriminator.forward(game.discriminator, x, z)
    expected = losses(alike, batch())
    torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("logit", [-1.0, 0.0, 2.0])
def test_losses_of_a_discriminator_that_knows_nothing(logit):
    game = small()
    game.discriminator = Knows([logit] * 3)
    rho = torch.tensor(logit + math.log(3))
    played = F.softplus(rho) + F.softplus(-rho)
    got = losses(game, batch(y=torch.arange(12) % 3))
    torch.testing.assert_close(got["generator"], played)
    torch.testing.assert_close(got["discriminator"], played + math.log(3))


def test_rows_that_only_teach_do_not_play_and_labels_are_nothing_to_the_generator():
    game = small(labelled=4)
    y = torch.where(torch.arange(12) < 4, torch.arange(12) % 3, -1)
    given = batch(y=y)
    others = Batch(torch.cat([torch.randn(4, 4), given.x[4:]]), y)
    first, other = losses(game, given), losses(game, others)
    torch.testing.assert_close(first["generator"], other["generator"])
    assert first["discriminator"] != other["discriminator"]
    unknown = losses(game, Batch(given.x, torch.full((12,), -1)))
    torch.testing.assert_close(unknown["generator"], first["generator"])
    torch.testing.assert_close(losses(game, Batch(given.x))["discriminator"], unknown["discriminator"])
    # More than half of the batch can not be left out of the game.
    assert torch.isfinite(losses(small(labelled=99), given)["generator"])


def test_known_classes_are_cross_entropy_of_the_rows_that_have_one():
    logits, y = torch.randn(6, 4), torch.tensor([1, -1, 3, -1, -1, 0])
    torch.testing.assert_close(known_classes(logits, y), F.cross_entropy(logits[y >= 0], y[y >= 0]))
    assert known_classes(logits, torch.full((6,), -1)) == known_classes(logits, None) == 0


def test_features_are_what_the_last_layer_sees():
    critic = Critic(
        build((linear(8, False, 0.0, "lrelu"),), (4,)), build((linear(6, False, 0.0, "lrelu"), linear(3, False, 0.0, "linear")), (8,))
    )
    x = torch.randn(5, 4)
    assert critic.features(x).shape == (5, 6)
    torch.testing.assert_close(list(critic.head)[-1](critic.features(x)), critic(x))


class Shift(nn.Module):
    """The generator of a game that can be done by hand: x = z + b."""

    def __init__(self):
        super().__init__()
        self.b = nn.Parameter(torch.tensor([1.0, -2.0]))

    def forward(self, z):
        return z + self.b


def test_feature_matching_pulls_the_generator_s_mean_to_that_of_the_data():
    """With features f(x) = x, L_g = |mean x - mean z - b|^2 / 2, and its gradient is -(mean x - mean z - b)."""
    head = build((linear(3, False, 0.0, "linear"),), (2,))
    game = games.KPlusOne(Deterministic(Shift()), Critic(build((), (2,)), head), StandardNormal(2), feature_matching=True)
    x = torch.randn(10, 2, generator=torch.Generator().manual_seed(2)) + 5
    loss = losses(game, Batch(x))["generator"]
    torch.manual_seed(3)
    off = x.mean(0) - torch.randn(10, 2).mean(0) - torch.tensor([1.0, -2.0])
    torch.testing.assert_close(loss, off.square().mean())
    (slope,) = torch.autograd.grad(loss, [game.decoder.network.b])
    torch.testing.assert_close(slope, -off)


def test_without_feature_matching_the_generator_fools_d():
    head = build((linear(3, False, 0.0, "linear"),), (2,))
    game = games.KPlusOne(Deterministic(Shift()), Critic(build((), (2,)), head), StandardNormal(2), feature_matching=False)
    x = torch.randn(10, 2)
    loss = losses(game, Batch(x))["generator"]
    torch.manual_seed(3)
    rho = game.discriminator(torch.randn(10, 2) + torch.tensor([1.0, -2.0])).logsumexp(1)
    (slope,) = torch.autograd.grad(loss, [game.decoder.network.b], retain_graph=True)
    (expected,) = torch.autograd.grad(
        F.softplus(-game.discriminator((torch.manual_seed(3), torch.randn(10, 2))[1] + game.decoder.network.b).logsumexp(1)).mean(),
        [game.decoder.network.b],
    )
    torch.testing.assert_close(slope, expected)
    assert loss > F.softplus(-rho).mean()  # and D's part on x, which it has no say in


def test_supervised_sees_labelled_rows_alone():
    game = games.Supervised(Critic(build((), (4,)), build((linear(3, False, 0.0, "linear"),), (4,))), labelled=6)
    y = torch.tensor([0, 1, 2, 0, -1, 1, -1, -1])
    x = torch.randn(8, 4)
    expected = F.cross_entropy(game.classifier(x[y >= 0]), y[y >= 0])
    torch.testing.assert_close(losses(game, Batch(x, y))["classifier"], expected)
    x[[4, 6, 7]] += 1
    torch.testing.assert_close(losses(game, Batch(x, y))["classifier"], expected)


# Games learn. With this seed, the same 100 labelled rows alone leave 9.25 % errors (experiments/README.md).


@pytest.mark.parametrize(
    ("recipe", "epochs", "errors"), [("semi_supervised", 25, 0.08), ("k_plus_one", 25, 0.08), ("supervised", 15, 0.12)]
)
def test_digits_are_learned_from_100_labels(tmp_path, recipe, epochs, errors):
    model = ali.Model.train("digits", out=tmp_path / "run", recipe=recipe, labels=100, epochs=epochs)
    test = digits().test
    probabilities = model.classify(test.x)
    assert probabilities.shape == (400, 10)
    assert (probabilities.argmax(1) != test.y).mean() < errors
