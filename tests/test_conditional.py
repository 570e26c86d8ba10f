"""Conditional ALI: eq. 7 with a known D, who owns the embeddings, what a run keeps of p(y), labels as people write them, editing."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

import ali
from ali import games, recipes
from ali.conditions import Labels, having, of_text
from ali.data.digits import digits
from ali.data.source import Batch
from ali.distributions import Categorical, Empirical, StandardNormal
from ali.lines import direction, strengths
from ali.networks import Deterministic, Embedding
from ali.objectives import minimax, nonsaturating
from ali.recipes import Spec
from ali.train import play

N, K, E = 12, 3, 5
SPECS = {
    "classes": Spec((4,), tuple("abc"), y=np.arange(60) % K),
    "attributes": Spec((4,), attributes=("young", "smiling"), y=np.random.default_rng(0).integers(0, 2, (60, 2)).astype(np.float32)),
}
SMALL = {"networks": "mlp", "latent": 2, "width": 8, "depth": 1, "epochs": 1, "embedding": E}


def make(kind: str, seed: int = 0, **options) -> recipes.Run:
    torch.manual_seed(seed)
    return recipes.RECIPES["conditional"](SPECS[kind], **SMALL | options)


def batch(kind: str) -> Batch:
    return Batch(torch.randn(N, 4, generator=torch.Generator().manual_seed(1)), torch.from_numpy(SPECS[kind].y[:N]))


class Shift(nn.Module):
    """u + e."""

    def forward(self, u: Tensor, e: Tensor) -> Tensor:
        return u + e


class Judge(nn.Module):
    """D's logit = x + 2 z + 4 e."""

    def forward(self, x: Tensor, z: Tensor, e: Tensor) -> Tensor:
        return (x + 2 * z + 4 * e)[:, 0]


class Zeros(StandardNormal):
    def sample(self, n: int) -> Tensor:
        return torch.zeros(n, 1)


@pytest.mark.parametrize("objective", [nonsaturating, minimax])
def test_the_loss_is_that_of_equation_7_with_every_label_in_its_three_places(objective):
    ours, theirs = Embedding(2, 1, 0.0), Embedding(2, 1, 0.0)
    ours.weight.data, theirs.weight.data = torch.tensor([[0.5], [-1.0]]), torch.tensor([[0.1], [0.3]])
    law = Categorical(torch.tensor([0.5, 0.5]))
    game = games.ConditionalALI(Deterministic(Shift()), Deterministic(Shift()), Judge(), ours, theirs, Zeros(1), law, objective)
    lost = game.losses(Batch(torch.tensor([[1.0], [2.0]]), torch.tensor([0, 1])), torch.tensor(0.0))

    # z_hat = x + W y, x_tilde = 0 + W y: D sees x + 2 z_hat + 4 W_d y and x_tilde + 0 + 4 W_d y.
    rho_q, rho_p = [1 + 2 * 1.5 + 0.4, 2 + 2 * 1.0 + 1.2], [0.5 + 0.4, -1 + 1.2]
    d = [1 / (1 + math.exp(-rho)) for rho in rho_q + rho_p]
    value = (math.log(d[0]) + math.log(d[1])) / 2 + (math.log(1 - d[2]) + math.log(1 - d[3])) / 2
    fooled = -(math.log(1 - d[0]) + math.log(1 - d[1])) / 2 - (math.log(d[2]) + math.log(d[3])) / 2
    assert lost["discriminator"].item() == pytest.approx(-value, rel=1e-5)
    assert lost["generator"].item() == pytest.approx(value if objective is minimax else fooled, rel=1e-5)


@pytest.mark.parametrize("kind", SPECS)
def test_each_player_trains_its_own_embedding_and_no_other(kind):
    run = make(kind)
    game = run.game
    owners = {p: player for player in game.players for p in games.parameters(game, player)}
    assert (owners[game.embedding.weight], owners[game.d_embedding.weight]) == ("generator", "discriminator")
    before = {name: getattr(game, name).weight.detach().clone() for name in ("embedding", "d_embedding")}
    lost = game.losses(batch(kind), torch.tensor(0.0))
    for name, player in (("embedding", "generator"), ("d_embedding", "discriminator")):
        (slope,) = torch.autograd.grad(lost[player], getattr(game, name).weight, retain_graph=True)
        assert (slope.abs().sum(1) > 0).all()  # every class, every attribute
    for _ in play(game, [batch(kind)], run.optimizers, steps=1, seed=0):
        pass
    assert all((getattr(game, name).weight != weight).all() for name, weight in before.items())


@pytest.mark.parametrize("kind", SPECS)
def test_without_a_way_in_for_the_label_the_game_is_ali(kind):
    game = make(kind, objective="nonsaturating", penalty_end=0.02).game
    plain = recipes.ali(
        Spec((4,)), **{key: value for key, value in SMALL.items() if key != "embedding"}, objective="nonsaturating", penalty_end=0.02
    ).game
    # The label's columns are the last ones of the layers that it joins; without them the weights are ALI's.
    pairs = (
        (game.encoder.network.head[0], [*plain.encoder.network.modules()][-1]),
        (game.decoder.network.head[0], plain.decoder.network[0]),
        (game.discriminator.d_xz[0], plain.discriminator.d_xz[0]),
    )
    for seeing, blind in pairs:
        seeing.weight.data[:, -E:] = 0
        blind.weight.data, blind.bias.data = seeing.weight.data[:, :-E].clone(), seeing.bias.data.clone()
    plain.encoder.network[0].load_state_dict(game.encoder.network.body[0].state_dict())
    plain.decoder.network[2].load_state_dict(game.decoder.network.head[2].state_dict())
    plain.discriminator.d_xz[2].load_state_dict(game.discriminator.d_xz[2].state_dict())

    torch.manual_seed(3)
    seen = game.losses(batch(kind), torch.tensor(0.4))
    torch.manual_seed(3)
    expected = plain.losses(batch(kind), torch.tensor(0.4))
    for player, loss in expected.items():
        torch.testing.assert_close(seen[player], loss)


@pytest.mark.parametrize("kind", SPECS)
def test_a_number_and_its_one_hot_row_are_one_label_and_attributes_are_in_their_own_units(kind):
    game = make(kind).game.eval()
    if kind == "classes":
        torch.testing.assert_close(game.embedding(torch.tensor([2, 0])), game.embedding(torch.eye(3)[[2, 0]]))
    else:
        y = torch.from_numpy(SPECS[kind].y)
        e = (y - y.mean(0)) / y.std(0) @ game.embedding.weight
        torch.testing.assert_close(game.embedding(y), e, rtol=0.1, atol=0.05)  # p(y) is known by 1,024 rows drawn from 60


def test_p_of_y_is_kept_and_loaded_without_the_data():
    y = np.repeat([0, 1, 2], [10, 20, 30])
    game = recipes.RECIPES["conditional"](Spec((4,), tuple("abc"), y=y), **SMALL).game
    loaded = recipes.RECIPES["conditional"](Spec((4,), tuple("abc")), **SMALL).game
    loaded.load_state_dict(game.state_dict())
    torch.testing.assert_close(loaded.law.frequencies, torch.tensor([1 / 6, 1 / 3, 1 / 2]))
    torch.manual_seed(0)
    counts = torch.bincount(loaded.labels(6000), minlength=3)
    torch.testing.assert_close(counts / 6000, torch.tensor([1 / 6, 1 / 3, 1 / 2]), rtol=0, atol=0.03)

    rows = np.array([[1, 0], [0, 1], [0, 1]], np.float32)  # never both, never neither
    spec = Spec((4,), attributes=("a", "b"), y=rows)
    game = recipes.RECIPES["conditional"](spec, **SMALL).game
    loaded = recipes.RECIPES["conditional"](Spec((4,), attributes=("a", "b")), **SMALL).game
    loaded.load_state_dict(game.state_dict())
    drawn = loaded.labels(3000)
    assert (drawn.sum(1) == 1).all()
    assert drawn[:, 1].mean().item() == pytest.approx(2 / 3, abs=0.04)
    torch.testing.assert_close(loaded.embedding.mean, game.law.rows.mean(0))
    assert isinstance(game.law, Empirical)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (Spec((4,)), "neither classes nor attributes"),
        (Spec((4,), tuple("ab"), y=np.array([0, -1, 1, -1])), r"2 of 4 training rows have none \(the first is row 1\).*label them"),
        (Spec((4,), attributes=("a",), y=np.array([[1.0], [np.nan]])), "1 of 2 training rows have none"),
        (Spec((4,), tuple("abc"), y=np.array([0, 2])), "no training row has the class 'b'"),
        (Spec((4,), attributes=("a",), y=np.zeros((3, 2))), r"labels y have shape \(3, 2\), for 1 attributes"),
    ],
)
def test_data_that_can_not_be_conditioned_on_is_refused_in_words(spec, words):
    with pytest.raises(ali.AliError, match=words):
        recipes.RECIPES["conditional"](spec, **SMALL)


def test_the_paper_s_celeba_network_embeds_40_attributes_by_256_numbers():
    spec = Spec((3, 64, 64), attributes=tuple(f"a{k}" for k in range(40)))
    game = recipes.RECIPES["conditional"](spec, **recipes.defaults(recipes.RECIPES["conditional"], "celeba", "paper")).game
    assert game.embedding.weight.shape == game.d_embedding.weight.shape == (40, 256)
    assert game.encoder.network.head[0].weight.shape == (512, 512 + 256, 1, 1)
    assert game.decoder.network.head[0].weight.shape[:2] == (256 + 256, 512)
    assert game.discriminator.d_xz[1].weight.shape == (2048, 512 + 1024 + 256, 1, 1)
    assert 0.009 < game.embedding.weight.std() < 0.011
    y = torch.zeros(2, 40)
    assert game.encode(torch.rand(2, 3, 64, 64), y).mean.shape == (2, 256)
    assert game.decode(torch.randn(2, 256), y).mean.shape == (2, 3, 64, 64)


CLASSES = Labels(("cat", "dog"))
TRAITS = Labels(attributes=("old", "smiling"), known=np.array([[30.0, 0], [70.0, 1]]))


@pytest.mark.parametrize(
    ("labels", "y", "expected"),
    [
        (CLASSES, "dog", [1, 1, 1]),
        (CLASSES, 0, [0, 0, 0]),
        (CLASSES, np.array([0, 1, 1]), [0, 1, 1]),
        (CLASSES, ["dog", "cat", "dog"], [1, 0, 1]),
        (CLASSES, torch.tensor([1, 0, 0]), [1, 0, 0]),
        (TRAITS, {"smiling": 1, "old": 50}, [[50, 1]] * 3),
        (TRAITS, {"smiling": [0, 1, 0.5], "old": 50}, [[50, 0], [50, 1], [50, 0.5]]),
        (TRAITS, np.array([[1, 0], [2, 1], [3, 0]]), [[1, 0], [2, 1], [3, 0]]),
        (TRAITS, [80, 1], [[80, 1]] * 3),
    ],
)
def test_labels_are_taken_in_every_form(labels, y, expected):
    np.testing.assert_array_equal(labels.numbers(y, 3), expected)


def test_what_a_dictionary_leaves_open_is_taken_from_the_others():
    others = np.array([[1, 0], [2, 1]], np.float32)
    np.testing.assert_array_equal(TRAITS.numbers({"smiling": 1}, 2, others), [[1, 1], [2, 1]])
    np.testing.assert_array_equal(others, [[1, 0], [2, 1]])


@pytest.mark.parametrize(
    ("labels", "y", "words"),
    [
        (CLASSES, "dgo", "unknown class 'dgo', did you mean 'dog'.*there are cat, dog"),
        (CLASSES, 2, "unknown class 2"),
        (CLASSES, [0, -1, 1], "a row has no class"),
        (CLASSES, [0, 1], "2 labels for 3 rows"),
        (CLASSES, 0.5, "classes are names, or whole numbers"),
        (CLASSES, {"smiling": 1}, "classes, not attributes: cat, dog"),
        (TRAITS, {"smile": 1}, "unknown attribute 'smile', did you mean 'smiling'.*old, smiling"),
        (TRAITS, {"smiling": 1}, "old is not said; say all"),
        (TRAITS, {"smiling": -1, "old": 50}, "'smiling' is 0 or 1 in the training rows.*got -1"),
        (TRAITS, {"smiling": "yes", "old": 50}, "'smiling': expected numbers"),
        (TRAITS, {"smiling": [1, 0], "old": 50}, "2 labels for 3 rows"),
        (TRAITS, np.full((3, 2), np.nan), "'old' of row 0 is not a finite number"),
        (TRAITS, np.zeros((3, 4)), r"shape \(n, 2\); got \(3, 4\)"),
        (TRAITS, "smiling", "attributes, not classes"),
    ],
)
def test_labels_that_make_no_sense_are_refused_in_words(labels, y, words):
    with pytest.raises(ali.AliError, match=words):
        labels.numbers(y, 3)


def test_attributes_as_the_command_line_writes_them():
    assert of_text("smiling=1, blond=0.5") == {"smiling": 1.0, "blond": 0.5}
    for text in ("smiling", "smiling=", "=1", "smiling=yes", "a=1,,b=0", "a=nan", "a=1,a=0"):
        with pytest.raises(ali.AliError, match=r"written name=number|said twice"):
            of_text(text)


def test_directions_lead_from_mean_to_mean():
    generator = np.random.default_rng(0)
    mask = generator.random(4000) < 0.3
    z = generator.normal(size=(4000, 3)) @ np.array([[1, 0.8, 0], [0, 1, 0], [0, 0, 1.0]]) + np.outer(mask, [2.0, 1.0, 0])
    straight, normal = direction(z, mask), direction(z, mask, "classifier")
    between = z[mask].mean(0) - z[~mask].mean(0)
    np.testing.assert_allclose(straight, between, rtol=1e-5)
    # Fisher: the normal is Sigma^-1 times the difference of means; the step goes as far along it as the means are apart.
    w = np.linalg.solve(np.cov(z[mask].T), between)
    assert normal @ w / np.linalg.norm(normal) / np.linalg.norm(w) > 0.995
    assert normal @ normal == pytest.approx(normal @ between, rel=1e-4)


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (np.ones(4, bool), "all 4 rows are with"),
        (np.zeros(4, bool), "all 4 rows are without"),
        (np.ones(3, bool), r"each of the 4 rows, got type bool of shape \(3,\)"),
        (np.array([0, 1, 2, 0]), "True or False"),
        (np.array(["a", "b", "a", "b"]), "True or False"),
    ],
)
def test_a_direction_needs_rows_on_both_sides(mask, words):
    with pytest.raises(ali.AliError, match=words):
        direction(np.zeros((4, 2)), mask)


def test_rows_with_a_label_are_found_and_those_without_one_left_out():
    x = np.arange(8.0).reshape(4, 2)
    rows, mask = having(ali.Source(x, np.array([0, -1, 1, 1]), ("a", "b")), "b")
    np.testing.assert_array_equal(rows.x, x[[0, 2, 3]])
    np.testing.assert_array_equal(mask, [False, True, True])
    y = np.array([[20, 1], [30, np.nan], [60, 0], [70, 0]], np.float32)
    source = ali.Source(x, y, attributes=("age", "smiling"))
    np.testing.assert_array_equal(having(source, "age")[1], [False, False, True, True])
    np.testing.assert_array_equal(having(source, "smiling")[1], [True, False, False])
    with pytest.raises(ali.AliError, match=r"no such label, did you mean 'smiling'.*attributes are age, smiling"):
        having(source, "smilng")
    with pytest.raises(ali.AliError, match="neither classes nor attributes"):
        having(ali.Source(x), "b")


def test_strengths_are_steps_from_low_to_high():
    assert strengths("-2:2:5") == [-2, -1, 0, 1, 2]
    assert strengths("1:1:1") == [1]
    for text in ("1", "1:2", "a:b:c", "0:1:0", "0:1:-2", "0:inf:3", "0:1:2.5"):
        with pytest.raises(ali.AliError, match="lo:hi:n"):
            strengths(text)


# On data: digits by class, and rows with attributes.


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> ali.Model:
    return ali.Model.train("digits", out=tmp_path_factory.mktemp("runs") / "digits", recipe="conditional", epochs=25)


@pytest.fixture(scope="module")
def classifier() -> LogisticRegression:
    train, _ = digits()
    return LogisticRegression(max_iter=500).fit(train.x.reshape(-1, 64) / 16, train.y)


def test_digits_are_generated_reconstructed_and_changed_by_class(model, classifier):
    def read(x: np.ndarray) -> np.ndarray:
        return classifier.predict(x.reshape(-1, 64) / 16)

    test = digits().test
    asked = np.arange(400) % 10
    assert (read(model.sample(400, y=asked, seed=0)) == asked).mean() > 0.93  # chance is 0.1; real digits get 0.96
    assert (read(model.sample(50, y="3", seed=0)) == 3).mean() > 0.8
    x_hat = model.reconstruct(test.x, test.y)
    assert ((x_hat.astype(float) - test.x) ** 2).mean() / test.x.astype(float).var(0).mean() < 0.13
    # From a to b: the picture is read as b, and differs less from the original than another b does.
    other = (test.y + 1 + np.arange(len(test)) % 9) % 10
    edited = model.edit(test.x, test.y, label=other)
    assert (read(edited) == other).mean() > 0.93
    strange = model.sample(len(test), y=other, seed=1)
    assert ((edited.astype(float) - test.x) ** 2).mean() < 0.8 * ((strange.astype(float) - test.x) ** 2).mean()
    # Without a label, y ~ p(y): every digit comes.
    assert np.bincount(read(model.sample(400, seed=0)), minlength=10).min() > 20


def test_a_direction_turns_digits_into_another_class(tmp_path, classifier):
    plain = ali.Model.train("digits", out=tmp_path / "run", epochs=15)
    train, test = digits()
    x = test.x[(test.y == 1) | (test.y == 7)][:40]
    for how in ("mean", "classifier"):
        step = plain.direction(train.x, train.y == 0, how=how)
        strip = plain.edit(x, direction=step, strength=[0, 1, 2])
        assert strip.shape == (len(x), 3, 8, 8)
        none, one, two = (classifier.predict(strip.reshape(-1, 64) / 16) == 0).reshape(len(x), 3).mean(0)
        assert none < 0.05
        assert one > none + 0.15  # the mean of the codes of all zeros is on the border of those of ones and sevens
        assert two > 0.8
        np.testing.assert_array_equal(plain.edit(x, direction=step), strip[:, 1])
    np.testing.assert_array_equal(strip[:, 0], plain.reconstruct(x))


@pytest.mark.parametrize(("n", "words"), [(0, "at least 1, got 0"), (-1, "at least 1, got -1"), (2**31, "below 2\\^31")])
def test_a_number_of_samples_is_refused_before_their_labels_are_made(model, n, words):
    with pytest.raises(ali.AliError, match=words):
        model.sample(n, y=3)


def test_verbs_of_a_conditional_run(model):
    test = digits().test
    x, y = test.x[:6], test.y[:6]
    names = [model.classes[k] for k in y]
    np.testing.assert_array_equal(model.encode(x, names), model.encode(x, y))
    z = model.encode(torch.from_numpy(x), torch.from_numpy(y))
    assert isinstance(z, Tensor)
    np.testing.assert_array_equal(model.decode(z, y).numpy(), model.reconstruct(x, y))
    assert (model.decode(z, (y + 1) % 10).numpy() != model.reconstruct(x, y)).any()
    np.testing.assert_array_equal(model.sample(5, seed=1), model.sample(5, seed=1))
    np.testing.assert_array_equal(model.edit(x, y, label=y), model.reconstruct(x, y))
    walks = model.interpolate(x[:3], x[3:], 5, y1=y[:3], y2=y[3:])
    ends = model.reconstruct(x, y).astype(int)
    assert np.abs(walks[:, 0] - ends[:3]).max() <= 1
    assert np.abs(walks[:, -1] - ends[3:]).max() <= 1
    assert model.encode(x[:0], []).shape == (0, 16)
    many = np.arange(2100) % len(test)
    np.testing.assert_allclose(
        model.encode(test.x[many], test.y[many])[1990:2010], model.encode(test.x[many[1990:2010]], test.y[many[1990:2010]]), atol=1e-5
    )


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m, x: m.encode(x), r"y: this run \(conditional\) needs the labels of the rows, too: classes 0, 1"),
        (lambda m, x: m.decode(np.zeros((2, 16), np.float32)), "needs the labels"),
        (lambda m, x: m.interpolate(x, x, y1=[1, 1]), "y2: this run"),
        (lambda m, x: m.reconstruct(x, [1]), "1 labels for 2 rows"),
        (lambda m, x: m.sample(3, y="ten"), "unknown class 'ten'"),
        (lambda m, x: m.edit(x, [1, 1]), "Say one of attributes, label and direction"),
        (lambda m, x: m.edit(x, [1, 1], label=1, direction=np.zeros(16)), "Say one of"),
        (lambda m, x: m.edit(x, [1, 1], attributes={"smiling": 1}), "classes, not attributes"),
        (lambda m, x: m.edit(x, [1, 1], direction=np.zeros(3)), r"16 finite numbers.*got shape \(3,\)"),
        (lambda m, x: m.edit(x, [1, 1], direction=np.zeros(16), strength=[np.nan]), "strength: a finite number"),
        (lambda m, x: m.direction(x, [True, True], [1, 1]), "all 2 rows are with"),
    ],
)
def test_what_a_conditional_run_can_not_do_is_said_in_words(model, call, words):
    with pytest.raises(ali.AliError, match=words):
        call(model, digits().test.x[:2])


def squares(n: int, seed: int) -> ali.Source:
    """8 x 8 pictures: bright or not, on the left or not; the two go together often."""
    generator = np.random.default_rng(seed)
    bright = generator.random(n) < 0.5
    left = generator.random(n) < np.where(bright, 0.7, 0.3)
    x = generator.integers(0, 40, (n, 8, 8))
    for row in range(n):
        x[row, 2:6, 0 if left[row] else 5] += 200 if bright[row] else 90
    return ali.Source(x.astype(np.uint8), np.stack([bright, left], 1).astype(np.float32), attributes=("bright", "left"))


@pytest.fixture(scope="module")
def traits(tmp_path_factory) -> ali.Model:
    data = ali.Data(squares(1200, 0), squares(200, 1))
    options = {"networks": "mlp", "latent": 4, "width": 64, "depth": 2, "lr": 2e-3, "beta1": 0.1, "epochs": 25}
    return ali.Model.train("images", data, out=tmp_path_factory.mktemp("runs") / "squares", recipe="conditional", **options)


def test_attributes_change_and_the_others_stay(traits):
    def seen(x: np.ndarray) -> np.ndarray:
        """Bright, left."""
        left, right = x[:, 2:6, 0].mean(1), x[:, 2:6, 5].mean(1)
        return np.stack([np.maximum(left, right) > 160, left > right], 1)

    test = squares(200, 1)
    assert (seen(test.x) == test.y).all()
    for name, place in (("bright", 0), ("left", 1)):
        for value in (0, 1):
            edited = seen(traits.edit(test.x, test.y, attributes={name: value}))
            assert (edited[:, place] == value).mean() > 0.9
            assert (edited[:, 1 - place] == test.y[:, 1 - place]).mean() > 0.9
    sampled = seen(traits.sample(400, y={"bright": 1}, seed=0))
    assert sampled[:, 0].mean() > 0.9
    assert 0.35 < sampled[:, 1].mean() < 0.65  # the other is drawn from p(y)
    both = seen(traits.sample(1000, seed=0))
    assert both[both[:, 0], 1].mean() > both[~both[:, 0], 1].mean() + 0.2  # what goes together in the data does so in samples


def test_a_conditional_run_is_evaluated(traits, tmp_path):
    from ali.evaluation import report

    data = ali.Data(squares(1200, 0), squares(200, 1))
    values = report.write(tmp_path / "report", traits, data)
    assert values["mse_share"] < 0.9
    assert "label_kept" not in values  # attributes are no classes
    assert (tmp_path / "report" / "labels.png").exists()
    with pytest.raises(ali.AliError, match="do not have the labels"):
        ali.evaluate(traits, ali.Data(ali.Source(data.train.x), ali.Source(data.test.x)))
