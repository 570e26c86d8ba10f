"""Games learn: a stated score on real data, reached within 40 CPU seconds each. The full runs are in ``experiments/``."""

from typing import Any

import numpy as np
import pytest
from sklearn.datasets import make_moons
from sklearn.neighbors import NearestNeighbors

import ali
from ali.data.digits import digits
from ali.data.mixtures import mixture
from ali.data.source import Data, Source
from ali.data.tables import number_columns


@pytest.mark.parametrize(("recipe", "epochs"), [("ali", 100), ("bigan", 50)])  # a thousand steps of each one's batch
def test_digits_are_generated_and_reconstructed(tmp_path, recipe, epochs):
    model = ali.Model.train("digits", out=tmp_path / "run", recipe=recipe, epochs=epochs)
    values = ali.evaluate(model, digits())
    assert values["mse_share"] < 0.11  # 16 principal components leave 0.16 of the variance
    assert values["label_kept"] > 0.96
    assert values["two_sample"] < 0.76
    assert values["q_z"] < 0.06


def test_every_mode_of_the_mixture_is_reached(tmp_path):
    # In little time modes fill evenly only so; the default's higher octaves of z take longer to settle.
    quick: dict[str, Any] = {"epochs": 4, "weight_norm": True, "penalty": 0.05, "penalty_end": 0.0025, "frequencies_z": (1, 2, 4, 8)}
    model = ali.Model.train("mixture", out=tmp_path / "run", **quick)
    values, plain = (ali.evaluate(model, mixture(), candidates=k) for k in (None, 1))
    assert values["modes_strict"] == 25
    assert values["high_quality"] > plain["high_quality"] > 0.75, "codes that D chose lie on bridges less often"
    assert values["reverse_kl"] < plain["reverse_kl"], "and fill modes more evenly"
    assert values["same_mode"] > 0.99
    assert values["q_z"] < 0.2


@pytest.mark.slow
@pytest.mark.filterwarnings("default:step .*reconstructions are worse than the mean row")  # they are, and the run says so
def test_the_paper_s_face_learns_digits(tmp_path):
    values = ali.evaluate(ali.Model.train("digits", out=tmp_path / "run", face="paper"), digits())
    assert values["two_sample"] < 0.9
    assert values["q_z"] < 0.15
    # Both marginals fit and codes know the class, but reconstructions are mostly of other digits (label kept .07 to .24, seeds 0 to 2):
    # D, whose loss ends near that of guessing, does not see that pairs do not belong together. The modern face has a cycle for it.
    assert values["nn_codes"] > 0.75


@pytest.mark.slow
def test_a_table_of_two_moons_is_learned_by_default(tmp_path):
    rows = make_moons(3000, noise=0.05, random_state=0)[0]
    data = Data(*(Source(part.astype(np.float32), columns=number_columns(2)) for part in (rows[:2700], rows[2700:])))
    model = ali.Model.train("table", data, out=tmp_path / "run")
    # The share of samples that lie on no moon, farther from all rows than 99 % of unseen ones: a filled box has a third of them.
    nearest = NearestNeighbors(n_neighbors=1).fit(rows[:2700])
    beside = np.mean(nearest.kneighbors(model.sample(2000, seed=0))[0] > np.quantile(nearest.kneighbors(rows[2700:])[0], 0.99))
    assert beside < 0.1
    values = ali.evaluate(model, data)
    assert values["coverage"] > 0.9
    assert values["q_z"] < 0.06
