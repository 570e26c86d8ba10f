"""What is said of an evaluation: sentences turn when the numbers do."""

import pytest

from ali.evaluation.words import verdict

GOOD = {
    "mse_share": 0.10, "pca_share": 0.16, "pca_components": 16, "two_sample": 0.52, "q_z": 0.03, "q_z_floor": 0.03,
    "pixel_components": 64, "frechet": 0.8, "frechet_floor": 0.6, "kernel": 0.001, "kernel_floor": 0.0005,
    "precision": 0.95, "precision_ceiling": 0.95, "recall": 0.9, "recall_ceiling": 0.95, "density": 1, "coverage": 0.95,
    "coverage_gaussian": 0.3, "memorisation": 1.1, "marginals": 0.03, "marginals_worst": 0.06, "marginals_floor": 0.02,
    "correlations": 0.02, "correlations_floor": 0.01, "tstr": 0.8, "trtr": 0.82, "tstr_ratio": 0.97,
    "empty": 0.07, "empty_samples": 0.05, "empty_wrong": 0, "lost_categories": 0, "nn_codes": 0.99, "nn_pixels": 0.9,
}  # fmt: skip


def test_a_good_run_is_called_good():
    said = verdict(GOOD)
    assert said[0] == "Reconstruction: the error is 10.0% of the variance; PCA with 16 components leaves 16.0%: this run wins."
    text = "\n".join(said)
    assert "PCA-64 of pixels" in text
    assert "FID" not in text
    for words in ("hard to tell", "as varied", "this run wins", "q(z) matches", "no sign of copies", "Columns: right",
                  "nearly replace", "codes are better"):  # fmt: skip
        assert words in text
    assert "WARNING" not in text
    assert len(said) == 10


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"empty_wrong": 2}, "In 2 of the columns cells of samples are empty less than half or more than twice as often"),
        ({"empty_wrong": 1, "empty_samples": 0.003}, "of all cells 0.3% are, of training rows 7.0%."),
        ({"lost_categories": 3}, "Samples never have 3 of the categories"),
    ],
)
def test_of_a_table_it_is_said_what_samples_lack(change, words):
    said = verdict(GOOD | change)
    assert words in "\n".join(said)
    assert len(said) == len(verdict(GOOD)) + 1


@pytest.mark.parametrize(
    ("change", "words", "gone"),
    [
        ({"mse_share": 0.2}, "PCA wins. Use it if reconstruction is all you need.", "16.0%: this run wins"),
        ({"mse_share": 0.158}, "16.0%: no difference", "16.0%: this run wins"),
        ({"two_sample": 0.6}, "sometimes told", "hard to tell"),
        ({"two_sample": 0.8}, "easily told", "hard to tell"),
        ({"two_sample": 0.2}, "like copies", "hard to tell"),
        ({"precision": 0.5}, "many lie beside the data.", "as varied"),
        ({"recall": 0.5}, "by their neighbours, but see recall", "rows (1-NN accuracy 0.52"),
        ({"recall": 0.5}, "much of its variety is missing", "as varied"),
        ({"precision": 0.5, "recall": 0.5}, "many lie beside the data and much of its variety is missing", "as varied"),
        ({"coverage": 0.2}, "the normal law wins", "30%: this run wins"),
        ({"coverage": 0.3}, "near 30%: no difference", "30%: this run wins"),
        ({"q_z": 0.08}, "q(z) nearly matches", "q(z) matches"),
        ({"q_z": 0.2}, "q(z) does not match", "q(z) matches"),
        ({"memorisation": 0.1}, "WARNING. Memorisation: samples lie 0.10 times", "no sign of copies"),
        ({"memorisation": 0.7}, "smoother than the data", "no sign of copies"),
        ({"marginals": 0.12}, "Columns: nearly right", "Columns: right"),
        ({"marginals": 0.3}, "Columns: wrong", "Columns: right"),
        ({"tstr_ratio": 0.7}, "use real rows where you can", "nearly replace"),
        ({"tstr_ratio": 0.2}, "do not train on these samples", "nearly replace"),
        ({"marginals": 0.298, "marginals_floor": 0.29}, "Columns: too few rows to tell", "Columns: right"),
        ({"two_sample": 1.0, "precision": 1.0}, "not what gives them away", "as varied"),
        ({"two_sample": 1.0}, "more, but easily told from data", "30%: this run wins"),
        (
            {"nn_codes": 0.8},
            "raw rows are better features here (1-NN on all labelled",
            "codes are better",
        ),
        ({"nn_codes": 0.9}, "as good as raw rows", "codes are better"),
        ({"nn_codes": 0.93, "held_out_labelled": 100}, "as good as raw rows", "codes are better"),  # three rows of a hundred
    ],
)
def test_sentences_turn_when_the_numbers_do(change, words, gone):
    good, text = "\n".join(verdict(GOOD)), "\n".join(verdict(GOOD | change))
    assert gone in good
    assert words not in good
    assert words in text
    assert gone not in text


def test_few_held_out_rows_are_said_first():
    assert verdict(GOOD | {"held_out": 45})[0].startswith("Only 45 rows are held out: all of this is rough")
    assert verdict(GOOD | {"held_out": 100}) == verdict(GOOD)
    few, many = " ".join(verdict(GOOD | {"held_out": 45})), " ".join(verdict(GOOD))
    for praise in ("hard to tell apart", "like the data, and as varied"):
        assert praise in many
        assert praise not in few


def test_what_was_not_measured_is_not_spoken_of():
    assert verdict({}) == []
    assert verdict({"mse_share": 0.1}) == ["Reconstruction: the error is 10.0% of the variance."]
    space = {key: value for key, value in GOOD.items() if key != "pixel_components"}
    assert "In the network's scale" in "\n".join(verdict(space))
    assert "In units of standard deviations" in "\n".join(verdict({key: v for key, v in space.items() if key != "marginals"}))
