"""What a recipe is: a function of :class:`Parts` and of its own arguments, to which those that all recipes share are added.

Signatures are read by the command line, so nothing here imports torch.
"""

from __future__ import annotations

__all__ = ["SHARED", "Recipe", "check_arguments", "fixed", "recipe", "shared"]

import functools
import inspect
from collections.abc import Callable, Sequence
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from ali.errors import AliError
from ali.recipes.parts import Parts
from ali.recipes.run import Face, Run, Spec


def shared(
    *,
    face: Face = "modern",
    networks: Literal["mlp", "conv", "compact", "residual", "mixture", "cifar10", "svhn", "celeba", "tiny_imagenet", "dcgan"] = "conv",
    latent: int = 32,
    width: int = 32,
    depth: int = 2,
    frequencies_x: Sequence[float] = (),
    frequencies_z: Sequence[float] = (),
    augment: str = "",
    lr: float = 1e-3,
    beta1: float = 0.5,
    beta2: float = 0.99,
    batch_size: int = 64,
    epochs: int = 50,
    ema: float = 0.998,
    scale: float = 1.0,
    weight_norm: bool = False,
    hold: float = 0.5,
) -> None:
    """The arguments that every recipe takes.

    Arguments:
        face: manner of the networks: "paper" (batch normalisation, dropout in D, weights N(0, sigma^2), constant learning
            rate) or "modern" (no normalisation, He initialisation times 0.6, learning rate decayed after ``hold``).
        networks: "mlp" fits any data, "conv", "compact" (wide next to the code, for small grey images) and "residual" (deeper; lr is
            5e-4 by default then) any square images; the others are the paper's Tables 3 to 6, its mixture networks, and DCGAN's (no
            encoder).
        latent: dimension of z.
        width: units per layer (mlp), or maps of the first layer (conv, compact, residual).
        depth: hidden layers (mlp).
        frequencies_x: Fourier features of x in encoder and D (mlp), radians per standard deviation.
        frequencies_z: Fourier features of z in the decoder (mlp), radians per unit.
        augment: how D sees images while it learns, data and samples alike, to keep it from learning few rows by heart: any of
            colour, translation, cutout and flip, separated by commas.
        lr: Adam's learning rate, per step.
        beta1: Adam's momentum, in [0, 1).
        beta2: Adam's memory of squared gradients, in [0, 1).
        batch_size: rows per step.
        epochs: passes over the training rows.
        ema: decay of the moving average of the weights, per step; 0 for none.
        scale: factor on the standard deviation of the initial weights.
        weight_norm: units with a direction and a length, learned apart (mlp, modern face): then neither scale nor lr nor beta1
            matter much. lr is that of the directions, and is warmed up.
        hold: share of the training at the full learning rate, before half a cosine down to 1 % (modern face).
    """


SHARED = {name: p.default for name, p in inspect.signature(shared).parameters.items()}


class Recipe:
    """A function from hyperparameters to a game that is ready to be played: ``recipe(spec, **arguments) -> Run``.

    Arguments:
        function: takes :class:`Parts` and its own arguments, all by name and with defaults.
        changed: defaults of the modern face, its own or shared ones, which no data set changes.
        said: arguments that are said already, and are none any more.
    """

    def __init__(self, function: Callable[..., Run], changed: dict[str, Any], said: dict[str, Any]):
        functools.update_wrapper(self, function)
        self.__name__: str = function.__name__
        self.function, self.changed, self.said = function, changed, said
        own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
        common = list(inspect.signature(shared, eval_str=True).parameters.values())
        parameters = {p.name: p for p in (*common[:2], *own, *common[2:]) if p.name not in said}
        known = [p.replace(default=changed.get(name, p.default)) for name, p in parameters.items()]
        first = inspect.Parameter("spec", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Spec)
        self.__signature__ = inspect.Signature([first, *known], return_annotation=Run)
        self.defaults = {p.name: p.default for p in known}

    def __call__(self, spec: Spec, **arguments: Any) -> Run:
        for name in arguments:
            if name not in self.defaults:
                raise TypeError(f"{self.__name__} has no argument {name!r}")
        given = self.defaults | arguments | self.said
        parts = Parts(spec, {name: given[name] for name in SHARED})
        return self.function(parts, **{name: value for name, value in given.items() if name not in SHARED})


def recipe(*, said: dict[str, Any] | None = None, **changed: Any) -> Callable[[Callable[..., Run]], Recipe]:
    """Make a recipe of a function of :class:`Parts`: the shared arguments are added to its own.

    Arguments:
        said: shared arguments that this game settles.
        changed: defaults of the modern face for this game, whatever the data.
    """
    return lambda function: Recipe(function, changed, said or {})


def fixed(name: str, about: str, of: Recipe, **said: Any) -> Recipe:
    """A recipe that is another one with some of its arguments said.

    Arguments:
        name, about: its name, and the first line of its documentation.
        of: the other one.
        said: the arguments.
    """
    made = Recipe(of.function, of.changed, of.said | said)
    _, line, rest = (of.__doc__ or "").partition("\n")
    made.__name__, made.__doc__ = name, about + line + rest
    return made


def check_arguments(name: str, recipe: Callable[..., Any], arguments: dict[str, Any]) -> None:
    """Hold arguments against the types in a recipe's signature.

    Raises:
        AliError: names the argument and what it may be.
    """
    for key, parameter in inspect.signature(recipe, eval_str=True).parameters.items():
        kind = parameter.annotation
        if key in arguments and kind is not parameter.empty and not _is_a(arguments[key], kind):
            allowed = ", ".join(map(str, get_args(kind))) if get_origin(kind) is Literal else getattr(kind, "__name__", str(kind))
            raise AliError(f"{name}: {key} must be {'one of ' if get_origin(kind) is Literal else ''}{allowed}, got {arguments[key]!r}")


def _is_a(value: Any, kind: Any) -> bool:
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    if get_origin(kind) in (Union, UnionType):
        return any(_is_a(value, option) for option in get_args(kind))
    if get_origin(kind) in (Sequence, tuple, list):
        return isinstance(value, Sequence) and not isinstance(value, str) and all(_is_a(item, get_args(kind)[0]) for item in value)
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return not isinstance(kind, type) or isinstance(value, kind)
