"""Recipes: functions from hyperparameters to a game that is ready to be played.

The only place where data, networks, game and optimiser meet. A recipe is ``f(spec, **arguments) -> Run``: its signature
is the configuration and the command line, its arguments are plain JSON values. ``spec`` is what the data dictates; it is
resolved from the data once and stored with the run, so that loading a run never opens data.

Every recipe has two faces: ``paper`` reproduces 2016, ``modern`` is what a user should take. A recipe's own defaults are
modern; what a face or a data set changes about them is said in ``PAPER`` and ``DATASETS`` (datasets.py).

To add a recipe: a function in a file here (parts.py has what it is made of), and its line in ``RECIPES``.
"""

from collections.abc import Callable

from ali.recipes.bidirectional import ali, bigan
from ali.recipes.datasets import DATASETS as DATASETS
from ali.recipes.datasets import PAPER as PAPER
from ali.recipes.datasets import Dataset as Dataset
from ali.recipes.datasets import defaults as defaults
from ali.recipes.hierarchical import hali
from ali.recipes.parts import TABLES as TABLES
from ali.recipes.parts import Parts as Parts
from ali.recipes.parts import Recipe as Recipe
from ali.recipes.parts import recipe as recipe
from ali.recipes.parts import shared as shared
from ali.recipes.run import Run as Run
from ali.recipes.run import Spec as Spec

RECIPES: dict[str, Callable[..., Run]] = {
    "ali": ali,
    "bigan": bigan,
    "hali": hali,
}
