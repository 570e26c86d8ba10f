"""Recipes: functions from hyperparameters to a game that is ready to be played.

The only place where data, networks, game and optimiser meet. A recipe is ``f(spec, **arguments) -> Run``: its signature
is the configuration and the command line, its arguments are plain JSON values. ``spec`` is what the data dictates; it is
resolved from the data once and stored with the run, so that loading a run never opens data.

Every recipe has two faces: ``paper`` reproduces 2016, ``modern`` is what a user should take. A recipe's own defaults are
modern; what a face or a data set changes about them is said in ``PAPER`` and ``DATASETS`` (datasets.py).

To add a recipe: a function in a file here (parts.py has what it is made of, arguments.py what all share), and its line in ``RECIPES``.
"""

from collections.abc import Callable

from ali.recipes.anomaly import alad, egbad
from ali.recipes.arguments import Recipe as Recipe
from ali.recipes.arguments import recipe as recipe
from ali.recipes.arguments import shared as shared
from ali.recipes.autoencoding import aae, vae, vae_gan
from ali.recipes.bidirectional import ali, bigan
from ali.recipes.conditional import conditional
from ali.recipes.datasets import DATASETS as DATASETS
from ali.recipes.datasets import PAPER as PAPER
from ali.recipes.datasets import Dataset as Dataset
from ali.recipes.datasets import defaults as defaults
from ali.recipes.encoders import latent_regressor, post_hoc
from ali.recipes.generative import dcgan, gan
from ali.recipes.hierarchical import hali
from ali.recipes.infogan import infogan
from ali.recipes.labelled import k_plus_one, semi_supervised, supervised
from ali.recipes.parts import TABLES as TABLES
from ali.recipes.parts import Parts as Parts
from ali.recipes.run import Run as Run
from ali.recipes.run import Spec as Spec
from ali.recipes.successors import alice, bigbigan

RECIPES: dict[str, Callable[..., Run]] = {
    "ali": ali,
    "bigan": bigan,
    "vae": vae,
    "aae": aae,
    "vae_gan": vae_gan,
    "infogan": infogan,
    "conditional": conditional,
    "alice": alice,
    "bigbigan": bigbigan,
    "egbad": egbad,
    "alad": alad,
    "k_plus_one": k_plus_one,
    "semi_supervised": semi_supervised,
    "supervised": supervised,
    "gan": gan,
    "dcgan": dcgan,
    "latent_regressor": latent_regressor,
    "post_hoc": post_hoc,
    "hali": hali,
}
