"""Runs that begin with another run's decoder: what is kept of the parent, and how its decoder comes into the new game.

A run embeds its parent: recipe, spec and arguments stand in its own ``config.json``, the frozen weights in its own files. The
parent's folder is opened once, when training begins (:func:`embedded`, :func:`pour`), and by nothing that a recipe or loading calls.
"""

from __future__ import annotations

__all__ = ["embedded", "frozen_decoder", "inherited", "latent", "pour", "settled"]

from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ali.errors import AliError
from ali.recipes.parts import Parts
from ali.recipes.run import Spec

if TYPE_CHECKING:
    import numpy as np

    from ali.distributions import StandardNormal
    from ali.networks import Frozen
    from ali.preprocess import Preprocess


def embedded(folder: Path) -> dict[str, Any]:
    """What rebuilding the networks of a run takes, and those of its own parent, if it has one.

    Raises:
        AliError: no run folder, or a run that can not be embedded.
    """
    from ali import checkpoint

    if not folder.is_dir():
        raise AliError(f"parent: {folder}: no such run folder")
    config = checkpoint.read_json(folder / "config.json")
    kept = {key: config.get(key) for key in ("recipe", "spec", "arguments")}
    if not (isinstance(kept["recipe"], str) and isinstance(kept["spec"], dict) and isinstance(kept["arguments"], dict)):
        raise AliError(f"parent: {folder}: its config.json is not one that this version of ali can read")
    if not (folder / "model.safetensors").exists():
        raise AliError(f"parent: {folder}: has no weights yet; go on with `ali train --resume {folder}`")
    _rebuilt(kept)
    return kept


def latent(parent: dict[str, Any]) -> int:
    """Dimension of the z that a parent's decoder takes."""
    return _rebuilt(parent)[1].dim


def frozen_decoder(parts: Parts, parent: Any, recipe: str) -> tuple[Parts, Frozen, StandardNormal]:
    """The decoder of a parent, built but not yet filled, its prior, and networks for codes of its dimension.

    Arguments:
        parts: networks for this data.
        parent: what :func:`embedded` returned.
        recipe: name of the recipe that asks, for messages.

    Raises:
        AliError: no parent, or one that does not fit this data.
    """
    if not parent:
        raise AliError(f"{recipe} learns beside the decoder of a finished run: give its folder as parent (--parent RUN)")
    if not isinstance(parent, dict):
        raise AliError(f"{recipe}: parent is a folder only where training begins; here it is what config.json embeds of it, got {parent!r}")
    frozen, prior = _rebuilt(parent)
    if tuple(parent["spec"]["shape"]) != parts.spec.shape:
        raise AliError(f"{recipe}: the parent's rows have shape {tuple(parent['spec']['shape'])}, these {parts.spec.shape}")
    return replace(parts, given=parts.given | {"latent": prior.dim}), frozen, prior


def pour(folder: Path, game: Any) -> None:
    """Fill the frozen decoder of a new game with the weights of the run that it belongs to.

    Raises:
        AliError: the game has no frozen decoder.
    """
    from ali.networks import Frozen

    if not isinstance(getattr(game, "decoder", None), Frozen):
        raise AliError("parent: this recipe's game has no frozen decoder (ali.networks.Frozen) to fill")
    frozen, _ = _rebuilt(embedded(folder), folder / "model.safetensors")
    game.decoder.load_state_dict(frozen.state_dict())


def _rebuilt(parent: dict[str, Any], weights: Path | None = None) -> tuple[Frozen, StandardNormal]:
    """A parent's decoder and prior, by this package's own recipe; with weights poured in, if there is a file of them."""
    from ali import checkpoint, ready
    from ali.games.game import Generates
    from ali.networks import Conditional, Frozen
    from ali.recipes import RECIPES

    name = parent["recipe"]
    if name not in RECIPES:
        raise AliError(f"parent: it was made by {name!r}, and only runs of this package's own recipes can be embedded in another")
    run = RECIPES[name](Spec.from_json(parent["spec"]), **parent["arguments"])
    game: Any = run.game
    decoder, prior = getattr(game, "decoder", None), getattr(game, "prior", None)
    if not isinstance(game, Generates):
        raise AliError(f"parent: a run of {name} has no decoder")
    if len(signature(game.decode).parameters) > 1:
        raise AliError(
            f"parent: the decoder of {name} takes more than z (labels, or levels); an encoder can be learned after one that needs z alone"
        )
    if not isinstance(decoder, Conditional) or prior is None:
        raise AliError(f"parent: the decoder of {name} is not one network that could be taken out of its game")
    if weights is not None:
        checkpoint.read_weights(weights, run.game, ready.parts(checkpoint.read_json(weights.with_name("config.json"))))
    return decoder if isinstance(decoder, Frozen) else Frozen(decoder), prior


def settled(parent: Any, given: dict[str, Any]) -> dict[str, Any]:
    """The arguments that a parent settles: itself, as ``config.json`` embeds it, and the latent dimension."""
    if not isinstance(parent, str):
        raise AliError(f"parent must be the folder of a finished run, got {type(parent).__name__}")
    known = embedded(Path(parent))
    size = latent(known)
    if given.get("latent", size) != size:
        raise AliError(f"latent is that of the parent's decoder, {size}: leave it out, got {given['latent']}")
    return {"parent": known, "latent": size}


def inherited(parent: Path, ours: Preprocess, rows: np.ndarray) -> Preprocess:
    """The parent's map between data and networks, which its decoder was trained with; refused where it is for other data."""
    import numpy as np
    import torch

    from ali import checkpoint, preprocess

    theirs = preprocess.from_json(checkpoint.read_json(parent / "preprocess.json"))
    for what in ("shape", "columns", "pixels"):
        known, found = getattr(theirs, what), getattr(ours, what)
        if known != found:
            name = {"shape": "shape of the rows", "columns": "columns", "pixels": "brightest pixel"}[what]
            if what == "columns":
                known, found = (", ".join(f"{column.name} ({column.kind})" for column in columns) for columns in (known, found))
            raise AliError(f"{parent}: was trained on other data than this: its {name}: {known}, here: {found}")
    if ours.pixels is None:
        x = torch.from_numpy(np.require(rows, requirements=["C", "W"]))
        here, there = ours.forward(x), theirs.forward(x)
        strange = (there.std(0) < 0.2 * here.std(0)) | (there.std(0) > 5 * here.std(0)) | ((there - here).mean(0).abs() > 3)
        if strange.any():
            raise AliError(
                f"{parent}: was trained on rows in other units or of another kind: {int(strange.sum())} of the {len(strange)} numbers that "
                "its networks see of a row lie elsewhere here"
            )
    return theirs
