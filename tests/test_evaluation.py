"""Samples, memorisation and tables judged, against closed forms, naive loops and other libraries; and what is said about it."""

import contextlib
import html
import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from scipy.stats import ks_2samp
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

import ali
from ali import evaluation
from ali.data.digits import digits
from ali.data.mixtures import mixture
from ali.data.source import Data, Source, split
from ali.data.tables import describe_frame, from_matrix
from ali.evaluation import metrics, report
from ali.evaluation.words import verdict
from ali.model import open_data


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def normal(n: int, mean, covariance, seed: int = 0) -> np.ndarray:
    """Rows whose mean and covariance are exactly these."""
    x = rng(seed).standard_normal((n, len(mean)))
    x -= x.mean(0)
    x = x @ np.linalg.inv(np.linalg.cholesky(np.cov(x, rowvar=False))).T
    return x @ np.linalg.cholesky(covariance).T + mean


# Distances.


def test_frechet_distance_of_known_normal_laws():
    a, b = normal(50, [0, 1, 2], np.diag([1.0, 4, 9])), normal(60, [1, 1, 0], np.diag([4.0, 4, 1]), seed=1)
    assert metrics.frechet_distance(a, b) == pytest.approx(1 + 4 + 1 + 0 + 4)  # means apart, then the standard deviations
    assert metrics.frechet_distance(a, a) == pytest.approx(0, abs=1e-9)
    turned = np.array([[2.0, 1], [1, 2]])  # eigenvalues 1 and 3; against the unit law the roots add up
    wanted = (math.sqrt(3) - 1) ** 2
    assert metrics.frechet_distance(normal(40, [0, 0], turned), normal(40, [0, 0], np.eye(2))) == pytest.approx(wanted)


def test_frechet_distance_of_rows_that_fill_fewer_dimensions_than_there_are():
    a, b = rng(0).normal(size=(10, 30)), rng(1).normal(size=(12, 30)) + 1
    root = sqrtm(np.cov(a, rowvar=False) @ np.cov(b, rowvar=False) + 0j)
    wanted = ((a.mean(0) - b.mean(0)) ** 2).sum() + a.var(0, ddof=1).sum() + b.var(0, ddof=1).sum() - 2 * np.trace(root).real
    assert metrics.frechet_distance(a, b) == pytest.approx(wanted, rel=1e-4)
    assert metrics.frechet_distance(np.array([[0.0], [2.0]]), np.array([[5.0], [5.0]])) == pytest.approx(16 + 2)


class Features(torch.nn.Module):
    """What torchmetrics wants in the place of Inception: here rows are features."""

    num_features = 5

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def torchmetrics_says(metric, a: np.ndarray, b: np.ndarray) -> float:
    metric.update(torch.from_numpy(a), real=True)
    metric.update(torch.from_numpy(b), real=False)
    value = metric.compute()
    return float(value[0] if isinstance(value, tuple) else value)


def laws() -> tuple[np.ndarray, np.ndarray]:
    return rng(0).normal(size=(90, 5)), rng(1).gamma(2, size=(70, 5)) @ rng(2).normal(size=(5, 5))


def test_frechet_distance_is_that_of_scipy_and_torchmetrics():
    a, b = laws()
    root = np.asarray(sqrtm(np.cov(a, rowvar=False) @ np.cov(b, rowvar=False)))
    wanted = ((a.mean(0) - b.mean(0)) ** 2).sum() + a.var(0, ddof=1).sum() + b.var(0, ddof=1).sum() - 2 * np.trace(root).real
    assert metrics.frechet_distance(a, b) == pytest.approx(wanted)
    fid = pytest.importorskip("torchmetrics.image.fid").FrechetInceptionDistance(Features())
    assert metrics.frechet_distance(a, b) == pytest.approx(torchmetrics_says(fid, a, b))


@pytest.mark.filterwarnings("ignore:Metric `Kernel Inception Distance`")
def test_kernel_distance_is_that_of_torchmetrics():
    a, b = laws()
    kid = pytest.importorskip("torchmetrics.image.kid").KernelInceptionDistance(Features(), subsets=1, subset_size=70)
    assert metrics.kernel_distance(a[:70], b) == pytest.approx(torchmetrics_says(kid, a[:70], b))


def test_kernel_distance_is_the_double_sum():
    a, b = rng(0).normal(size=(7, 3)), rng(1).normal(size=(9, 3)) + 0.5

    def k(x, y):
        return (float(x @ y) / 3 + 1) ** 3

    within = [np.mean([k(x, y) for i, x in enumerate(rows) for j, y in enumerate(rows) if i != j]) for rows in (a, b)]
    assert metrics.kernel_distance(a, b) == pytest.approx(sum(within) - 2 * np.mean([k(x, y) for x in a for y in b]))


def test_kernel_distance_of_one_law_is_zero_on_average():
    values = [metrics.kernel_distance(rng(2 * s).normal(size=(100, 4)), rng(2 * s + 1).normal(size=(100, 4))) for s in range(40)]
    assert abs(np.mean(values)) < 3 * np.std(values) / math.sqrt(40)
    assert min(values) < 0 < max(values)
    assert metrics.kernel_distance(rng(0).normal(size=(100, 4)), rng(1).normal(size=(100, 4)) + 1) > 10 * max(values)


# Precision, recall, density, coverage.


def naive_prdc(real: np.ndarray, fake: np.ndarray, k: int) -> dict[str, float]:
    def distance(x, y):
        return math.dist(x, y)

    def radius(rows, i):
        return sorted(distance(rows[i], row) for j, row in enumerate(rows) if j != i)[k - 1]

    around_real, around_fake = [radius(real, i) for i in range(len(real))], [radius(fake, j) for j in range(len(fake))]
    inside = [[distance(x, y) <= r for y in fake] for x, r in zip(real, around_real, strict=True)]
    within = [[distance(x, y) <= r for y, r in zip(fake, around_fake, strict=True)] for x in real]
    return {
        "precision": np.mean([any(row[j] for row in inside) for j in range(len(fake))]),
        "recall": np.mean([any(row) for row in within]),
        "density": sum(map(sum, inside)) / (k * len(fake)),
        "coverage": np.mean([any(row) for row in inside]),
    }


@pytest.mark.parametrize("k", [1, 3, 5])
def test_prdc_is_what_loops_over_all_pairs_say(k):
    real, fake = rng(0).normal(size=(25, 2)), rng(1).normal(size=(18, 2)) * 0.5 + 0.7
    assert metrics.prdc(real, fake, k) == pytest.approx(naive_prdc(real, fake, k))


def test_prdc_of_one_law():
    values = [metrics.prdc(rng(2 * s).normal(size=(400, 3)), rng(2 * s + 1).normal(size=(400, 3))) for s in range(5)]
    mean = {key: np.mean([value[key] for value in values]) for key in values[0]}
    assert mean["coverage"] == pytest.approx(1 - 2**-5, abs=0.015)
    assert mean["density"] == pytest.approx(1, abs=0.06)
    assert mean["precision"] == pytest.approx(mean["recall"], abs=0.03)
    assert mean["precision"] > 0.9


def test_prdc_of_collapsed_spread_and_far_samples():
    real = rng(0).normal(size=(200, 3))
    collapsed = metrics.prdc(real, np.tile(real[:1], (200, 1)))
    assert collapsed["precision"] == 1
    assert collapsed["recall"] == pytest.approx(1 / 200)
    assert collapsed["coverage"] < 0.1
    one_side = metrics.prdc(real, real[real[:, 0] > 0] + 0.01)
    assert one_side["precision"] > 0.95
    assert one_side["recall"] < 0.75
    smeared = metrics.prdc(real, 5 * rng(1).normal(size=(200, 3)))
    assert smeared["precision"] < 0.3 < 0.9 < smeared["recall"]
    assert metrics.prdc(real, real + 100) == {"precision": 0, "recall": 0, "density": 0, "coverage": 0}


def test_prdc_of_equal_rows_and_of_few_rows():
    discrete = rng(0).integers(0, 2, size=(100, 2)).astype(float)
    assert metrics.prdc(discrete, discrete[::-1])["precision"] == metrics.prdc(discrete, discrete[::-1])["coverage"] == 1
    two = np.array([[0.0], [1.0]])
    assert metrics.prdc(two, two) == {"precision": 1, "recall": 1, "density": 2, "coverage": 1}


# Simpler tools.


def test_pca_leaves_what_its_smallest_axes_hold():
    x = load_digits().data
    train, test = x[:1397], x[1397:]
    axes = np.linalg.svd(train - train.mean(0), full_matrices=False)[2][:16]
    centred = test - train.mean(0)
    wanted = ((centred - centred @ axes.T @ axes) ** 2).mean() / test.var(0).mean()
    assert metrics.pca_reconstruction(train, test, 16) == pytest.approx(wanted)
    pca = PCA(16).fit(train)
    again = metrics.reconstruction(test, pca.inverse_transform(pca.transform(test)))["mse_share"]
    assert metrics.pca_reconstruction(train.reshape(-1, 8, 8), test.reshape(-1, 8, 8), 16) == pytest.approx(again)
    own = metrics.pca_reconstruction(train, train, 16)
    assert own == pytest.approx(1 - PCA(16).fit(train).explained_variance_ratio_.sum())
    assert metrics.pca_reconstruction(train, test, 1000) == pytest.approx(0, abs=1e-9)


def test_draws_of_the_fitted_normal_law_have_its_moments():
    train = normal(300, [1, -2], np.array([[2.0, 1], [1, 3]]))
    x = metrics.gaussian(train, 100_000)
    np.testing.assert_allclose(x.mean(0), [1, -2], atol=0.03)
    np.testing.assert_allclose(np.cov(x, rowvar=False), [[2, 1], [1, 3]], atol=0.06)
    np.testing.assert_array_equal(x, metrics.gaussian(train, 100_000))


def test_memorisation_knows_copies_from_fresh_draws():
    train, test, fresh = (rng(seed).normal(size=(500, 4)) for seed in range(3))
    assert metrics.memorisation(train, test, train[::-1]) == 0
    assert metrics.memorisation(train, test, fresh) == pytest.approx(1, abs=0.1)
    assert metrics.memorisation(train, test, train + 0.05 * fresh) < 0.3
    assert metrics.memorisation(train, test, fresh + 10) > 5
    assert math.isnan(metrics.memorisation(train, train, fresh))
    assert metrics.memorisation(np.array([[0.0], [10]]), np.array([[2.0], [12]]), np.array([[1.0], [10.5], [9]])) == 0.5


# Tables.


def test_marginals_of_numbers_are_kolmogorov_and_smirnov_s():
    real = np.stack([rng(0).normal(size=200), rng(1).integers(0, 4, 200)], 1)
    fake = np.stack([rng(2).normal(size=150) + 0.5, rng(3).integers(1, 4, 150)], 1)
    wanted = [ks_2samp(real[:, k], fake[:, k]).statistic for k in range(2)]
    assert metrics.marginals(real, fake) == pytest.approx(wanted)
    assert metrics.marginals(real, real[::-1]) == [0, 0]
    assert metrics.marginals(real, real + 100) == [1, 1]


def test_marginals_of_categories_are_total_variation_and_empty_cells_count():
    nan = np.nan
    real, fake = np.array([[0, 0, 1, 2.0]]).T, np.array([[0, 1, 1, 3.0]]).T
    assert metrics.marginals(real, fake, [0]) == [pytest.approx(0.5)]
    assert metrics.marginals(np.array([[0, 0, 1, nan]]).T, np.array([[0, 0, nan, nan]]).T, [0]) == [pytest.approx(0.25)]
    assert metrics.marginals(np.array([[1, 2, 3, 4.0]]).T, np.array([[1, 2, nan, nan]]).T) == [pytest.approx(0.5)]
    assert metrics.marginals(np.array([[nan, 1.0]]).T, np.array([[1.0, nan]]).T) == [0]


def test_correlation_error_by_hand():
    x = rng().normal(size=(100, 3)) @ rng(1).normal(size=(3, 3))
    y = rng(2).normal(size=(80, 3))
    difference = np.corrcoef(x, rowvar=False) - np.corrcoef(y, rowvar=False)
    assert metrics.correlation_error(x, y) == pytest.approx(np.abs(difference[[0, 0, 1], [1, 2, 2]]).mean())
    line = np.stack([x[:, 0], 2 * x[:, 0] + 1], 1)
    assert metrics.correlation_error(line, line * [1, -3]) == pytest.approx(2)
    assert metrics.correlation_error(line, np.stack([x[:, 0], np.full(100, 0.1)], 1)) == pytest.approx(1), "a constant correlates with none"
    assert math.isnan(metrics.correlation_error(x[:, :1], x[:, :1]))


def rows(n: int, seed: int) -> np.ndarray:
    """Number, noisy copy of it with empty cells, its class, and noise."""
    r = rng(seed)
    x = r.normal(size=n)
    y = np.where(r.random(n) < 0.1, np.nan, x + 0.2 * r.normal(size=n))
    return np.stack([x, y, np.digitize(x, [-0.5, 0.5]), r.normal(size=n)], 1)


def test_training_on_samples_of_the_law_is_as_good_as_on_rows():
    train, test = rows(600, 0), rows(400, 1)
    fresh = metrics.train_on_synthetic(train, test, rows(600, 2), [2])
    assert 0.8 < fresh["trtr"] < 1
    assert fresh["tstr_ratio"] == pytest.approx(1, abs=0.05)
    assert fresh["tstr_ratio"] == pytest.approx(fresh["tstr"] / fresh["trtr"])
    same = metrics.train_on_synthetic(train, test, train, [2])
    assert same["tstr"] == same["trtr"] == fresh["trtr"]


def test_training_on_samples_whose_columns_are_independent_teaches_nothing():
    train, test, samples = rows(600, 0), rows(400, 1), rows(600, 2)
    shuffled = np.stack([rng(k).permutation(samples[:, k]) for k in range(4)], 1)
    assert metrics.train_on_synthetic(train, test, shuffled, [2])["tstr_ratio"] < 0.1
    collapsed = np.tile(samples[~np.isnan(samples).any(1)][:1], (600, 1))
    assert metrics.train_on_synthetic(train, test, collapsed, [2])["tstr"] <= 0
    empty = samples.copy()
    empty[:, 1] = np.nan
    assert metrics.train_on_synthetic(train, test, empty, [2])["tstr"] < 0.9


def test_categories_are_lost_that_samples_ought_to_have_and_never_have():
    real = np.repeat([[0, 0], [1, 0], [2, 1], [np.nan, 1]], [150, 30, 10, 10], axis=0)  # of 100 samples 75, 15, 5 and 5
    fake = np.zeros((100, 2))
    assert metrics.lost_categories(real, fake, [0]) == 1  # of 5 nothing is said, and empty cells are counted elsewhere
    assert metrics.lost_categories(real, fake, [0, 1]) == 2
    assert metrics.lost_categories(real, np.repeat(fake, 2, axis=0), [0]) == 2
    assert metrics.lost_categories(real, real, [0, 1]) == 0
    assert metrics.lost_categories(real, fake, []) == 0


def test_empty_cells_are_counted_by_column():
    real, fake = np.zeros((200, 4)), np.zeros((100, 4))
    real[:40, 0] = real[:40, 1] = real[:10, 2] = np.nan  # of 100 samples 20, 20 and 5 ought to be empty
    fake[:12, 0] = fake[:45, 1] = np.nan
    assert metrics.empty_cells(real, fake) == pytest.approx({"empty": 90 / 800, "empty_samples": 57 / 400, "empty_wrong": 1})
    fake[4:, 0] = 0
    assert metrics.empty_cells(real, fake)["empty_wrong"] == 2
    fake[:9, 3] = np.nan
    assert metrics.empty_cells(real, fake)["empty_wrong"] == 2, "nine are too few to tell"
    fake[:10, 3] = np.nan
    assert metrics.empty_cells(real, fake)["empty_wrong"] == 3
    assert metrics.empty_cells(real, real)["empty_wrong"] == 0


def test_columns_that_nobody_can_foretell_say_nothing():
    noise = [rng(seed).normal(size=(200, 3)) for seed in range(3)]
    assert all(math.isnan(value) for value in metrics.train_on_synthetic(*noise).values())
    assert all(math.isnan(value) for value in metrics.train_on_synthetic(*(x[:, :1] for x in noise)).values())


def test_an_empty_category_is_one_more():
    def with_gaps(seed):
        x = rng(seed).normal(size=300)
        return np.stack([x, np.where(x > 0, 0, np.nan)], 1)

    values = metrics.train_on_synthetic(with_gaps(0), with_gaps(1), with_gaps(2), [1])
    assert values["trtr"] > 0.4
    assert values["tstr_ratio"] == pytest.approx(1, abs=0.1)


# From end to end.


def people(n: int) -> dict[str, list]:
    """A table of every kind of column, with empty cells."""
    r = rng()
    age = r.integers(18, 80, n)
    income = np.round(np.exp(r.normal(size=n)) * age * 10, 2)
    return {
        "age": age.tolist(),
        "income": [None if k % 9 == 0 else float(v) for k, v in enumerate(income)],
        "city": [None if k % 11 == 0 else ("Rome", "Oslo", "Köln")[min(2, v // 30)] for k, v in enumerate(age)],
        "owner": (age > 40).tolist(),
    }


@pytest.fixture(scope="module", params=["digits", "mixture", "table"])
def run(request, tmp_path_factory):
    out = tmp_path_factory.mktemp("good") / "run"
    fast = {"out": out, "width": 32, "depth": 1, "epochs": 3}
    if request.param == "table":
        data = split(describe_frame(people(400)), 0.25)
        return SimpleNamespace(kind="table", out=out, data=data, model=ali.Model.train("table", data, latent=3, **fast))
    if request.param == "mixture":
        return SimpleNamespace(kind="mixture", out=out, data=mixture(n=2000), model=ali.Model.train("mixture", n=2000, **fast))
    return SimpleNamespace(kind="digits", out=out, data=digits(), model=ali.Model.train("digits", **fast))


def test_parts_come_as_sources_arrays_pairs_or_frames(run):
    train, test = run.data
    wanted = ali.evaluate(run.model, run.data)
    if run.kind == "table":
        given = [from_matrix(part.x, train.columns) for part in run.data]
    else:
        given = [part.x if part.y is None else (part.x, part.y) for part in run.data]
    assert ali.evaluate(run.model, ali.Data(*given)) == pytest.approx(wanted, nan_ok=True)
    with pytest.raises(ali.AliError, match="expected training rows and held-out rows"):
        ali.evaluate(run.model, train)
    if run.kind == "digits":
        with pytest.raises(ali.AliError, match="data: test: this run knows images"):
            ali.evaluate(run.model, (train.x, test.x[:, :4]))


def test_every_number_has_a_line_and_every_run_a_verdict(run, tmp_path):
    values = report.write(run.out, run.model, run.data, tmp_path)
    assert set(values) <= set(report.LINES)
    assert json.loads((tmp_path / "metrics.json").read_text()) == pytest.approx(values, nan_ok=True)
    page = (tmp_path / "report.html").read_text()
    for key, value in values.items():
        name, form, _ = report.LINES[key]
        assert html.escape(name) in page
        assert f"<td class=n>{value:{form}}</td>" in page
    said = verdict(values)
    assert page.count("<li>") == len(said) >= 6
    assert page.index("<li>") < page.index("<table>")
    assert {"frechet", "kernel", "precision", "recall", "density", "coverage", "memorisation", "coverage_gaussian"} <= set(values)
    assert ("pca_share" in values) == (run.kind != "mixture"), "a code as wide as the data compresses nothing"
    assert ("pixel_components" in values) == (run.kind == "digits")
    assert ({"marginals", "correlations", "tstr", "trtr", "tstr_ratio"} <= set(values)) == (run.kind == "table")
    assert ali.evaluate(run.model, run.data) == pytest.approx(values, nan_ok=True), "the same seed, the same numbers"


@pytest.mark.parametrize("run", ["digits"], indirect=True)
def test_the_neighbours_that_teach_labels_are_more_than_the_rows_looked_at(run, monkeypatch):
    # Classes by chance: a row's is known only to its own copy.
    train, names = run.data.train, tuple(map(str, range(10)))
    known = Source(train.x[:300], rng(0).integers(0, 10, 300), names)
    asked = known.rows(np.arange(0, 300, 7))
    monkeypatch.setattr(evaluation, "ROWS", 50)
    assert ali.evaluate(run.model, (known, asked))["nn_pixels"] == 1
    monkeypatch.setattr(evaluation, "TAUGHT", 50)
    assert ali.evaluate(run.model, (known, asked))["nn_pixels"] < 0.6


@pytest.mark.parametrize("run", ["digits", "table"], indirect=True)
def test_a_generator_that_copies_is_caught_and_one_that_is_the_data_is_not(run, monkeypatch):
    train, test = run.data
    half = len(train) // 2
    part = run.data._replace(train=train.rows(np.arange(half)), test=test)

    def judged(samples: np.ndarray) -> dict[str, float]:
        monkeypatch.setattr(run.model, "sample", lambda n, **_: samples[:n])
        return ali.evaluate(run.model, part)

    copies, fresh = judged(train.x[:half][::-1]), judged(train.x[half:])
    assert copies["memorisation"] < 0.05
    assert 0.8 < fresh["memorisation"] < 1.25
    assert "WARNING" in "\n".join(verdict(copies))
    assert "no sign of copies" in "\n".join(verdict(fresh))
    assert fresh["precision"] == pytest.approx(fresh["precision_ceiling"], abs=0.1)
    assert fresh["coverage"] > 0.9
    if run.kind == "table":
        assert fresh["marginals"] < 0.12
        assert fresh["tstr_ratio"] > 0.85
        assert "nearly replace" in "\n".join(verdict(fresh))


@pytest.mark.parametrize("run", ["digits"], indirect=True)
def test_axes_fitted_to_training_rows_do_not_spoil_the_floors(run, monkeypatch):
    # In noise, principal axes are chance: the rows that they were fitted to vary more along them than any others.
    train, test, fresh = (16 * rng(seed).random((300, 8, 8)) for seed in range(3))
    monkeypatch.setattr(evaluation, "SPACE", 16)
    monkeypatch.setattr(run.model, "sample", lambda n, **_: fresh[:n])
    values = ali.evaluate(run.model, Data(Source(train), Source(test)))
    assert values["frechet"] / values["frechet_floor"] == pytest.approx(1, abs=0.35)
    assert values["recall"] == pytest.approx(values["recall_ceiling"], abs=0.15)
    fitted, unseen = (x.reshape(300, 64)[::2] / 8 - 1 for x in (train, test))
    pca = PCA(16).fit(fitted)
    assert metrics.frechet_distance(pca.transform(fitted), pca.transform(unseen)) > 1.5 * values["frechet_floor"], "what it would be"


def test_the_smallest_data_can_be_evaluated(tmp_path):
    frame = {"a": [float(k) for k in range(12)]}
    model = ali.Model.train("table", frame, out=tmp_path / "run", width=4, depth=1, epochs=1, hold_out=0.2, batch_size=4)
    values = ali.evaluate(model, split(describe_frame(frame), 0.2))
    assert {"correlations", "tstr", "trtr", "tstr_ratio"}.isdisjoint(values), "one column has no pairs"
    assert verdict(values)
    assert set(values) <= set(report.LINES)


@pytest.mark.parametrize("run", ["digits"], indirect=True)
def test_the_command_line_ends_in_sentences(run, capsys, monkeypatch):
    from ali.cli import main

    monkeypatch.setattr("sys.argv", ["ali", "evaluate", str(run.out)])
    with contextlib.suppress(SystemExit):
        main()
    printed = capsys.readouterr().out
    values = ali.evaluate(run.model, open_data(run.out))
    assert "\n".join(verdict(values)) in printed
