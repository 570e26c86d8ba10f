"""What the experiment on natural images computes for itself."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from ali.data.digits import digits
from ali.data.source import Data, Source
from ali.errors import AliError
from experiments.images import Lab, classes, inception, right


def test_how_often_d_is_right_is_the_share_of_pairs_that_it_ranks_right():
    """Held-out rows 0, 1, ..., 9, all samples 3.5, and a D that prefers large numbers: six of ten."""
    x = np.arange(10, dtype=np.float32)[:, None]
    made = SimpleNamespace(rsample=lambda: torch.full((10, 1), 3.5))
    game = SimpleNamespace(
        discriminator=lambda x: x[:, 0], prior=SimpleNamespace(sample=lambda n: torch.zeros(n, 2)), decode=lambda z: made
    )
    model: Any = SimpleNamespace(game=game, infers=False, device="cpu", preprocess=SimpleNamespace(forward=lambda x: x))
    assert right(model, x, 0) == 0.6
    game.discriminator = lambda x: torch.cat([x, x], 1)  # of two classes: the log-odds against what is generated rise with x, too
    assert right(model, x, 0) == 0.6
    game.discriminator = lambda x: -x[:, 0]
    assert right(model, x, 0) == 0.4


def test_two_attributes_make_four_classes_the_most_even_two():
    y = np.array([[1, 0, 1], [1, 0, 0], [1, 1, 1], [0, 1, 0], [1, 1, 1], [1, 0, 0]], np.float32)  # 5/6, 1/2, 1/2
    part = Source(np.zeros((6, 8, 8)), y, attributes=("hat", "male", "smiling"))
    made = classes(Data(part, part)).train
    assert set(made.classes) == {"0 male, 0 smiling", "0 male, 1 smiling", "1 male, 0 smiling", "1 male, 1 smiling"}
    names = [made.classes[k] for k in made.y]  # pyrefly: ignore
    assert names == [f"{row[1]:.0f} male, {row[2]:.0f} smiling" for row in y]
    bare = Source(np.zeros((6, 8, 8)))
    with pytest.raises(AliError, match="--inception"):
        classes(Data(bare, bare))


def test_a_run_that_is_there_is_not_trained_again(tmp_path):
    data = digits()
    lab = Lab("digits", Data(data.train.rows(slice(0, 100)), data.test), tmp_path, "cpu", 0)
    first, cost = lab.train("gan", "mine", 0.0, {"networks": "mlp", "width": 8})
    assert cost["steps"] == 1  # of 64 rows: at least one pass
    assert cost["minutes"] > 0
    again, same = lab.train("gan", "mine", 60.0, {})
    assert same == cost
    np.testing.assert_array_equal(first.sample(5, seed=1), again.sample(5, seed=1))


def test_fid_needs_the_network_s_weights(tmp_path):
    with pytest.raises(AliError, match=r"pip install torch-fidelity|no such file"):
        inception(str(tmp_path / "none.pth"), "cpu")
