"""Ready models: small run folders that come with the package, found by name wherever a run is expected.

``ali sample digits`` works before anything was trained. A folder of that name where the command is typed comes first.
``python -m experiments.ready NAME RUN`` makes one of a finished run: encoder and decoder alone, their weights in half precision.
"""

from __future__ import annotations

__all__ = ["found", "names", "parts"]

from pathlib import Path
from typing import Any

from ali.errors import AliError

HERE = Path(__file__).parent


def names() -> list[str]:
    """The models that come with the package."""
    return sorted(config.parent.name for config in HERE.glob("*/config.json"))


def found(run: str | Path) -> Path:
    """The folder of a run: itself, or the ready model of that name where nothing else has it.

    Arguments:
        run: a folder, or a name of :func:`names`.
    """
    folder = Path(run)
    return HERE / folder if not folder.exists() and str(folder) in names() else folder


def parts(config: dict[str, Any]) -> tuple[str, ...]:
    """The parts of its game that a run folder holds; empty: all of them.

    Raises:
        AliError: the config is broken.
    """
    kept = config.get("parts", [])
    if not isinstance(kept, list) or not all(isinstance(part, str) for part in kept):
        raise AliError(f"config.json: parts must be a list of names, got {kept!r}")
    return tuple(kept)
