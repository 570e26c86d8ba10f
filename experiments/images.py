"""ALI on natural images within a budget of time: samples beside DCGAN's and beside real rows, reconstructions, classes from few labels.

Each system is trained for the same time; its length is chosen from what its steps cost. Samples are compared with held-out rows by the
Frechet distance of features: of a small classifier that is trained here on the training rows' labels, the same for all in a run; or,
with --inception, of the Inception network in a file of torch-fidelity's (weights-inception-2015-12-05-6726825d.pth): only then it is FID.

    python -m experiments.images cifar10 PATH --minutes 25 --device cuda
    python -m experiments.images cifar10 PATH --small
    python -m experiments.images celeba PATH --work FOLDER --systems ali    (runs stay in FOLDER; the next call goes on there)
"""

from __future__ import annotations

import argparse
import inspect
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

import ali
from ali import checkpoint, pictures, recipes
from ali.cli.rehearsal import measure
from ali.data.source import Data, Source
from ali.errors import AliError
from ali.evaluation import metrics
from ali.session import Session
from experiments.record import record

RESIDUAL = {"networks": "residual"}
SYSTEMS: dict[str, tuple[str, dict[str, Any]]] = {  # recipe and arguments
    "ali": ("ali", RESIDUAL | {"augment": "colour,translation,cutout"}),
    "ali_plain": ("ali", RESIDUAL),
    "ali_conv": ("ali", {"networks": "conv"}),
    "dcgan": ("dcgan", {}),
    "semi_supervised": ("semi_supervised", RESIDUAL | {"augment": "translation,flip"}),  # which leave a class as it is
    "supervised": ("supervised", RESIDUAL | {"augment": "translation,flip"}),
}
FEW = ("semi_supervised", "supervised")  # they are told few labels, the same ones
ASKED = ("ali", "dcgan", *FEW)  # where nothing else is said
SMALL = {"rows": 2000, "held_out": 1000, "minutes": 0.5, "labels": 500}  # all in three CPU minutes
NARROW = {"width": 8, "batch_size": 32, "lr": 2e-3}  # small networks, but for DCGAN, which is as published
COLUMNS = {  # key: column, form
    "steps": ("steps", ".0f"),
    "minutes": ("minutes", ".1f"),
    "frechet": ("Frechet distance", ".1f"),
    "mse_share": ("reconstruction MSE / variance", ".1%"),
    "right": ("D ranks pairs right (50 %: it can not)", ".0%"),
    "error": ("errors of classification", ".1%"),
}

Extractor = Callable[[np.ndarray], np.ndarray]  # rows in the data's units to features (n, d)


class Lab(NamedTuple):
    """Where runs are made.

    Arguments:
        dataset: a name in ``recipes.DATASETS``.
        data: its rows.
        work: folder of the runs; a run that is there is gone on with.
        device: "auto", "cpu", "cuda", ...
        seed: of all runs.
    """

    dataset: str
    data: Data
    work: Path
    device: str
    seed: int

    def session(self, recipe: str, name: str, options: dict[str, Any]) -> Session:
        """A run that has not begun."""
        if "precision" in inspect.signature(Session.start).parameters and torch.cuda.is_available() and self.device != "cpu":
            options = options | {"precision": "bfloat16"}
        out = self.work / name
        return Session.start(self.dataset, self.data, out, recipe=recipe, device=self.device, seed=self.seed, **options)

    def train(self, recipe: str, name: str, minutes: float, options: dict[str, Any]) -> tuple[ali.Model, dict[str, float]]:
        """A run of about so many minutes, and what it cost; what a step costs is measured first."""
        out, kept = self.work / name, self.work / f"{name}.cost.json"
        if not out.exists():
            trial = self.session(recipe, name, options | {"epochs": 1})
            # On a CPU its own time counts, whatever else runs there.
            clock, began = (time.process_time if trial.device.type == "cpu" else time.monotonic), time.process_time()
            per_step = measure(trial, steps=8, warmup=2)["seconds_per_step"]
            if clock is time.process_time:
                per_step = (clock() - began) / 10
            session, began = self.session(recipe, name, options | {"epochs": max(1, round(60 * minutes / per_step / trial.steps))}), clock()
            for _ in session.play():
                pass
            checkpoint.write_json(kept, {"steps": float(session.step), "minutes": (clock() - began) / 60})
        return ali.Model.resume(out, self.data, device=self.device), checkpoint.read_json(kept) if kept.exists() else {}


def drawn(source: Source, n: int) -> Source:
    """At most n rows, drawn at random, always the same: evenly spread ones would miss classes of a file where these take turns."""
    kept = source.rows(np.sort(np.random.default_rng(0).permutation(len(source))[:n]))
    return replace(kept, x=np.asarray(kept.x))


def classes(data: Data) -> Data:
    """The same rows with classes: their own, or the four that the two most even attributes make (of faces, say, male and smiling).

    Raises:
        AliError: rows without labels.
    """
    if data.train.classes:
        return data
    if len(data.train.attributes) < 2:
        raise AliError("these rows have neither classes nor attributes, to learn features from: give Inception's weights (--inception)")
    a, b = np.argsort(np.abs(np.asarray(data.train.y).mean(0) - 0.5))[:2]
    names = tuple(f"{k // 2} {data.train.attributes[a]}, {k % 2} {data.train.attributes[b]}" for k in range(4))
    parts = [replace(part, y=(2 * part.y[:, a] + part.y[:, b]).astype(np.int64), classes=names, attributes=()) for part in data]  # pyrefly: ignore
    return Data(*parts)


def probe(lab: Lab, minutes: float) -> tuple[str, Extractor]:
    """Features of a classifier of the training rows: convolutions, all labels, what its last layer sees."""
    lab = lab._replace(data=classes(lab.data))
    options = {"networks": "conv", "width": 32, "lr": 1e-3, "augment": "translation,flip"}
    model, _ = lab.train("supervised", "probe", minutes, options)
    accuracy = 1 - error(model, lab.data)

    def features(x: np.ndarray) -> np.ndarray:
        game: Any = model.game
        return batched(model, game.classifier.features, x)

    return f"a classifier of the training rows, right on {accuracy:.1%} of the held-out ones", features


def inception(weights: str, device: str) -> tuple[str, Extractor]:
    """Inception's pooled features of bytes, by torch-fidelity: on these the distance is FID.

    Raises:
        AliError: torch-fidelity is not installed, or there is no such file.
    """
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3  # pyrefly: ignore
    except ImportError:
        raise AliError("--inception needs torch-fidelity: pip install torch-fidelity") from None
    if not Path(weights).is_file():
        raise AliError(f"{weights}: no such file")
    where = "cuda" if torch.cuda.is_available() and device != "cpu" else "cpu"
    network = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], feature_extractor_weights_path=weights).to(where).eval()

    @torch.no_grad()
    def features(x: np.ndarray) -> np.ndarray:
        colour = x if x.ndim == 4 else np.repeat(x[..., None], 3, 3)
        chunks = (torch.from_numpy(colour[k : k + 100]).permute(0, 3, 1, 2).to(where) for k in range(0, len(x), 100))
        return np.concatenate([network(chunk)[0].cpu().numpy() for chunk in chunks])

    return "FID (Inception, torch-fidelity)", features


@torch.no_grad()
def batched(model: ali.Model, function: Callable[[torch.Tensor], torch.Tensor], x: np.ndarray) -> np.ndarray:
    """What a function of rows as the network sees them makes of rows in the data's units."""
    chunks = (model.preprocess.forward(torch.from_numpy(x[k : k + 500])).to(model.device) for k in range(0, len(x), 500))
    return np.concatenate([function(chunk).float().cpu().numpy() for chunk in chunks])


def error(model: ali.Model, data: Data) -> float:
    """Share of held-out rows in the wrong class."""
    return float((model.classify(data.test.x).argmax(1) != data.test.y).mean())


def right(model: ali.Model, x: np.ndarray, seed: int) -> float:
    r"""How often D gives a held-out encoder pair a higher logit than a decoder pair: :math:`P(D(x, \hat z) > D(\tilde x, z))`.

    1: D has won; 0.5: it can tell nothing.
    """
    game: Any = model.game

    def of_data(x: torch.Tensor) -> torch.Tensor:
        return game.discriminator(x, game.encode(x).rsample()) if model.infers else game.discriminator(x)

    def of_codes(x: torch.Tensor) -> torch.Tensor:
        z = game.prior.sample(len(x))
        x_tilde = game.decode(z).rsample()
        return game.discriminator(x_tilde, z) if model.infers else game.discriminator(x_tilde)

    torch.manual_seed(seed)
    rho_q, rho_p = batched(model, of_data, x), batched(model, of_codes, x)
    if rho_q.ndim > 1:  # K classes: the log-odds against the one that is generated
        rho_q, rho_p = (np.logaddexp.reduce(rho, 1) for rho in (rho_q, rho_p))
    return float((rho_q[:, None] > rho_p).mean())


def look(model: ali.Model, lab: Lab, features: Extractor, real: np.ndarray) -> dict[str, float]:
    """All that a system can be asked.

    Arguments:
        features, real: what samples are compared in, and held-out rows there.
    """
    x, values = np.asarray(lab.data.test.x), {}
    if model.generates:
        values["frechet"] = metrics.frechet_distance(real, features(model.sample(len(real), seed=lab.seed)))
        values["right"] = right(model, x[: len(real)], lab.seed)
    if model.generates and model.infers:
        values["mse_share"] = metrics.reconstruction(x, model.reconstruct(x))["mse_share"]
    if model.classifies:
        values["error"] = error(model, lab.data)
    return values


def picture(model: ali.Model, lab: Lab, file: Path) -> None:
    """Samples, or rows of the data (odd lines) over their reconstructions."""
    maximum = model.preprocess.pixels or 255.0
    pictures.grid(model.sample(80, seed=lab.seed), maximum, columns=16, height=320).save(file.with_suffix(".samples.png"))
    if model.infers:
        x = np.asarray(lab.data.test.x)[:48]
        lines = zip(np.array_split(x, 3), np.array_split(model.reconstruct(x), 3), strict=True)
        pictures.grid(np.concatenate([part for line in lines for part in line]), maximum, columns=16, height=384).save(
            file.with_suffix(".reconstructions.png")
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", choices=("cifar10", "svhn", "celeba", "tiny_imagenet", "images"), help="as for `ali train`")
    parser.add_argument("path", help="where it is")
    parser.add_argument("--minutes", type=float, default=None, help="of training, for each system (25; the classifier of features: 3)")
    parser.add_argument("--labels", type=int, default=None, help="how many are kept for those that learn classes from few (4000)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, ...")
    parser.add_argument("--seed", type=int, default=0, help="of weights, noise and order")
    parser.add_argument("--small", action="store_true", help="few rows, narrow networks, short runs: to see on a CPU that it learns")
    parser.add_argument("--systems", nargs="*", choices=SYSTEMS, default=list(ASKED), help="which")
    parser.add_argument("--inception", default=None, help="file with the weights of torch-fidelity's Inception network, for FID")
    parser.add_argument("--work", default=None, help="keep the runs here, with pictures, and go on with those that are there")
    given = parser.parse_args()
    small: dict[str, Any] = SMALL if given.small else {}
    minutes, labels = given.minutes or small.get("minutes", 25.0), given.labels or small.get("labels", 4000)
    data, began = recipes.DATASETS[given.dataset].open(given.path), time.monotonic()
    if given.small:
        data = Data(drawn(data.train, small["rows"]), drawn(data.test, small["held_out"]))
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(given.work or folder)
        lab = Lab(given.dataset, data, work, given.device, given.seed)
        name, features = inception(given.inception, given.device) if given.inception else probe(lab, min(3.0, minutes / 2))
        n = min(10_000, len(data.test), len(data.train))
        real = features(drawn(data.test, n).x)
        found["real: training rows"] = {"frechet": metrics.frechet_distance(real, features(drawn(data.train, n).x))}
        for system in given.systems:
            recipe, options = SYSTEMS[system]
            options = options | ({"labels": labels} if system in FEW else {}) | (NARROW if given.small and system != "dcgan" else {})
            if system in FEW and not data.train.classes:
                continue
            if system == "ali":
                session = lab.session(recipe, "untrained", options)
                found["ali, untrained"] = look(ali.Model(session.run.game, session.preprocess, session.config), lab, features, real)
                print("untrained:", {key: round(value, 4) for key, value in found["ali, untrained"].items()}, flush=True)
            model, cost = lab.train(recipe, system, minutes, options)
            found[system] = cost | look(model, lab, features, real)
            if model.generates:
                picture(model, lab, work / f"{system}.png")
            print(f"{system}:", {key: round(value, 4) for key, value in found[system].items()}, flush=True)
    table = [f"| system | {' | '.join(column for column, _ in COLUMNS.values())} |", f"|{' --- |' * (len(COLUMNS) + 1)}"]
    for system, values in found.items():
        cells = [f"{values[key]:{form}}" if key in values else "" for key, (_, form) in COLUMNS.items()]
        table.append(f"| {system} | {' | '.join(cells)} |")
    command = f"python -m experiments.images {given.dataset} PATH --minutes {minutes:g} --labels {labels} --seed {given.seed}"
    command += "" if given.systems == list(ASKED) else f" --systems {' '.join(given.systems)}"
    command += " --small" if given.small else ""
    notes = (
        f"One seed. {len(data.train):,} training rows; {n:,} samples beside as many held-out rows. Features: {name}. "
        "ali: residual networks, D's view augmented (ali_plain: not; ali_conv: nor residual). "
        f"semi_supervised and supervised are told {labels:,} labels, the classifier of the features all of them."
    )
    record(f"Images, {given.dataset}{', small' if given.small else ''}", command, time.monotonic() - began, table, notes)


if __name__ == "__main__":
    main()
