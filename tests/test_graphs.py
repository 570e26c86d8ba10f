"""A captured step: here what a CUDA graph does is done by a stand-in that records nothing and replays by doing it again."""

import copy

import pytest
import torch

from ali import graphs
from ali.data.source import Source, stream
from ali.recipes import RECIPES, Spec
from ali.train import hold_then_cosine, play

ROWS = Source(torch.randn(64, 5, generator=torch.Generator().manual_seed(0)).numpy())


@pytest.fixture
def stand_in(monkeypatch):
    """What was captured is done when it is replayed, not when it is captured; results lie where they lay."""
    captures = []

    def captured(work):
        captures.append(work)
        results = {player: torch.full((), torch.nan) for player in ("discriminator", "generator")}

        def replay():
            for player, loss in work().items():
                results[player].copy_(loss)

        return results, replay

    monkeypatch.setattr(graphs, "_captured", captured)
    return captures


def run(steps, graph, meddle=lambda done, run: None, **more):
    torch.manual_seed(0)
    made = RECIPES["ali"](Spec((5,)), networks="mlp", latent=2, width=8, batch_size=16, lr=1e-2, objective="nonsaturating", **more)
    average = copy.deepcopy(made.game)
    played = play(
        made.game, stream(ROWS, 16, 0), made.optimizers, steps=steps, seed=0, rate=hold_then_cosine, average=average, decay=0.9, graph=graph
    )
    losses = []
    for done, lost in played:
        losses.append({player: float(loss) for player, loss in lost.items()})
        meddle(done, made)
    return losses, {**made.game.state_dict(), **{f"average.{name}": tensor for name, tensor in average.state_dict().items()}}


def assert_same(one, other):
    (losses, weights), (expected_losses, expected) = one, other
    for lost, wanted in zip(losses, expected_losses, strict=True):
        assert lost == pytest.approx(wanted, rel=1e-5)
    for name, weight in weights.items():
        torch.testing.assert_close(weight, expected[name], rtol=1e-5, atol=1e-7, msg=name)  # rates are float32 tensors


@pytest.mark.parametrize("schedule", ["simultaneous", "alternating"])
def test_a_captured_step_reads_all_that_changes_from_tensors(stand_in, schedule):
    assert_same(run(12, True, schedule=schedule), run(12, False, schedule=schedule))
    assert len(stand_in) == 1


def test_it_is_captured_anew_when_somebody_changed_the_optimisers(stand_in):
    def back(done, made):
        if done == 6:  # as ali.recovery does
            for optimizer in made.optimizers.values():
                optimizer.state.clear()
                for group in optimizer.param_groups:
                    group["initial_lr"] *= 0.3

    assert_same(run(14, True, back), run(14, False, back))
    assert len(stand_in) == 2


def test_a_batch_of_another_shape_is_refused_in_words(stand_in):
    made = RECIPES["ali"](Spec((5,)), networks="mlp", latent=2, width=8)
    batches = [next(stream(ROWS, 16, 0))] * 5 + [next(stream(ROWS, 8, 0))]
    with pytest.raises(ValueError, match="one shape"):
        list(play(made.game, batches, made.optimizers, steps=6, seed=0, graph=True))
