"""Section 3: "the additional flexibility of stochastic posteriors is critical", on x = |z| + noise, whose posterior has two modes."""

from __future__ import annotations

import torch

from experiments.stochastic import draw, energy, infer


def test_energy_distance_is_that_of_two_points_and_of_shifted_laws():
    a, b = torch.zeros(2, 1).numpy(), torch.ones(2, 1).numpy()
    assert energy(a, b) == 2.0
    torch.manual_seed(0)
    pairs, others = torch.cat(draw(1000), 1).numpy(), torch.cat(draw(1000), 1).numpy()
    assert abs(energy(pairs, others)) < 0.01 < energy(pairs, others + 0.5)


def test_an_implicit_posterior_finds_both_modes_and_a_gaussian_one_can_not():
    implicit, gaussian = infer("implicit", 0, steps=1200), infer("gaussian", 0, steps=1200)
    assert min(implicit["upper"], implicit["lower"]) > 0.3
    assert implicit["energy"] < 0.01 < gaussian["energy"]
    # One mode, or one smear across both: never most codes near the two of them, evenly.
    assert min(gaussian["upper"], gaussian["lower"]) < 0.25
