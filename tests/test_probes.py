"""Probes: features have the announced shape and are what the layers put out; classifiers on toy rows give known errors."""

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from ali import preprocess
from ali.data.digits import digits
from ali.errors import AliError
from ali.evaluation import probes
from ali.model import Model
from ali.recipes import RECIPES, Spec

NAMES = ("a", "b", "c")


@pytest.fixture(scope="module")
def models():
    """Runs that have learned nothing yet, on 8 x 8 images by convolutions and in the paper's manner, and by an MLP."""
    data = digits().train
    how = {
        "modern": {"networks": "conv"},
        "paper": {"networks": "conv", "face": "paper"},
        "mlp": {"networks": "mlp", "depth": 2},
        "critic": {"networks": "conv", "recipe": "k_plus_one"},
    }
    made = {}
    for name, options in how.items():
        torch.manual_seed(0)
        recipe = options.pop("recipe", "ali")
        prepared = preprocess.fit(data, options.get("face", "modern"))
        game = RECIPES[recipe](Spec(prepared.network_shape, data.classes), width=4, latent=6, **options).game
        if name == "paper":  # running statistics that are none of the initial ones
            game.encoder(3 * torch.randn(50, *prepared.network_shape))
        made[name] = Model(game, prepared, {"recipe": recipe, "spec": {"classes": data.classes}})
    return made


@pytest.fixture(scope="module")
def x():
    return digits().test.x[:9]


def toy(n=120, seed=0, spread=0.1):
    """Three classes on the corners of a triangle."""
    random = np.random.default_rng(seed)
    y = np.arange(n) % 3
    return np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 3.0]])[y] + spread * random.standard_normal((n, 2)), y


# The encoder of 8 x 8 images of width 4: 4 maps of 4 x 4, 8 of 1 x 1, then the code.
@pytest.mark.parametrize(
    ("name", "options", "size"),
    [
        ("modern", {}, 6 + 64 + 8),
        ("paper", {}, 6 + 64 + 8),
        ("modern", {"layers": (-1,)}, 6 + 8),
        ("modern", {"layers": (-2,), "code": False}, 64),
        ("modern", {"layers": ()}, 6),
        ("mlp", {}, 6 + 4 + 4),
    ],
)
def test_encoder_features_have_the_announced_shape(models, x, name, options, size):
    assert probes.encoder_features(models[name], x, **options).shape == (9, size)


@pytest.mark.parametrize("name", ["modern", "paper"])
def test_encoder_features_are_the_code_and_what_stands_before_the_nonlinearities(models, x, name):
    model = models[name]
    features = probes.encoder_features(model, x)
    np.testing.assert_allclose(features[:, :6], model.encode(x), rtol=1e-5, atol=1e-6)
    # From the features of the last hidden layer on, the rest of the network gives the code.
    layers = list(model.game.encoder.network)
    place = max(k for k, module in enumerate(layers) if isinstance(module, torch.nn.LeakyReLU))
    rest = torch.nn.Sequential(*layers[place:])
    with torch.no_grad():
        outputs = rest(torch.from_numpy(features[:, 70:])[:, :, None, None]).flatten(1)
    np.testing.assert_allclose(outputs[:, :6], features[:, :6], rtol=1e-5, atol=1e-6)
    assert (features[:, 6:] < 0).mean() > 0.2  # before the leaky ReLU, negative numbers are as large as positive ones
    assert not model.game.encoder._forward_hooks
    assert not any(module._forward_hooks for module in model.game.modules())


@pytest.mark.parametrize(("name", "size"), [("modern", 64 + 16), ("critic", 64 + 16)])
def test_discriminator_features_are_pooled_activations(models, x, name, size):
    features = probes.discriminator_features(models[name], x)
    assert features.shape == (9, size)
    halves = probes.discriminator_features(models[name], x, grid=2)
    assert halves.shape == (9, 4 * 4 + 16)
    np.testing.assert_array_equal(halves[:, :16], features[:, :64].reshape(9, 4, 2, 2, 2, 2).max((3, 5)).reshape(9, 16))
    np.testing.assert_array_equal(halves[:, 16:], features[:, 64:])


def test_runs_that_have_no_such_features_say_so(models, x):
    with pytest.raises(AliError, match="no encoder"):
        probes.encoder_features(models["critic"], x)
    with pytest.raises(AliError, match="no discriminator with layers on x alone"):
        probes.discriminator_features(models["mlp"], x)
    with pytest.raises(AliError, match="2 hidden layers"):
        probes.encoder_features(models["modern"], x, layers=(-3,), code=False)
    with pytest.raises(AliError, match="x"):
        probes.encoder_features(models["modern"], x + 100)


def test_probes_make_no_error_on_classes_that_lines_divide():
    (train, train_y), (test, test_y) = toy(), toy(60, seed=1)
    values = probes.svm(train, train_y, test, test_y, NAMES, labels=12, draws=4, grid=(0.1, 1.0, 10.0))
    assert values["svm_error"] == values["svm_error_sd"] == values["svm_validation_error"] == 0
    assert probes.linear_probe(train, train_y, test, test_y) == 0
    assert probes.nearest(train, train_y, test, test_y) == 0
    assert probes.clusters(test, test_y, 3) == {"cluster_accuracy": 1.0, "cluster_nmi": pytest.approx(1.0)}


def test_probes_of_noise_are_as_good_as_guessing():
    random = np.random.default_rng(0)
    train, test, train_y, test_y = random.normal(size=(600, 2)), random.normal(size=(600, 2)), np.arange(600) % 3, np.arange(600) % 3
    five = 5 * np.sqrt(2 / 9 / 600)  # standard deviations of the share of right guesses
    values = probes.svm(train, train_y, test, test_y, NAMES, labels=60, draws=5, grid=(1.0,))
    assert abs(values["svm_error"] - 2 / 3) < five
    assert values["svm_error_sd"] > 0
    assert abs(probes.linear_probe(train, train_y, test, test_y) - 2 / 3) < five
    assert probes.clusters(test, test_y, 3)["cluster_nmi"] < 0.02


def test_the_svm_s_draws_are_reproducible_and_c_is_chosen_on_other_rows_than_it_is_taught_with():
    (train, train_y), (test, test_y) = toy(300, spread=1.5), toy(300, seed=1, spread=1.5)
    options = {"labels": 9, "draws": 6, "grid": (1e-4, 1.0, 1e4)}
    first = probes.svm(train, train_y, test, test_y, NAMES, **options)
    assert probes.svm(train, train_y, test, test_y, NAMES, **options) == first
    assert probes.svm(train, train_y, test, test_y, NAMES, seed=1, **options) != first
    assert 0 < first["svm_error"] < 0.5
    alone = {c: probes.svm(train, train_y, test, test_y, NAMES, **options | {"grid": (c,)}) for c in options["grid"]}
    assert first == min(alone.values(), key=lambda values: values["svm_validation_error"])
    assert len({values["svm_validation_error"] for values in alone.values()}) > 1
    # Rows without a class are neither learned from nor tested on.
    unknown = np.r_[train_y, np.full(50, -1)]
    assert probes.svm(np.r_[train, 100 + train[:50]], unknown, test, test_y, NAMES, **options)["svm_error"] < 0.5
    with pytest.raises(AliError, match="at most the 240 rows"):
        probes.svm(train, train_y, test, test_y, NAMES, labels=300)


def test_nearest_neighbour_is_scikit_learn_s():
    (train, train_y), (test, test_y) = toy(90, spread=2.0), toy(90, seed=1, spread=2.0)
    expected = 1 - KNeighborsClassifier(n_neighbors=1).fit(train, train_y).score(test, test_y)
    assert probes.nearest(train, train_y, test, test_y) == pytest.approx(expected)
    assert 0.1 < expected < 0.6


def test_clusters_may_have_any_numbers():
    features, y = toy(60)
    swapped = probes.clusters(features, (y + 1) % 3, 3)
    assert swapped["cluster_accuracy"] == 1
    half = np.where(np.arange(60) < 30, y, (y + 1) % 3)  # of each cluster half has one class and half another
    assert probes.clusters(features, half, 3)["cluster_accuracy"] == pytest.approx(0.5)
