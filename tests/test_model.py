"""The verbs of a trained run: arrays in, arrays out; tensors in, tensors out; always in the data's own units."""

import inspect

import numpy as np
import pytest
import torch
import typing_extensions

import ali
from ali import lines
from ali.data.digits import digits
from ali.games import ALI
from ali.games.game import Generates, Infers
from ali.passes import whole
from ali.session import Session


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> ali.Model:
    return ali.Model.train("digits", out=tmp_path_factory.mktemp("runs") / "digits", latent=16, width=32, depth=1, epochs=10)


@pytest.fixture(scope="module")
def plane(tmp_path_factory) -> ali.Model:
    rows = np.random.default_rng(0).normal((3.0, -100.0), (1.0, 20.0), (500, 2))
    return ali.Model.train("table", rows, out=tmp_path_factory.mktemp("runs") / "table", width=16, depth=1, latent=2, epochs=1)


def test_arrays_in_arrays_out_in_the_data_s_units_and_layout(model):
    x = digits().test.x[:7]
    z = model.encode(x)
    assert isinstance(z, np.ndarray)
    assert z.shape == (7, 16)
    for rows in (model.decode(z), model.reconstruct(x), model.sample(7)):
        assert isinstance(rows, np.ndarray)
        assert (rows.shape, rows.dtype) == (x.shape, x.dtype)
        assert rows.min() >= 0
        assert rows.max() <= 16


def test_tensors_in_tensors_out_with_the_same_values(model):
    x = digits().test.x[:7]
    z = model.encode(torch.from_numpy(x))
    assert isinstance(z, torch.Tensor)
    np.testing.assert_array_equal(z.numpy(), model.encode(x))
    x_hat = model.decode(z)
    assert isinstance(x_hat, torch.Tensor)
    np.testing.assert_array_equal(x_hat.numpy(), model.reconstruct(x))


def test_rows_of_numbers_come_back_in_their_own_units(plane):
    x = plane.sample(500, seed=0)
    assert x.dtype == np.float32
    assert abs(x[:, 0].mean() - 3) < 3
    assert abs(x[:, 1].mean() + 100) < 60


def test_seed_fixes_samples_and_draws_and_nothing_else(model):
    x = digits().test.x[:7]
    np.testing.assert_array_equal(model.sample(5, seed=1), model.sample(5, seed=1))
    assert (model.sample(5, seed=1) != model.sample(5, seed=2)).any()
    np.testing.assert_array_equal(model.encode(x, draw=True, seed=1), model.encode(x, draw=True, seed=1))
    assert (model.encode(x, draw=True, seed=1) != model.encode(x)).any()
    torch.manual_seed(0)
    expected = torch.randn(3)
    torch.manual_seed(0)
    model.sample(5, seed=1)
    assert torch.equal(torch.randn(3), expected)


def test_many_rows_go_through_in_chunks_and_none_is_lost(model):
    x = np.tile(digits().test.x, (6, 1, 1))[:2100]
    np.testing.assert_allclose(model.encode(x)[1990:2010], model.encode(x[1990:2010]), atol=1e-5)
    assert model.encode(x[:0]).shape == (0, 16)


@pytest.mark.parametrize("how", ["linear", "spherical"])
def test_interpolation_begins_and_ends_at_the_reconstructions(model, how):
    x1, x2 = digits().test.x[:4], digits().test.x[4:8]
    walks = model.interpolate(x1, x2, 5, how=how)
    assert walks.shape == (4, 5, 8, 8)
    assert np.abs(walks[:, 0].astype(int) - model.reconstruct(x1)).max() <= 1
    assert np.abs(walks[:, -1].astype(int) - model.reconstruct(x2)).max() <= 1


def test_walks_follow_their_formulas():
    z1, z2 = torch.tensor([[2.0, 0.0], [1.0, 1.0]]), torch.tensor([[0.0, 2.0], [1.0, 1.0]])
    straight = lines.walk(z1, z2, 3)
    np.testing.assert_allclose(straight[0], [[2, 0], [1, 1], [0, 2]], atol=1e-6)
    sphere = lines.walk(z1, z2, 5, "spherical")
    np.testing.assert_allclose(np.linalg.norm(sphere[0], axis=1), 2, atol=1e-5)
    np.testing.assert_allclose(sphere[0, 2], [2**0.5, 2**0.5], atol=1e-5)
    np.testing.assert_allclose(sphere[1], np.ones((5, 2)), atol=1e-4)
    opposite = lines.walk(torch.tensor([[1.0]]), torch.tensor([[-2.0]]), 4, "spherical")
    np.testing.assert_allclose(opposite[0, :, 0], [1, 0, -1, -2], atol=1e-5)


def test_loaded_run_is_the_average_of_the_trained_one(tmp_path):
    session = Session.start("digits", digits(), tmp_path / "run", width=16, depth=1, epochs=2)
    for _ in session.play():
        pass
    loaded = ali.load(tmp_path / "run")
    weights = session.average.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in loaded.game.state_dict().items())
    assert any(not torch.equal(value, weights[name]) for name, value in session.run.game.state_dict().items())


def test_a_protocol_can_be_seen_on_the_class():
    """From Python 3.12 on, isinstance looks a protocol's members up without __getattr__, where modules keep submodules."""
    for protocol in (Generates, Infers):
        assert all(inspect.getattr_static(ALI, name) for name in typing_extensions.get_protocol_members(protocol))


def test_codes_can_be_learned_from(model):
    z = model.encode(torch.from_numpy(digits().test.x[:4]))
    torch.nn.Linear(16, 1)(z).sum().backward()


def test_paper_s_networks_reach_dark_pixels_under_the_modern_face():
    from ali import recipes

    run = recipes.ali(recipes.Spec((3, 32, 32)), face="modern", networks="cifar10", latent=64)
    assert isinstance(list(run.game.decoder.network)[-1], torch.nn.Tanh)


def test_training_takes_what_it_is_told_or_refuses(tmp_path):
    with pytest.raises(ali.AliError, match="takes no path"):
        ali.Model.train("digits", tmp_path / "mine.npy", out=tmp_path / "run")
    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(0, 256, (100, 8, 8), dtype=np.uint8))
    small = {"networks": "mlp", "width": 4, "depth": 1, "epochs": 1}
    assert ali.Model.train("images", tmp_path / "x.npy", out=tmp_path / "half", hold_out=0.5, **small).config["rows"] == 50
    rings = ali.Model.train("mixture", out=tmp_path / "rings", shape="rings", n=500, width=4, depth=1, epochs=1)
    assert rings.config["data"]["shape"] == "rings"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m: m.encode(np.zeros((3, 9, 9), np.uint8)), r"images of shape 8 x 8, got 9 x 9"),
        (lambda m: m.encode(np.full((3, 8, 8), 17, np.uint8)), r"pixels must lie in \[0, 16\]"),
        (lambda m: m.encode(np.full((3, 8, 8), np.nan)), "not finite"),
        (lambda m: m.encode(np.full((3, 8, 8), 0.7)), r"pixels lie in \[0, 1\].* multiply by 16"),
        (lambda m: m.encode(np.full((3, 8, 8), "a")), "array of numbers"),
        (lambda m: m.decode(np.zeros((3, 15), np.float32)), r"codes have shape \(n, 16\), got \(3, 15\)"),
        (lambda m: m.decode(np.full((3, 16), np.inf, np.float32)), "row 0"),
        (lambda m: m.sample(0), "at least 1, got 0"),
        (lambda m: m.interpolate(np.zeros((2, 8, 8)), np.zeros((3, 8, 8))), "x1 has 2 rows and x2 has 3"),
        (lambda m: m.interpolate(np.zeros((2, 8, 8)), np.zeros((2, 8, 8)), 1), "at least 2, got 1"),
    ],
)
def test_bad_input_is_refused_in_words(model, call, words):
    with pytest.raises(ali.AliError, match=words):
        call(model)


def test_recipe_of_one_s_own_is_handed_over_and_never_imported(tmp_path):
    from ali import recipes

    def mine(spec: recipes.Spec, *, latent: int = 3, epochs: int = 1) -> recipes.Run:
        return recipes.ali(spec, networks="mlp", width=8, latent=latent, epochs=epochs)

    trained = ali.Model.train("digits", out=tmp_path / "run", recipe=mine)
    assert trained.encode(digits().test.x[:2]).shape == (2, 3)
    with pytest.raises(ali.AliError, match="recipe="):
        ali.load(tmp_path / "run")
    np.testing.assert_array_equal(ali.load(tmp_path / "run", recipe=mine).sample(2, seed=0), trained.sample(2, seed=0))


@pytest.mark.parametrize("encoder", ["gaussian", "implicit", "deterministic"])
@pytest.mark.parametrize(("networks", "shape"), [("mlp", (40, 8, 8)), ("conv", (40, 12, 12, 3)), ("conv", (40, 9, 9))])
def test_every_family_of_encoder_on_every_kind_of_images(tmp_path, encoder, networks, shape):
    x = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    model = ali.Model.train("images", x, out=tmp_path / "run", encoder=encoder, networks=networks, width=4, latent=5, epochs=1)
    assert model.encode(x).shape == (40, 5)
    assert model.reconstruct(x).shape == shape
    np.testing.assert_array_equal(model.encode(x), model.encode(x))


@pytest.mark.parametrize("value", [1.5, "3", None, True, np.float32(2)])
def test_counts_are_whole_numbers(value):
    assert whole(np.int64(3), "n") == 3
    with pytest.raises(ali.AliError, match="n must be a whole number, got"):
        whole(value, "n")


def test_read_only_arrays_are_taken_without_a_word(model, recwarn):
    x = np.frombuffer(digits().test.x[:5].tobytes(), digits().test.x.dtype).reshape(5, 8, 8)
    np.testing.assert_array_equal(model.encode(x), model.encode(digits().test.x[:5]))
    assert [str(warning.message) for warning in recwarn] == []


def test_a_single_image_and_loose_channels_are_told_how_to_be_given(model):
    x = digits().test.x[:2]
    for rows, words in ((x[0], r"x\[None\]"), (x[..., None], r"x\[..., 0\]"), (x[:, None], r"x\[:, 0\]")):
        with pytest.raises(ali.AliError, match=words):
            model.encode(rows)
