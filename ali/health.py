r"""Is training going well? Numbers that need no labels, and what they say in words.

A gauge looks at the networks that a run would keep (their moving average, in evaluation mode) with the same few held-out rows and
the same noise each time, so that its numbers can be compared through a run:

.. math::
    \text{coverage} &= \text{share of held-out rows that have a sample within their distance to their } k \text{-th neighbour} \\
    \text{precision} &= \text{share of samples that lie within that distance of a held-out row} \\
    \text{samples} &= W_1(\tilde x, x) / s, \quad \text{codes} = W_1(\hat z, z), \quad
        \text{reconstruction} = \mathbb{E} (x - \hat x)^2 / s^2

with :math:`s^2` the mean variance of x's components, and :math:`W_1` the sliced Wasserstein distance: of samples to as many rows, of
codes to :data:`FINE` times as many draws from p(z).

References:
    | Naeem et al., Reliable Fidelity and Diversity Metrics for Generative Models, ICML 2020: coverage (arXiv:2002.09797)
    | Bonneel et al., Sliced and Radon Wasserstein Barycenters of Measures, 2015: sliced distances
"""

from __future__ import annotations

__all__ = ["Gauge", "Watch", "coverage", "evenly", "in_short", "moments", "most", "rows", "score"]

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ali.data.source import Data
from ali.games.game import Conditions, Generates, Infers
from ali.preprocess import Preprocess

NEIGHBOUR = 5  # whose distance is a held-out row's radius
DIRECTIONS = 64  # of the sliced distances
ROWS = (200, 500)  # that a gauge looks at: the fewest and the most, where there are so many
MOMENTS = 25  # at most, through a run
LONG = 4096  # numbers in a row that is large
FINE = 4  # draws from p(z) for each code that is compared with them
NUMBERS = 2**20  # in these rows, at most: 4 MB, a few times over
SHARE = 0.025  # rows that are measured, of those trained on: the costs then stay below 2 %

# When a number is called bad: where healthy short runs of the recipes on digits and on the mixture stay on one side, and runs that were
# spoiled (a learning rate many times too high, no penalty, beta1 0.9) on the other. ALAD's discriminators do win on the mixture.
SOME = 0.2  # coverage that is no accident
ASTRAY = (2.0, 1.0)  # times the best score, and that much more
FEW = 0.02  # coverage that is hardly any,
EARLY = 0.4  # or codes that are off: later than this share of the training,
LOOKS = 5  # and at this moment or later
CODES_OFF = 0.4  # beyond the distance of draws from p(z) itself, standard deviations
WORSE = (2.0, 0.2)  # times its best, and that much more of the variance
WON = 0.05  # D's loss, as a share of its first; and less than who guesses loses
POOR = 1.0  # error of reconstructions, as a share of the variance: the mean row would be as good
UNLIKE = 0.2  # samples this far from the data, standard deviations
EXPLODED = 10.0  # times the largest loss before, and at least that

CALMER = "Try a lower --lr, or a larger --penalty where the recipe has one"


def coverage(real: Float[Tensor, "n d"], fake: Float[Tensor, "m d"], k: int = NEIGHBOUR) -> float:
    """Share of real rows that have a fake one no farther than their own k-th neighbour; 1 - 2^-k for one law and n = m."""
    return _covered(real, fake, _radii(real, k))[0]


class Gauge:
    """Measures networks on fixed rows with fixed noise.

    Arguments:
        x: rows in the network's range, (n, ...), n at least 2.
        y: their labels, for a game that is told them.
        at_once: rows that are looked at together.
        learned: how many of them the run learns from, too.
    """

    def __init__(self, x: Float[Tensor, "n ..."], y: Tensor | None = None, at_once: int = 100, learned: int = 0):
        self.x, self.y, self.at_once, self.learned = x, y, at_once, learned
        self.rows = _flat(x)
        self.spread = max(1e-12, math.sqrt(self.rows.var(0, unbiased=False).mean().item()))
        self.directions = _directions(self.rows.shape[1])
        self.priors: dict[int, tuple[Tensor, Tensor, float]] = {}  # directions, quantiles and floor of p(z), by the seed of its draws
        self.radii, self.sorted = _radii(self.rows, NEIGHBOUR), (self.rows @ self.directions).sort(0).values

    @torch.no_grad()
    def measure(self, networks: Any, seed: int = 0) -> dict[str, float]:
        """Coverage, precision, samples, codes (and ``codes_floor``: of draws from p(z)) and reconstruction, as far as the game has them.

        Arguments:
            networks: the game; its mode and torch's noise are left as they were.
            seed: of the noise.
        """
        generates, infers, conditions = (isinstance(networks, protocol) for protocol in (Generates, Infers, Conditions))
        n, values, z = len(self.x), {}, None
        told = () if not conditions or self.y is None else (self.y,)
        training = networks.training
        networks.eval()
        with torch.random.fork_rng([self.x.device] if self.x.device.type == "cuda" else []):
            torch.manual_seed(seed)
            if generates:
                z = networks.prior.sample(n)
                labels = (networks.labels(n),) if conditions else ()
                made = _flat(self._chunks(lambda *u: networks.decode(*u).mean, z, *labels))
                values["coverage"], values["precision"] = _covered(self.rows, made, self.radii)
                values["samples"] = _apart(self.sorted, (made @ self.directions).sort(0).values) / self.spread
                del made  # as large as all rows
            if infers and not (conditions and not told):
                z_hat = self._chunks(lambda *u: networks.encode(*u).rsample(), self.x, *told)
                if z is not None and z_hat.shape == z.shape:
                    if seed not in self.priors:  # the last noise that is drawn: nothing else depends on whether it is
                        self.priors[seed] = _quantiles([_flat(networks.prior.sample(n)) for _ in range(FINE)])
                    directions, fine, values["codes_floor"] = self.priors[seed]
                    values["codes"] = _apart((_flat(z_hat) @ directions).sort(0).values, fine)
                    error = self._chunks(lambda x, *u: _flat(networks.decode(*u).mean - x).square_().mean(1), self.x, z_hat, *told)
                    values["reconstruction"] = error.mean().item() / self.spread**2
        networks.train(training)
        return values

    def _chunks(self, network: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        return torch.cat([network(*rows) for rows in zip(*(u.split(self.at_once) for u in inputs), strict=True)])


class Watch:
    """Turns numbers into words: each kind of trouble is told once, and again only if it passed and came back."""

    def __init__(self):
        self.best: dict[str, float] = {}  # of each number so far
        self.first: dict[str, float] = {}  # what each player lost at first
        self.largest: dict[str, float] = {}  # what each player lost at most, at a moment
        self.wrong: dict[str, str] = {}  # what is wrong now, by kind
        self.heard: list[dict[str, float]] = []  # what each player lost since the last look
        self.looks = 0

    def hear(self, losses: dict[str, float]) -> None:
        """Take note of what each player lost, averaged over a few steps."""
        if not losses:  # right after going back
            return
        self.first = self.first or losses
        self.heard.append(losses)

    def look(self, progress: float, values: dict[str, float]) -> list[str]:
        """What has newly gone wrong.

        Arguments:
            progress: share of the training that is done.
            values: what a gauge measured; may be empty.
        """
        losses = {player: sum(lost[player] for lost in self.heard) / len(self.heard) for player in (self.heard or [{}])[0]}
        self.heard = []
        self.looks += 1
        found = (
            self._collapsed(progress, values) | self._codes(progress, values) | self._worse(progress, values) | self._lost(values, losses)
        )
        new = [words for kind, words in found.items() if kind not in self.wrong]
        self.wrong = found
        for name, value in (values | {"score": score(values)}).items():
            if math.isfinite(value):
                self.best[name] = (max if name == "coverage" else min)(value, self.best.get(name, value))
        for player, loss in losses.items():
            self.largest[player] = max(abs(loss), self.largest.get(player, 0.0))
        return new

    def _collapsed(self, progress: float, values: dict[str, float]) -> dict[str, str]:
        now, best = values.get("coverage", 1.0), self.best.get("coverage", 0.0)
        if best >= SOME and now < best / 2:
            return {"collapsed": f"samples collapsed: they come near {now:.0%} of the held-out rows, after {best:.0%} before. {CALMER}"}
        if ASTRAY[0] * self.best.get("score", math.inf) + ASTRAY[1] < score(values) < math.inf:
            words = f"the networks went astray: their score is {score(values):.3g}, after {self.best['score']:.3g} before (0 is perfect)"
            return {"collapsed": f"{words}. {CALMER}"}
        if self._late(progress) and now < FEW:
            return self._few(now, progress)
        return {}

    def _few(self, now: float, progress: float) -> dict[str, str]:
        words = f"samples cover little: they come near {now:.0%} of the held-out rows, with {progress:.0%} of the training done"
        return {"few": f"{words}. {CALMER}"}

    def _late(self, progress: float) -> bool:
        """Has there been time to learn? Of a run that is so short that it is hardly measured nothing is asked."""
        return progress > EARLY and self.looks >= LOOKS

    def _codes(self, progress: float, values: dict[str, float]) -> dict[str, str]:
        off = values.get("codes", 0.0) - values.get("codes_floor", 0.0)
        if not self._late(progress) or off < CODES_OFF:
            return {}
        advice = "codes drawn from p(z) then are not those that the decoder learned from: train longer, or with a lower --lr"
        return {"codes": f"codes ignore the prior: q(z) lies {off:.2f} standard deviations from p(z) on average; {advice}"}

    @staticmethod
    def _poor(now: float) -> dict[str, str]:
        return {"poor": f"reconstructions are worse than the mean row: an error of {now:.0%} of the variance. Train longer. {CALMER}"}

    def _worse(self, progress: float, values: dict[str, float]) -> dict[str, str]:
        now, best = values.get("reconstruction", 0.0), self.best.get("reconstruction", 0.0)
        if self._late(progress) and now > POOR:
            return self._poor(now)
        if not best or now < WORSE[0] * best or now < best + WORSE[1]:
            return {}
        return {"worse": f"reconstructions got worse: an error of {now:.0%} of the variance, after {best:.0%} before. {CALMER}"}

    def _lost(self, values: dict[str, float], losses: dict[str, float]) -> dict[str, str]:
        found = {}
        # Of several judges one may win by rights: that of ALAD who sees z beside its reconstruction.
        judges = [player for player in losses if "discriminator" in player or "critic" in player]
        now, first = (sum(lost.get(player, 0.0) for player in judges) for lost in (losses, self.first))
        if judges and 0 <= now < min(WON * first, math.log(2) * len(judges)) and values.get("samples", 0.0) > UNLIKE:
            found["won"] = (
                f"{'the ' + judges[0] if len(judges) == 1 else 'every discriminator'} has won: its loss is {now:.3f}, after {first:.3f} "
                "at first, so it tells every sample from the data, and little is left to learn from it. Raise --penalty, or lower "
                "--beta1 and --lr"
            )
        for player, loss in losses.items():
            first, largest = self.first.get(player, 0.0), self.largest.get(player, math.inf)
            if abs(loss) > max(EXPLODED, EXPLODED * largest, EXPLODED * abs(first)):
                found[f"exploded {player}"] = f"the loss of the {player} explodes: {loss:.3g}, after at most {largest:.3g} before. {CALMER}"
        return found

    def verdict(self, values: dict[str, float]) -> str:
        """The last word on a run. Nobody asks of a run that is hardly begun that it is good; of one that has ended everybody does."""
        wrong = dict(self.wrong)
        if values.get("coverage", 1.0) < SOME:
            wrong = self._few(values["coverage"], 1.0) | wrong
        if values.get("reconstruction", 0.0) > POOR:
            wrong = self._poor(values["reconstruction"]) | wrong
        if wrong:
            return "Not healthy: " + "; ".join(wrong.values()) + "."
        return f"Healthy: {in_short(values) or 'no loss went astray'}."

    def to_json(self) -> dict[str, Any]:
        return dict(vars(self))

    def restore(self, state: dict[str, Any]) -> None:
        """Take up what ``to_json`` wrote."""
        vars(self).update(state)


def moments(steps: int, batch_size: int, rows: int) -> tuple[list[int], int]:
    """When to measure, and on how many rows: evenly, at the end, and no more often than the rows trained on pay for.

    Counted in rows and not by the clock, so that the same run measures at the same steps wherever it is played.

    Arguments:
        steps, batch_size: of the run.
        rows: there to be measured.
    """
    paid = SHARE * steps * batch_size
    n = min(rows, int(min(ROWS[1], max(ROWS[0], paid / MOMENTS))))
    times = max(1, min(MOMENTS, int(paid / max(1, n))))
    return evenly(steps, times), n


def evenly(steps: int, n: int) -> list[int]:
    """At most n steps, evenly spread, the last one among them."""
    return sorted({math.ceil(steps * (k + 1) / n) for k in range(n)})


def most(data: Data, shape: tuple[int, ...]) -> int:
    """Rows there are to be measured: those held out, and training rows where these are few; fewer where rows are large."""
    held, fits = len(data.test), max(ROWS[0] // 2, NUMBERS // max(1, math.prod(shape)))
    return min(max(held, min(ROWS[0], held + len(data.train))), fits)


def rows(data: Data, preprocess: Preprocess, n: int, told: bool) -> tuple[Tensor, Tensor | None, int]:
    """Rows to measure, as the networks see them, spread evenly over those held out and then over the training rows; how many are these.

    Arguments:
        n: how many, if there are.
        told: is the game told labels? Then rows without one are left out, and the others' labels are returned.
    """
    x: list[Tensor] = []
    y: list[Tensor] = []
    held = 0
    for source in (data.test, data.train):
        usable = source.labelled() if told and source.y is not None and source.y.ndim == 1 else np.arange(len(source))
        if n <= sum(map(len, x)) or len(usable) == 0:
            continue
        chosen = source.rows(usable[np.linspace(0, len(usable) - 1, min(n - sum(map(len, x)), len(usable))).astype(int)])
        with torch.random.fork_rng([]):
            torch.manual_seed(0)
            x.append(preprocess.dither(torch.from_numpy(np.ascontiguousarray(preprocess.prepare(np.asarray(chosen.x))))))
        y += [torch.from_numpy(np.asarray(chosen.y))] if told and chosen.y is not None else []
        held += len(chosen) if source is data.test else 0
    labels = torch.cat(y) if y and len(y) == len(x) else None
    seen = torch.cat(x) if x else torch.empty(0)
    good = torch.isfinite(seen.flatten(1)).all(1) if x else torch.empty(0, dtype=torch.bool)
    return seen[good], None if labels is None else labels[good], int(good[held:].sum())


def score(values: dict[str, float]) -> float:
    """One number by which moments of a run are compared, lower is better: the sum of what is 0 where the two joints match.

    1 - coverage, samples, codes and reconstruction are each about 1 where nothing has been learned, so none outweighs the others, and
    each sees what another is blind to: coverage the fine structure that projections miss, the distances a generator of means.
    """
    known = [values[name] for name in ("samples", "codes", "reconstruction") if name in values]
    return sum(known) + 1 - values.get("coverage", 1.0) if known else math.inf


def in_short(values: dict[str, float]) -> str:
    """A few words for a line of progress."""
    said = {
        "coverage": lambda v: f"covers {v:.0%}",
        "precision": lambda v: f"precision {v:.0%}",
        "reconstruction": lambda v: f"reconstruction error {v:.0%}",
        "codes": lambda v: f"codes off {max(0.0, v - values['codes_floor']):.2f}",
    }
    return ", ".join(words(values[name]) for name, words in said.items() if name in values)


def _flat(x: Tensor) -> Tensor:
    return x.flatten(1).to("cpu", torch.float64)


def _directions(d: int) -> Tensor:
    """Unit vectors, always the same."""
    drawn = torch.randn(d, DIRECTIONS, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return drawn / drawn.norm(dim=0)


def _quantiles(drawn: list[Tensor]) -> tuple[Tensor, Tensor, float]:
    """Directions, nearly a law's own quantiles along each, and how far a single one of the samples lies from them."""
    n, directions = len(drawn[0]), _directions(drawn[0].shape[1])
    fine = (torch.cat(drawn) @ directions).sort(0).values.unflatten(0, (n, len(drawn))).mean(1)
    return directions, fine, sum(_apart((one @ directions).sort(0).values, fine) for one in drawn) / len(drawn)


def _distances(a: Tensor, b: Tensor) -> Tensor:
    # Through a product of matrices it is faster, but takes copies of both: too much where rows are large.
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist" if a.shape[1] > LONG else "use_mm_for_euclid_dist_if_necessary")


def _radii(real: Tensor, k: int) -> Tensor:
    return _distances(real, real).kthvalue(min(k, len(real) - 1) + 1, dim=1).values  # the nearest of all is the row itself


def _covered(real: Tensor, fake: Tensor, radii: Tensor) -> tuple[float, float]:
    """The share of real rows that have a fake one in their ball, and of fake rows that lie in one."""
    inside = _distances(real, fake) <= radii[:, None] + 1e-6  # closed balls, so that equal rows of a discrete table count
    return inside.any(1).double().mean().item(), inside.any(0).double().mean().item()


def _apart(a: Tensor, b: Tensor) -> float:
    return (a - b).abs().mean().item()
