"""Models that generate and infer: adversarially learned inference and its family.

    import ali

    model = ali.Model.train("digits", out="runs/digits")     # or ali.load("runs/digits")
    x = model.sample(16)
    z = model.encode(x)

Nothing happens at import: torch is loaded when the first of these names is used.
"""

__version__ = "0.1.0"
__all__ = ["AliError", "Data", "Model", "Source", "evaluate", "load", "p_values"]

import importlib
from typing import TYPE_CHECKING, Any

from ali.errors import AliError

if TYPE_CHECKING:
    from ali.data.source import Data, Source
    from ali.evaluation import evaluate
    from ali.evaluation.metrics import p_values
    from ali.model import Model, load

_HOME = {"Data": "ali.data.source", "Source": "ali.data.source", "Model": "ali.model", "evaluate": "ali.evaluation", "load": "ali.model"}
_HOME |= {"p_values": "ali.evaluation.metrics"}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'ali' has no attribute {name!r}")
