"""What a run does when training goes wrong: it keeps its best networks, goes back to them, and ends with them.

Whether it does depends on losses and on numbers that are measured at steps known beforehand, never on a clock: a run that is
stopped and resumed goes back at the same step, to the same weights. What it says of losses may differ: their first average after a
stop is over fewer steps.
"""

from __future__ import annotations

__all__ = ["Guard"]

import copy
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ali.games.game import Classifies
from ali.health import Gauge, Watch, in_short, score

TRIES = 3  # times that a run goes back
SLOWER = 0.5  # its learning rates are then multiplied by this
DRAWS = 5  # of noise, by which the last networks are compared with the best
WORSE = (1.25, 0.15)  # times the best score, and that much more: less is not worth leaving the last networks for


class Guard:
    """Watches a game that is being trained, and keeps its best networks.

    Arguments:
        game, average, optimizers: of the run; changed in place when it goes back.
        recovers: does it go back, or only say what is wrong?
    """

    def __init__(self, game: nn.Module, average: nn.Module | None, optimizers: Mapping[str, Optimizer], recovers: bool):
        self.game, self.average, self.optimizers, self.recovers = game, average, optimizers, recovers
        self.tied = False  # is it trained together with others, so that its weights are not its own to replace?
        self.gauge: Gauge | None = None
        self.watch = Watch()
        self.values: dict[str, float] = {}  # measured last
        self.best: dict[str, Tensor] = {}  # weights of the best moment so far
        self.best_values: dict[str, float] = {}  # measured then
        self.score, self.at, self.tries = math.inf, 0, 0
        self.ends_with_best = False
        self.words: list[str] = []  # that nobody has been told yet

    @property
    def can_go_back(self) -> bool:
        return self.recovers and not self.tied and bool(self.best) and self.tries < TRIES

    @property
    def networks(self) -> nn.Module:
        """The networks that the run would keep."""
        return self.game if self.average is None else self.average

    def begin(self, step: int) -> None:
        """Keep the first networks, whatever they are worth: a run that goes astray before it has learned anything begins anew.

        Arguments:
            step: steps done.
        """
        if self.gauge is not None and math.isfinite(first := score(self.gauge.measure(self.networks))):
            self.watch.best["score"] = first
        self.keep(step, math.inf)

    def look(self, step: int, steps: int) -> None:
        """Measure, keep the networks if they are the best so far, go back if they collapsed.

        Arguments:
            step, steps: steps done, and in all.
        """
        if self.gauge is not None:
            self.values = self.gauge.measure(self.networks)
        now, new = score(self.values), self.watch.look(step / steps, self.values)
        broken = any(not math.isfinite(value) for value in self.values.values())
        what = "numbers measured on the networks are no longer finite" if broken else self.watch.wrong.get("collapsed")
        if what and (broken or step < steps) and self.go_back(step, what):
            new = []  # it was said of networks that are no more
        elif now <= self.score:
            self.keep(step, now)
        self.words += new

    def keep(self, step: int, score: float) -> None:
        """Copy the networks: they are the best so far."""
        self.best = {name: tensor.detach().to("cpu", copy=True) for name, tensor in self.networks.state_dict().items()}
        self.score, self.at, self.best_values = score, step, dict(self.values)

    def go_back(self, step: int, what: str) -> bool:
        """Go on from the best networks, at lower learning rates; the noise is that of the steps to come. Says so in ``words``.

        Arguments:
            step: steps done; the run does not become longer.
            what: went wrong.

        Returns:
            False if this run does not go back, or has done so too often: nothing is changed.
        """
        if not self.can_go_back:
            return False
        self.tries += 1
        for module in (self.game, self.average):
            if module is not None:
                module.load_state_dict(self.best)
        for optimizer in self.optimizers.values():
            optimizer.state.clear()
        self._slow_down(SLOWER)
        self.values = dict(self.best_values)
        self.watch.wrong.clear()
        self.words.append(
            f"{what.rstrip('.')}. Step {step:,}: back to the networks of step {self.at:,}, "
            f"learning rates times {SLOWER**self.tries:g} from now on (time {self.tries} of at most {TRIES})"
        )
        return True

    def finish(self, steps: int) -> None:
        """Choose between the last networks and the best ones: these only if they are better by more than noise.

        Arguments:
            steps: of the whole run, all done.
        """
        if self.gauge is None or self.at == steps or not self._worse(score(self.values), self.score):
            return
        best = copy.deepcopy(self.networks)
        best.load_state_dict(self.best)
        scores = [[score(self.gauge.measure(networks, 1 + draw)) for draw in range(DRAWS)] for networks in (self.networks, best)]
        last, kept = (torch.tensor(row, dtype=torch.float64) for row in scores)
        gap, noise = (last - kept).mean().item(), (last - kept).std().item()
        if gap <= 2 * noise or not self._worse(last.mean().item(), kept.mean().item()):
            return
        # The score knows nothing of labels: it could cost a classifier what it learned last.
        self.ends_with_best = self.recovers and not isinstance(self.game, Classifies)  # pyrefly: ignore
        kept_are = "model.safetensors holds the better ones" if self.ends_with_best else "the last ones are kept all the same"
        self.words.append(
            f"the last networks are worse than those of step {self.at:,} (score {last.mean():.3f} against {kept.mean():.3f}, "
            f"their difference {gap:.3f} ± {noise:.3f} over draws; 0 is perfect): {kept_are}"
        )

    def verdict(self) -> str:
        """The last word on a run."""
        words = self.watch.verdict(self.values)
        if self.ends_with_best:
            words = f"Kept the networks of step {self.at:,}: {in_short(self.best_values)}. The last ones are worse. {words}"
        if self.tries:
            words += f" It went back {self.tries} time{'s' * (self.tries > 1)}."
        if self.gauge is not None and self.gauge.learned:
            looked = f"{self.gauge.learned} of the {len(self.gauge.x)} rows looked at were learned from"
            words += f" {looked}: `ali evaluate` asks held-out rows alone."
        return words

    def to_json(self) -> dict[str, Any]:
        """All but the weights."""
        names = ("words", "values", "best_values", "score", "at", "tries", "ends_with_best")
        return {"watch": self.watch.to_json(), **{name: getattr(self, name) for name in names}}

    def restore(self, best: dict[str, Tensor], state: dict[str, Any]) -> None:
        """Take up what was kept: weights, and what ``to_json`` wrote. The optimisers have their first learning rates."""
        state = dict(state)
        self.best = best
        self.watch.restore(state.pop("watch"))
        vars(self).update(state)
        self._slow_down(SLOWER**self.tries)

    @staticmethod
    def _worse(last: float, best: float) -> bool:
        return not last <= WORSE[0] * best + WORSE[1]

    def _slow_down(self, factor: float) -> None:
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["initial_lr"] = factor * group.get("initial_lr", group["lr"])
