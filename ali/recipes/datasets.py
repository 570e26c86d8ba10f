"""The data sets by name, and what each changes about a recipe's defaults.

To add a data set: a function in ``ali/data/`` and an entry in ``DATASETS``. Everything that was resolved is stored with a run.
"""

from __future__ import annotations

__all__ = ["DATASETS", "PAPER", "Dataset", "defaults"]

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ali.errors import AliError
from ali.recipes.arguments import Recipe
from ali.recipes.run import Run

if TYPE_CHECKING:
    from ali.data.source import Data


MANY, FEW = 1000, 16  # rows and columns: with fewer rows, or more columns, networks that see fine structure learn rows by heart
PLENTY = 5000  # rows: from here on a decoder of more columns may have edges, too


@dataclass(frozen=True)
class Dataset:
    """A data set by name, and what it changes about a recipe's defaults.

    Arguments:
        about: one line for the command line.
        source: "module:function" below ``ali.data``; takes the path, if there is one, and returns ``Data``.
        needs: what PATH must be; empty for data that comes from an installed package or is generated.
        modern: arguments of the modern face.
        paper: arguments of the paper face, beside ``PAPER``.
        own: arguments of the modern face of one recipe, by its name.
        fine: the same, where there are many rows of few columns (:data:`MANY`, :data:`FEW`), so that fine structure can be learned.
        wide: the same, where there are plenty of rows (:data:`PLENTY`) of more columns than that.
    """

    about: str
    source: str
    needs: str = ""
    modern: dict[str, Any] = field(default_factory=dict)
    paper: dict[str, Any] = field(default_factory=dict)
    own: dict[str, dict[str, Any]] = field(default_factory=dict)
    fine: dict[str, dict[str, Any]] = field(default_factory=dict)
    wide: dict[str, dict[str, Any]] = field(default_factory=dict)

    def function(self) -> Callable[..., Any]:
        """The function that reads the data."""
        module, name = self.source.split(":")
        return getattr(import_module(f"ali.data.{module}"), name)

    def open(self, path: str | None = None, **options: Any) -> Data:
        """Read the data.

        Raises:
            AliError: it needs a path and has none, or what is there can not be read.
        """
        if self.needs and path is None:
            raise AliError(f"this data set needs a path: {self.needs}")
        if not self.needs and path is not None:
            raise AliError(f"{path}: this data set takes no path; to train on your own rows, take images or table")
        return self.function()(*([path] if self.needs else []), **options)


# What the authors' code does: Adam with constant rate, the non-saturating objective, nothing added to the losses, no average.
PAPER: dict[str, Any] = {
    "face": "paper", "objective": "nonsaturating", "penalty": 0.0, "penalty_end": None, "cycle": 0.0, "regression": 0.0,
    "candidates": 1, "information": 1.0, "information_continuous": 0.1,
    "lr": 1e-4, "beta1": 0.5, "beta2": 0.999, "batch_size": 100, "ema": 0.0,
}  # fmt: skip

FINE: dict[str, Any] = {"frequencies_x": (3, 6, 12, 25), "frequencies_z": (1, 2, 4, 8), "penalty_end": 0.005, "thin": 4}
# Higher frequencies cover clusters better still, and on curved sheets in 40 and 60 columns they take q(z) away from p(z).
WIDE: dict[str, Any] = {"frequencies_z": (1, 2), "penalty_end": 0.1}

DATASETS: dict[str, Dataset] = {
    "digits": Dataset(
        "scikit-learn's 1,797 handwritten digits, 8 x 8 grey; nothing is downloaded",
        "digits:digits",
        modern={"networks": "mlp", "latent": 16, "width": 256, "depth": 3, "lr": 2e-3, "beta1": 0.1, "epochs": 143},
        paper={"networks": "conv", "latent": 16, "width": 32, "epochs": 200},
        own={
            "ali": {
                "latent": 32, "cycle": 30.0, "regression": 0.0, "likelihood": 0.3, "contrast": 2.0, "neighbours": 0.5,
                "lr": 2.5e-3, "batch_size": 128, "thin": 16, "epochs": 280,
            },
            "semi_supervised": {"networks": "conv", "width": 32, "lr": 2e-3, "epochs": 50},
            "k_plus_one": {"networks": "conv", "width": 32, "lr": 2e-3, "epochs": 50},
            "supervised": {"networks": "conv", "width": 32, "lr": 1e-3, "epochs": 15},
        },
    ),
    "mixture": Dataset(
        "points in the plane from 25 Gaussians on a grid (or rings, or spirals), generated",
        "mixtures:mixture",
        modern={
            "networks": "mlp", "latent": 2, "width": 128, "depth": 3,
            "frequencies_x": (3, 6, 12, 25, 50), "frequencies_z": (1, 2, 4, 8, 16, 32), "penalty": 0.05, "penalty_end": 0.001, "thin": 4,
            "cycle": 1.0, "lr": 4e-3, "beta1": 0.1, "batch_size": 128, "hold": 0.3, "epochs": 16, "ema": 0.995,
        },
        paper={"networks": "mixture", "encoder": "implicit", "latent": 2, "beta1": 0.2, "epochs": 200},
    ),
    "mnist": Dataset(
        "MNIST, 28 x 28 grey",
        "official:mnist",
        needs="a folder with the four official idx files, also packed (.gz); or Parquet files, .npz with x_train and x_test, "
        "hub:ylecun/mnist",
        modern={
            "networks": "conv", "latent": 24, "width": 16, "penalty": 0.05, "lr": 2e-3, "epochs": 8,
        },
        own={
            "ali": {
                "networks": "compact", "latent": 48, "thin": 8, "cycle": 40.0, "contrast": 0.5, "copies": False,
                "lr": 3e-3, "beta1": 0.1, "epochs": 10,
            }
        },
        paper={"networks": "conv", "latent": 64, "width": 32, "epochs": 100},
    ),
    "cifar10": Dataset(
        "CIFAR-10, 32 x 32 colour (Table 3)",
        "official:cifar10",
        needs="the official folder cifar-10-batches-py or cifar-10-batches-bin, or the one around it; or Parquet "
        "files, .npz, hub:uoft-cs/cifar10",
        modern={"latent": 64, "width": 64, "batch_size": 100, "epochs": 100},
        paper={"networks": "cifar10", "latent": 64, "epochs": 6475},
    ),
    "svhn": Dataset(
        "SVHN, 32 x 32 colour (Table 4)",
        "official:svhn",
        needs="a folder with the official test_32x32.mat and extra_32x32.mat, train_32x32.mat or both; or Parquet "
        "files, .npz, hub:ufldl-stanford/svhn",
        modern={"latent": 64, "width": 64, "batch_size": 100, "epochs": 50},
        paper={"networks": "svhn", "latent": 256, "epochs": 100},
    ),
    # Of 178 x 218 pixels, the square in the centre is the authors' crop (rows 7 to 71 of 64 x 78) to half a pixel.
    "celeba": Dataset(
        "CelebA, 64 x 64 colour (Table 5)",
        "official:celeba",
        needs="a folder with the official img_align_celeba, list_eval_partition.txt and list_attr_celeba.txt; or pictures, Parquet "
        "files, .npz, hub:flwrlabs/celeba",
        modern={"latent": 128, "width": 64, "batch_size": 100, "epochs": 50},
        paper={"networks": "celeba", "latent": 256, "embedding": 256, "epochs": 123},
    ),
    "tiny_imagenet": Dataset(
        "ImageNet centre-cropped at 64 x 64 colour (Table 6)",
        "official:imagenet",
        needs="ILSVRC's folder with train and val; or pictures, Parquet files, .npz, hub:zh-plus/tiny-imagenet",
        modern={"latent": 128, "width": 64, "batch_size": 100, "epochs": 50},
        paper={"networks": "tiny_imagenet", "latent": 256, "batch_size": 128, "epochs": 125},
    ),
    "images": Dataset(
        "your own images, of any size, grey or colour",
        "images:images",
        needs="a folder of pictures, of Parquet files in the Hugging Face image convention, or of .tar archives; an .npy or .npz array "
        "(n, height, width[, 3]); or hub:owner/name",
        own={"ali": {"lr": 2e-3, "beta1": 0.1, "thin": 4}},  # docs/recipe_images.md
    ),
    "table": Dataset(
        "your own table: numbers, categories, booleans, missing cells",
        "tables:table",
        needs="a .csv or .parquet file, or an .npy or .npz array (n, columns)",
        modern={"networks": "mlp", "latent": 8, "width": 128, "depth": 3, "batch_size": 128, "lr": 2e-3},
        # More than images need: with .1, ALI lost modes of mixtures in 30 and 100 columns.
        own={"ali": {"penalty": 0.5}, "bigan": {"penalty": 0.5}},
        fine={"ali": FINE, "bigan": FINE},
        wide={"ali": WIDE, "bigan": WIDE},
        paper={"networks": "mlp", "latent": 8, "width": 128, "depth": 3},
    ),
}  # fmt: skip


def defaults(recipe: Callable[..., Run], dataset: str, face: str, shape: tuple[int, ...] = ()) -> dict[str, Any]:
    """The arguments that a recipe takes for a data set when nothing is said.

    Arguments:
        recipe: or anybody's own function.
        dataset: a name in :data:`DATASETS`.
        face: "modern" or "paper".
        shape: of the training rows, (n, ...), where they are known.

    The recipe's own, then what the face and the data set change, then what the game needs whatever the data, then what the data set
    changes about this recipe alone. A recipe that is made of other parts than this package's keeps its own.
    """
    known = {name: p.default for name, p in inspect.signature(recipe).parameters.items() if p.default is not p.empty}
    entry = DATASETS[dataset] if isinstance(recipe, Recipe) else Dataset("", "")
    changed = recipe.changed if isinstance(recipe, Recipe) else {}
    own = entry.own.get(recipe.__name__, {})
    if len(shape) == 2:
        rows, columns = shape
        suits = entry.fine if columns <= FEW and rows >= MANY else entry.wide if columns > FEW and rows >= PLENTY else {}
        own = own | suits.get(recipe.__name__, {})
    chosen = known | (PAPER | entry.paper if face == "paper" else entry.modern | changed | own)
    if len(shape) == 2 and face == "modern" and "latent" in chosen and isinstance(recipe, Recipe):
        chosen["latent"] = min(chosen["latent"], shape[1])  # q(z) of fewer numbers than z has can not match p(z)
    return {name: value for name, value in chosen.items() if name in known}
