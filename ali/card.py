"""The model card: what Hugging Face shows of a run folder."""

from __future__ import annotations

__all__ = ["card"]

from typing import Any

from ali.games.game import Generates, Infers


def card(config: dict[str, Any], game: Any) -> str:
    """The model card of a run.

    Arguments:
        config: what ``config.json`` holds.
        game: its game; only what it can do matters.
    """
    shown = {name: value["recipe"] if isinstance(value, dict) else value for name, value in config["arguments"].items()}
    rows = "\n".join(f"| {name} | {value} |" for name, value in shown.items())
    parts = {
        ("decoder", "that turns codes z into data x", "x = model.sample(16)"): isinstance(game, Generates),
        ("encoder", "that turns x into z", "z = model.encode(x)"): isinstance(game, Infers),
    }
    known = [part for part, there in parts.items() if there]
    about = " and ".join(f"{'an' if name == 'encoder' else 'a'} {name} {does}" for name, does, _ in known) or "a game"
    lines = "\n".join(line for *_, line in known)
    return f"""---
library_name: ali
tags: [adversarially-learned-inference, generative, encoder]
---

# {config["recipe"]} on {config["dataset"]}

{about[0].upper()}{about[1:]}, trained by `ali` {config["ali"]}
on {config["rows"]:,} rows (seed {config["seed"]}).

```python
import ali

model = ali.load("path/to/this/folder")
{lines}
```

| argument | value |
| --- | --- |
{rows}
"""
