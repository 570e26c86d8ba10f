"""Pages on every system, made of the docstrings of its game and its recipes: ``python docs/generate.py`` writes ``docs/systems/``.

The docstrings are the only source; ``tests/test_docs.py`` holds the committed pages to them.
"""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path

from docstring_parser import parse

from ali import games
from ali.recipes import RECIPES, Recipe, shared

OUT = Path(__file__).parent / "systems"


def markdown(text: str) -> str:
    """The few constructs of reStructuredText that the docstrings use, as Markdown."""
    text = re.sub(r":math:`(.+?)`", lambda found: f"${found[1].strip()}$", text, flags=re.S)
    text = re.sub(r":(?:class|func|mod|meth):`~?(.+?)`", r"`\1`", text)
    text = text.replace("``", "`")

    def equation(found: re.Match[str]) -> str:
        body = inspect.cleandoc(found[1]).strip()
        aligned = rf"\begin{{aligned}}{chr(10)}{body}{chr(10)}\end{{aligned}}" if "&" in body or r"\\" in body else body
        return re.sub(r" +\((\d+)\)$", r" \\tag{\1}", f"\n$$\n{aligned}\n$$\n", flags=re.M)

    text = re.sub(r"^\.\. math::[ ]*(.*?)(?=\n\S|\Z)", equation, text, flags=re.S | re.M)
    text = re.sub(r"^References:\n", "\n## References\n\n", text, flags=re.M)
    text = re.sub(r"^    \| ", "- ", text, flags=re.M)
    return re.sub(r"\n{3,}", "\n\n", text)


def page(name: str) -> str:
    """The page of a recipe: what its game says of itself, how it is trained, and its arguments."""
    recipe = RECIPES[name]
    module = sys.modules[game_of(name).__module__]
    title, _, body = (module.__doc__ or "").strip().partition("\n")
    about, *_ = (inspect.getdoc(recipe) or "").partition("\n")
    signature = inspect.signature(recipe, eval_str=True).parameters
    common = inspect.signature(shared).parameters
    said = {p.arg_name: " ".join((p.description or "").split()).replace("|", r"\|") for p in parse(inspect.getdoc(recipe) or "").params}
    rows = [
        f"| `{key}` | {'' if p.default in ('', None, ()) else f'`{p.default}`'} | {said.get(key, '')} |"
        for key, p in signature.items()
        if key in said and key not in common
    ]
    changed = recipe.changed if isinstance(recipe, Recipe) else {}
    own = ", ".join(f"`{key} = {value}`" for key, value in changed.items())
    return "\n".join(
        [
            f"# {title.rstrip('.')}",
            "",
            f"`ali train DATA --recipe {name}`. {about}",
            "",
            markdown(body).strip(),
            "",
            "## Arguments of its own",
            "",
            *(["| argument | default | |", "| --- | --- | --- |", *rows] if rows else ["None beside those that all recipes share."]),
            "",
            *([f"Whatever the data, its modern face has {own}.", ""] if own else []),
            f"Written by `docs/generate.py` from `{Path(*module.__name__.split('.')).as_posix()}.py`.",
            "",
        ]
    )


def game_of(name: str):
    """The entry of ``games.GAMES`` whose page a recipe shares: the one that the recipe's code names first."""
    recipe = RECIPES[name]
    named = {game.__name__: game for game in games.GAMES}
    if name.replace("_", "").lower() in {key.lower() for key in named}:
        return next(game for key, game in named.items() if key.lower() == name.replace("_", "").lower())
    source = inspect.getsource(recipe.function if isinstance(recipe, Recipe) else recipe)
    found = [game for key, game in named.items() if re.search(rf"\bgames\.{key}\b", source)]
    if not found:
        raise SystemExit(f"recipe {name}: names no game of ali.games")
    return found[0]


def pages() -> dict[str, str]:
    """File names and their contents."""
    made = {f"{name}.md": page(name) for name in RECIPES}
    lines = [f"| [{name}]({name}.md) | {(inspect.getdoc(recipe) or '').partition(chr(10))[0]} |" for name, recipe in RECIPES.items()]
    made["README.md"] = "\n".join(["# Systems", "", "| recipe | |", "| --- | --- |", *lines, ""])
    return made


if __name__ == "__main__":
    OUT.mkdir(exist_ok=True)
    for file, text in pages().items():
        (OUT / file).write_text(text, encoding="utf-8")
    print(f"wrote {len(pages())} pages to docs/systems")
