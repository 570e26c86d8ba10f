"""Arguments and flags that the verbs share: their types, and their help."""

from __future__ import annotations

__all__ = [
    "AtLevel",
    "Attributes",
    "Candidates",
    "Codes",
    "Count",
    "Direction",
    "Draw",
    "Edited",
    "Fixed",
    "Folder",
    "How",
    "Label",
    "Labels",
    "Moved",
    "NewAttributes",
    "NewLabel",
    "Out",
    "Pairs",
    "Recipe",
    "Report",
    "Rows",
    "Run",
    "Seed",
    "Steps",
    "Strengths",
    "Told",
]

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

ROWS = "Rows in the run's own units: .npy; images also pictures or a folder; numbers also .csv or .parquet. Default: its held-out rows."
Run = Annotated[
    Path,
    Parameter(
        help="Run folder, as `ali train` wrote it; or digits, mnist: ready models that come with ali, where no folder has that name."
    ),
]
Rows = Annotated[Path | None, Parameter(help=ROWS)]
Codes = Annotated[Path, Parameter(help="Codes: .csv, .parquet or .npy, as `ali encode` writes them.")]
Out = Annotated[Path, Parameter(help="Where to write.")]
Folder = Annotated[Path, Parameter(help="Folder to write; it must not exist, or be empty.")]
Seed = Annotated[int | None, Parameter(help="Seed, for the same numbers again.")]
Count = Annotated[int, Parameter(help="How many rows.")]
Pairs = Annotated[int | None, Parameter(help="Pairs: row 0 with row n, row 1 with row n + 1, ... Default: 8, or as many as there are.")]
Draw = Annotated[bool, Parameter(help="Sample q(z | x) instead of taking its mean.")]
Steps = Annotated[int, Parameter(help="Points of each walk, both ends among them.")]
How = Annotated[Literal["linear", "spherical"], Parameter(help="Along a straight line, or along the sphere.")]
Label = Annotated[str | None, Parameter(help="Class of all rows, of a run that learned classes (recipe conditional).")]
Attributes = Annotated[str | None, Parameter(help="Attributes of all rows, of a run that learned some: smiling=1,blond=0.")]
LABELS = "Labels of your ROWS, one line each: .csv, .parquet (a column label, or one for each attribute) or .npy."
Labels = Annotated[Path | None, Parameter(help=LABELS)]
Strengths = Annotated[
    str | None, Parameter(help="Steps along the direction, lo:hi:n; 1 leads from without to with.", allow_leading_hyphen=True)
]
Edited = Annotated[int | None, Parameter(help="How many rows of a picture. Default: 60, along a direction 8.")]
NewLabel = Annotated[str | None, Parameter(help="Class to change into, of a conditional run.")]
NewAttributes = Annotated[str | None, Parameter(help="Attributes to change, of a conditional run: smiling=1,blond=0; the others stay.")]
Direction = Annotated[str | None, Parameter(help="Class or attribute of the run's training rows: from those without to those with.")]
Told = Annotated[Literal["mean", "classifier"], Parameter(help="Between the means of codes, or across a linear classifier's border.")]
AtLevel = Annotated[int | None, Parameter(help="Of a hierarchical run: 1 (nearest to the data) up to the top, which is the default.")]
Fixed = Annotated[int | None, Parameter(help="Of a hierarchical run: all rows share one code of this level, and those above it.")]
CANDIDATES = "Codes drawn for each row (1 to 1,000), of which the discriminator chooses one; 1: no choice. Default: as the run was trained."
Candidates = Annotated[int | None, Parameter(help=CANDIDATES)]
Moved = Annotated[str | None, Parameter(help="Where the run's data is now, if it has moved.")]
Recipe = Annotated[str | None, Parameter(help="FILE.py:FUNCTION that made the run, if it is a recipe of your own.")]
Report = Annotated[Path | None, Parameter(help="Where to write. Default: the run folder.")]
