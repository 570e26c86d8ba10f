"""A run on one page: sentences, numbers and pictures in a single HTML file that needs nothing beside it."""

from __future__ import annotations

__all__ = ["LINES", "write"]

import base64
import html
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from ali import checkpoint, pictures
from ali.data.source import Data
from ali.evaluation import evaluate, figures, some, words
from ali.model import Model

# What each number is called, how it is written, and how to read it.
LINES: dict[str, tuple[str, str, str]] = {
    "held_out": ("held-out rows", ".0f", "that were looked at; below 100, the numbers are rough"),
    "reconstruction_mse": ("reconstruction MSE", ".4f", "held-out rows; 0 is perfect"),
    "variance": ("variance of the data", ".4f", "the MSE of answering every row with the mean row"),
    "mse_share": ("MSE / variance", ".1%", "0 % is perfect"),
    "pca_share": ("MSE / variance of PCA", ".1%", "the same for PCA of the training rows, with as many components as the code has"),
    "pca_components": ("PCA components", ".0f", "the code's dimension"),
    "held_out_labelled": ("labelled held-out rows", ".0f", "those whose class is known; few of them tell little"),
    "accuracy": ("classified rightly", ".1%", "held-out rows, by the run's own classifier"),
    "label_kept": ("label kept", ".1%", "reconstructions that a 1-NN classifier on training rows puts into the original's class"),
    "label_kept_ceiling": ("label kept, ceiling", ".1%", "the same classifier on the originals"),
    "two_sample": ("two-sample 1-NN accuracy", ".3f", "telling samples from held-out rows; 0.5 is perfect, 1 is worst"),
    "pixel_components": ("space: PCA-n of pixels", ".0f", "principal components of pixels, in which samples are compared below: no FID"),
    "frechet": ("Frechet distance", ".3g", "of samples to held-out rows, normal laws fitted to both; at most 2,000 rows, here and below"),
    "frechet_floor": ("Frechet distance, floor", ".3g", "of as many training rows to held-out rows"),
    "kernel": ("kernel distance", ".2g", "MMD squared of samples to held-out rows, cubic kernel; 0 is perfect"),
    "kernel_floor": ("kernel distance, floor", ".2g", "of as many training rows to held-out rows"),
    "precision": ("precision", ".3f", "share of samples among the held-out rows: are they right?"),
    "precision_ceiling": ("precision, ceiling", ".3f", "of as many training rows"),
    "recall": ("recall", ".3f", "share of held-out rows among the samples: is everything there?"),
    "recall_ceiling": ("recall, ceiling", ".3f", "of as many training rows"),
    "density": ("density", ".3f", "samples around held-out rows; a perfect model has 1"),
    "coverage": ("coverage", ".1%", "held-out rows with a sample near them; a perfect model has 97 %"),
    "coverage_gaussian": ("coverage of a normal law", ".1%", "the same for draws from a normal law fitted to the training rows"),
    "memorisation": ("memorisation", ".2f", "distance to the nearest training row, over that of unseen rows; 1 is right, 0 are copies"),
    "marginals": ("columns, mean error", ".3f", "Kolmogorov-Smirnov for numbers, total variation for categories; 0 is perfect, 1 is worst"),
    "marginals_worst": ("columns, worst error", ".3f", "of the column that fits worst"),
    "marginals_floor": ("columns, floor", ".3f", "mean error of as many training rows"),
    "empty": ("empty cells", ".1%", "of training rows; at most 2,000, here and in the next three lines"),
    "empty_samples": ("empty cells of samples", ".1%", "of as many samples"),
    "empty_wrong": ("columns wrongly empty", ".0f", "less than half as often as training rows, or more than twice"),
    "lost_categories": ("lost categories", ".0f", "that samples ought to have at least ten times, and never have"),
    "correlations": ("correlations, mean error", ".3f", "of all pairs, on the network's scale; 0 is perfect"),
    "correlations_floor": ("correlations, floor", ".3f", "of as many training rows"),
    "tstr": ("train on synthetic", ".3f", "score of forests taught by samples, on held-out rows; 0 is guessing, 1 is perfect"),
    "trtr": ("train on real", ".3f", "the same, taught by as many training rows"),
    "tstr_ratio": ("synthetic / real", ".2f", "of these scores; 1 is perfect"),
    "q_z": ("q(z) against p(z)", ".3f", "sliced Wasserstein distance of the codes of training rows to the prior"),
    "q_z_floor": ("q(z) against p(z), floor", ".3f", "the same for as many draws from the prior itself"),
    "nn_codes": (
        "1-NN on codes",
        ".1%",
        "held-out rows classified by their nearest training row, by code mean (dimension: that of PCA above)",
    ),
    "nn_pixels": ("1-NN on raw rows", ".1%", "the same on the rows themselves"),
    "modes": ("modes, the paper's count", ".0f", "components that are nearest to any of 10,000 samples: nearly blind"),
    "modes_strict": ("modes, strict", ".0f", "components with at least 20 % of their share of high-quality samples"),
    "high_quality": ("high-quality samples", ".1%", "within three standard deviations of a centre; a perfect model has 98.9 %"),
    "reverse_kl": ("reverse KL of the modes", ".4f", "0 is perfect"),
    "std_ratio": ("spread within modes", ".2f", "over the data's; a perfect model has 0.97"),
    "same_mode": ("same mode", ".2%", "held-out rows whose reconstruction has the same nearest centre"),
}


def write(run: Path, model: Model, data: Data, out: Path | None = None, seed: int = 0) -> dict[str, float]:
    """Evaluate a run and write metrics.json, its pictures and report.html.

    Arguments:
        run: the run folder, for its log and its samples while it learned.
        model: the run, loaded.
        data: training rows and held-out rows.
        out: where to write; the run folder itself by default.
        seed: of samples and draws.

    Returns:
        The numbers (:func:`ali.evaluation.evaluate`).
    """
    out = out or run
    out.mkdir(parents=True, exist_ok=True)
    values = evaluate(model, data, seed=seed)
    checkpoint.write_json(out / "metrics.json", values)

    shown: list[tuple[str, str, Path]] = []

    def show(title: str, about: str, name: str, picture) -> None:
        file = out / name
        save = picture.save if isinstance(picture, Image.Image) else partial(picture.savefig, dpi=110)
        checkpoint.write_file(file, lambda temporary: save(temporary, format="png"))
        shown.append((title, about, file))

    test = some(data.test, 1000)
    generates, infers = model.generates, model.infers
    maximum = model.preprocess.pixels
    if maximum is not None:
        _images(model, test, maximum, seed, show)
    elif model.shape == (2,):
        points = some(data.test, 4000)
        seen, y = model.labels_of(points), points.y if len(points.labelled()) else None
        panels: dict[str, tuple[np.ndarray, np.ndarray | None]] = {"held-out x": (points.x, y)}
        if infers:
            panels["codes z_hat"] = (model.encode(points.x, seen, draw=True, seed=seed)[:, :2], y)
        if generates and infers:
            panels["reconstructions"] = (model.reconstruct(points.x, seen, draw=True, seed=seed), y)
        if generates:
            panels["samples"] = (model.sample(4000, seed=seed), None)
        show("In the plane", "Data, and what the run makes of it.", "plane.png", figures.plane(panels, len(model.classes)))
    if infers:
        seen, y = model.labels_of(test), test.y if len(test.labelled()) else None
        words_of = ", coloured by class." if seen is not None else ", coloured by class; it never saw a class."
        about = "Where the encoder puts held-out rows" + ("." if y is None else words_of)
        show("Latent space", about, "latent.png", figures.latent(model.encode(test.x, seen), y, model.classes))
    frames = sorted((run / "samples").glob("step-*.png"))
    if frames:
        pictures.animate(frames, out / "samples.gif")
        shown.append(("While it learned", "Samples from the same codes, from the first step to the last.", out / "samples.gif"))
    log = run / "log.jsonl"
    if log.exists():
        lines = checkpoint.read_log(log)
        show(
            "Learning curves", "What each player lost; in an adversarial game neither has to go down.", "curves.png", figures.curves(lines)
        )
    checkpoint.write_text(out / "report.html", _page(model, values, shown))
    return values


def _images(model: Model, test, maximum: float, seed: int, show) -> None:
    """Samples, reconstructions and interpolations of images, as far as the run can make them."""
    if not model.generates:
        return
    show("Samples", "New images: codes drawn from the prior, decoded.", "samples.png",
         pictures.grid(model.sample(100, seed=seed), maximum, 10, height=420))  # fmt: skip
    labels = [*model.classes[:12]] or [{name: 1} for name in model.attributes[:12]]
    if model.conditions and labels:
        x = np.stack([model.sample(8, y=label, seed=seed) for label in labels], 1)
        names = ", ".join((*model.classes[:12], *model.attributes[:12]))
        show("Labels", f"One code and a label for each column: {names}.", "labels.png",
             pictures.grid(x.reshape(-1, *x.shape[2:]), maximum, len(labels), height=420))  # fmt: skip
    if not model.infers:
        return
    shown = test.rows(np.random.default_rng(seed).permutation(len(test))[:60])
    x, y = shown.x, model.labels_of(shown)
    pairs = np.stack([x, model.reconstruct(x, y)], 1).reshape(-1, *x.shape[1:])
    show("Reconstructions", "Odd columns: images that training never saw. Even columns: what is left of them after encoding and decoding.",
         "reconstructions.png", pictures.grid(pairs, maximum, 12, height=420))  # fmt: skip
    half = min(8, len(x) // 2)
    if half:
        y1, y2 = (None, None) if y is None else (y[:half], y[half : 2 * half])
        walks = model.interpolate(x[:half], x[half : 2 * half], 9, y1=y1, y2=y2)
        lines = np.concatenate([x[:half, None], walks, x[half : 2 * half, None]], 1)
        show("Interpolations", "Left and right: two images that training never saw. Between: a straight walk from code to code, decoded.",
             "interpolations.png", pictures.grid(lines.reshape(-1, *x.shape[1:]), maximum, 11, height=420))  # fmt: skip


def _page(model: Model, values: dict[str, float], shown: list[tuple[str, str, Path]]) -> str:
    config = model.config
    title = f"{config['recipe']} on {config['dataset']}"
    rows = "".join(
        f"<tr><td>{html.escape(name)}</td><td class=n>{values[key]:{form}}</td><td class=w>{html.escape(about)}</td></tr>"
        for key, (name, form, about) in LINES.items()
        if key in values
    )
    sentences = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in words.verdict(values))
    arguments = "".join(
        f"<tr><td>{html.escape(key)}</td><td class=n>{html.escape(str(value))}</td></tr>" for key, value in config["arguments"].items()
    )
    sections = "".join(
        f"<section><h2>{html.escape(name)}</h2><p>{html.escape(about)}</p><img alt='{html.escape(name)}' src='{_inline(file)}'></section>"
        for name, about, file in shown
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title><style>
body {{ font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }}
h1 {{ margin-bottom: 0; }} h2 {{ margin: 0 0 .2rem; font-size: 1.15rem; }} p {{ margin: 0 0 .6rem; color: #555; }}
main {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(20rem, 1fr)); gap: 2rem; margin-top: 2rem; }}
img {{ max-width: 100%; image-rendering: pixelated; }} table {{ border-collapse: collapse; margin: 1rem 0; }}
td {{ padding: .2rem .8rem .2rem 0; border-bottom: 1px solid #eee; vertical-align: top; }}
.n {{ text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }}
.w {{ color: #777; }} details {{ margin-top: 2rem; }}
</style></head><body>
<h1>{html.escape(title)}</h1>
<p>{html.escape(f"{config['rows']} training rows, seed {config['seed']}, ali {config['ali']}, torch {config['torch']}")}</p>
<ul>{sentences}</ul>
<table>{rows}</table>
<main>{sections}</main>
<details><summary>Every argument of the recipe</summary><table>{arguments}</table></details>
</body></html>
"""


def _inline(file: Path) -> str:
    kind = "gif" if file.suffix == ".gif" else "png"
    return f"data:image/{kind};base64,{base64.b64encode(file.read_bytes()).decode()}"
