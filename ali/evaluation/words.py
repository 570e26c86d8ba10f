"""What the numbers of an evaluation mean, in sentences: values in, sentences out."""

from __future__ import annotations

__all__ = ["verdict"]

import math


def verdict(values: dict[str, float]) -> list[str]:
    """Say how good a run is, and which simpler tool does better where one does.

    Thresholds: reconstructions win or lose against PCA, and samples against a fitted normal law, by more than 5 % of the
    better number. Samples are hard to tell from data up to a 1-NN accuracy of 0.55, and easily told from 0.75 on; below 0.4
    they copy it. They leave something out, or lie beside the data, where recall or precision is below 80 % of what real rows
    get. q(z) matches p(z) up to 1.5 times the floor, nearly up to 3 times. Samples are close to training rows where they
    lie nearer than 0.8 times what unseen rows do, suspiciously close below 0.5. Columns are right up to 0.05 above
    the floor, wrong from 0.15 above it on, and nothing is said of them where the floor itself is above 0.15. Of empty
    cells a column may have half or twice as many. Nothing wins whose
    samples are easily told from data. Below 100 held-out rows all numbers are rough, and samples are not praised. Models taught
    by samples reach nearly what real rows teach from 90 % on, and too little below 50 %. Features differ by more than one
    percentage point, and by more than half of 1 / sqrt(n) for n labelled held-out rows; with less than 30 of these nothing is said
    of them.

    Arguments:
        values: as :func:`ali.evaluation.evaluate` returns them; what is absent is not spoken of.
    """
    parts = (_rows, _reconstruction, _samples, _prior, _memorisation, _table, _classification)
    return [sentence for part in parts for sentence in part(values)]


def _rows(v: dict[str, float]) -> list[str]:
    if v.get("held_out", 100) >= 100:
        return []
    return [f"Only {v['held_out']:.0f} rows are held out: all of this is rough. A larger --hold-out, or more rows, would make it firmer."]


def _reconstruction(v: dict[str, float]) -> list[str]:
    if "mse_share" not in v:
        return []
    start = f"Reconstruction: the error is {v['mse_share']:.1%} of the variance"
    if "pca_share" not in v:
        return [f"{start}."]
    start += f"; PCA with {v['pca_components']:.0f} components leaves {v['pca_share']:.1%}"
    if v["mse_share"] < 0.95 * v["pca_share"]:
        return [f"{start}: this run wins."]
    if v["pca_share"] < 0.95 * v["mse_share"]:
        return [f"{start}: PCA wins. Use it if reconstruction is all you need."]
    return [f"{start}: no difference."]


def _samples(v: dict[str, float]) -> list[str]:
    said = []
    few = v.get("held_out", 100) < 100  # too few to vouch for anything; what they hold against samples stands
    if "two_sample" in v:
        accuracy = v["two_sample"]
        if accuracy < 0.4:
            words = "they sit on held-out rows like copies"
        elif accuracy <= 0.55 and few:
            words = "not told apart, but by so few held-out rows that little follows"
        elif accuracy <= 0.55:
            words = "hard to tell apart from held-out rows"
            if v.get("recall", 1.0) < 0.8 * v.get("recall_ceiling", 0.0):
                words += " by their neighbours, but see recall"
        else:
            words = "easily told apart from held-out rows" if accuracy >= 0.75 else "sometimes told apart from held-out rows"
        said.append(f"Samples: {words} (1-NN accuracy {accuracy:.2f}; 0.5 is perfect).")
    if "frechet" in v:
        line = f"In {_space(v)} their Frechet distance to held-out rows is {v['frechet']:.3g} (of as many training rows: "
        line += f"{v['frechet_floor']:.3g}), their kernel distance {v['kernel']:.2g} ({v['kernel_floor']:.2g})."
        said.append(line)
    if "precision" in v:
        beside, lacking = (v[name] < 0.8 * v[f"{name}_ceiling"] for name in ("precision", "recall"))
        told = v.get("two_sample", 0.5) >= 0.75
        fault = " and ".join(["many lie beside the data"] * beside + ["much of its variety is missing"] * lacking)
        line = f"Precision {v['precision']:.2f} (training rows: {v['precision_ceiling']:.2f}), "
        fault = fault or ("not what gives them away" if told else "no fault is seen" if few else "like the data, and as varied")
        line += f"recall {v['recall']:.2f} ({v['recall_ceiling']:.2f}): {fault}."
        said.append(line)
    if "coverage_gaussian" in v:
        ours, simple = v["coverage"], v["coverage_gaussian"]
        start = f"They come near {ours:.0%} of the held-out rows; those of a fitted normal law near {simple:.0%}"
        if simple > 1.05 * ours:
            said.append(f"{start}: the normal law wins. It is simpler and covers this data better.")
        else:
            words = "this run wins" if ours > 1.05 * simple else "no difference"
            words = "more, but easily told from data" if ours > 1.05 * simple and v.get("two_sample", 0.5) >= 0.75 else words
            said.append(f"{start}: {words}.")
    return said


def _space(v: dict[str, float]) -> str:
    """The name of the space in which distances were measured."""
    if "pixel_components" in v:
        return f"PCA-{v['pixel_components']:.0f} of pixels"
    return "the network's scale" if "marginals" in v else "units of standard deviations"


def _prior(v: dict[str, float]) -> list[str]:
    if "q_z" not in v:
        return []
    numbers = f"(distance {v['q_z']:.3f}; of draws from p(z) itself {v['q_z_floor']:.3f})"
    if v["q_z"] <= 1.5 * v["q_z_floor"]:
        return [f"Codes: q(z) matches p(z) {numbers}."]
    if v["q_z"] <= 3 * v["q_z_floor"]:
        return [f"Codes: q(z) nearly matches p(z) {numbers}."]
    harm = ": samples come from codes unlike those of the data" if "two_sample" in v else ""
    return [f"Codes: q(z) does not match p(z) {numbers}{harm}."]


def _memorisation(v: dict[str, float]) -> list[str]:
    if "memorisation" not in v:
        return []
    start = f"Memorisation: samples lie {v['memorisation']:.2f} times as far from their nearest training row as unseen rows do"
    if v["memorisation"] < 0.5:
        return [f"WARNING. {start}: look for copies of training rows before you share samples."]
    if v["memorisation"] < 0.8:
        return [f"{start}: close; they are copies of some, or smoother than the data."]
    return [f"{start}: no sign of copies."]


def _table(v: dict[str, float]) -> list[str]:
    said = []
    if "marginals" in v:
        over = v["marginals"] - v["marginals_floor"]
        words = "right" if over <= 0.05 else "wrong" if over > 0.15 else "nearly right"
        words = "too few rows to tell" if v["marginals_floor"] > 0.15 and over <= 0.15 else words
        line = f"Columns: {words}; their distributions are off by {v['marginals']:.3f} on average, {v['marginals_worst']:.3f} at worst "
        line += f"(training rows: {v['marginals_floor']:.3f} on average; 1 is worst)"
        if "correlations" in v:
            line += f", correlations by {v['correlations']:.3f} ({v['correlations_floor']:.3f})"
        said.append(f"{line}.")
    if wrong := v.get("empty_wrong"):
        said.append(
            f"In {wrong:.0f} of the columns cells of samples are empty less than half or more than twice as often as they ought to be; "
            f"of all cells {v['empty_samples']:.1%} are, of training rows {v['empty']:.1%}."
        )
    if lost := v.get("lost_categories"):
        said.append(f"Samples never have {lost:.0f} of the categories that they ought to have at least ten times.")
    if "tstr_ratio" in v:
        ratio = v["tstr_ratio"]
        words = "samples can nearly replace rows" if ratio >= 0.9 else "use real rows where you can"
        words = "do not train on these samples" if ratio < 0.5 else words
        said.append(
            f"Training on samples: a forest scores {v['tstr']:.2f} on held-out rows; taught by real rows {v['trtr']:.2f} "
            f"(0 is guessing, 1 perfect): {words}."
        )
    return said


def _classification(v: dict[str, float]) -> list[str]:
    said = [f"Classifier: right on {v['accuracy']:.1%} of {v['held_out_labelled']:.0f} held-out rows."] if "accuracy" in v else []
    if "nn_codes" not in v:
        return said
    if v.get("held_out_labelled", 30) < 30:
        return [*said, f"Only {v['held_out_labelled']:.0f} held-out rows have a class: what codes are good for can not be told."]
    raw, codes = v["nn_pixels"], v["nn_codes"]
    numbers = f"(1-NN on all labelled training rows: {raw:.1%} on raw rows, {codes:.1%} on codes)"
    margin = max(0.01, 0.5 / math.sqrt(v.get("held_out_labelled", math.inf)))  # a share of n rows has no larger standard error
    if raw > codes + margin:
        return [*said, f"For classification, raw rows are better features here {numbers}."]
    if codes > raw + margin:
        return [*said, f"For classification, codes are better features here {numbers}."]
    return [*said, f"For classification, codes are as good as raw rows here {numbers}."]
