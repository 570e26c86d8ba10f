"""Games learn: a stated score on real data, reached within 40 CPU seconds each. The full runs are in ``experiments/``."""

from typing import Any

import pytest

import ali
from ali.data.digits import digits
from ali.data.mixtures import mixture


@pytest.mark.parametrize("recipe", ["ali", "bigan"])
def test_digits_are_generated_and_reconstructed(tmp_path, recipe):
    model = ali.Model.train("digits", out=tmp_path / "run", recipe=recipe, epochs=50)
    values = ali.evaluate(model, digits())
    assert values["mse_share"] < 0.11  # 16 principal components leave 0.16 of the variance
    assert values["label_kept"] > 0.96
    assert values["two_sample"] < 0.76
    assert values["q_z"] < 0.06


def test_every_mode_of_the_mixture_is_reached(tmp_path):
    quick: dict[str, Any] = {"epochs": 4, "weight_norm": True, "penalty": 0.05, "penalty_end": 0.0025}
    values = ali.evaluate(ali.Model.train("mixture", out=tmp_path / "run", **quick), mixture())
    assert values["modes_strict"] == 25
    assert values["high_quality"] > 0.75
    assert values["same_mode"] > 0.99
    assert values["q_z"] < 0.2


@pytest.mark.slow
def test_the_paper_s_face_learns_digits(tmp_path):
    values = ali.evaluate(ali.Model.train("digits", out=tmp_path / "run", face="paper"), digits())
    assert values["two_sample"] < 0.9
    assert values["label_kept"] > 0.5
