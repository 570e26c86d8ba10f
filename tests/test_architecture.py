"""The one-way rule: a module imports what stands before it, games stay pure, importing costs nothing, no file is unpickled."""

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from ali import games, recipes

ALI = Path(__file__).parent.parent / "ali"
ORDER = (
    "errors distributions layers augment table tables networks sweeps lines data conditions columns preprocess pictures pieces files "
    "objectives views games process machine graphs train checkpoint ready recipes stacked health recovery log card session ensemble "
    "opening export passes verbs model evaluation cli"
).split()
FILES = sorted(ALI.rglob("*.py"))
GAME_FILES = sorted(set((ALI / "games").glob("*.py")) - {ALI / "games" / "__init__.py"})


def called(path):
    return str(path.relative_to(ALI))


def package(path):
    """The name in ORDER of a file: ``ali/games/bigan.py`` is part of games; ``ali/__init__.py`` has none."""
    first = path.relative_to(ALI).parts[0]
    return "" if first == "__init__.py" else first.removesuffix(".py")


def imports(node):
    """Dotted names that code imports anywhere, even in functions and through ``import_module``, but not for type checkers only."""
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        children = node.orelse
    else:
        children = list(ast.iter_child_nodes(node))
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield from (f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
        # f"ali.tables.{name}" names the package tables, whatever the name; anything else that is computed stays a riddle: "?".
        start = node.args[0].values[0] if isinstance(node.args[0], ast.JoinedStr) else node.args[0]
        yield start.value if isinstance(start, ast.Constant) else "?"
    for child in children:
        yield from imports(child)


def imported_packages(tree):
    """The names in ORDER that code imports; ``from ali import __version__`` imports none of them."""
    names = [name.split(".") for name in imports(tree)]
    return {name[1] for name in names if name[0] == "ali" and len(name) > 1 and name[1] != "__version__"}


def parse(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def test_the_reader_of_imports_sees_every_kind():
    code = """
if TYPE_CHECKING:
    from ali.model import Model
else:
    import ali.files
def late():
    from ali import __version__, games
    import_module(f"ali.tables.{name}")
    importlib.import_module("ali.data.digits")
class C:
    def f(self):
        from ali.train import play
"""
    assert imported_packages(ast.parse(code)) == {"files", "games", "tables", "data", "train"}


def test_every_module_has_its_place_in_the_order():
    assert {package(path) for path in FILES} == {"", *ORDER}


@pytest.mark.parametrize("path", FILES, ids=called)
def test_a_module_imports_only_what_stands_before_it(path):
    own = package(path)
    before = ORDER[: ORDER.index(own)] if own else ["errors"]  # ali/__init__.py names the rest lazily
    assert imported_packages(parse(path)) <= {*before, own}
    assert not [name for name in imports(parse(path)) if name.startswith(".")], "imports are absolute"
    assert "?" not in imports(parse(path)) or not own, "only ali/__init__.py imports a name that it computes"


def test_names_that_recipes_import_as_strings_exist():
    networks = get_args(get_type_hints(recipes.shared)["networks"])
    tables = {path.stem for path in (ALI / "tables").glob("*.py")} - {"__init__", "generic"}
    assert set(networks) == tables | {"mlp", "conv", "compact"}
    for dataset in recipes.DATASETS.values():
        function = dataset.function()
        assert function.__name__ in sys.modules[function.__module__].__all__


@pytest.mark.parametrize("path", GAME_FILES, ids=called)
def test_a_game_file_knows_no_optimiser_no_data_source_and_no_device(path):
    names = set(imports(parse(path)))
    assert {name for name in names if name.startswith("ali.data")} <= {"ali.data.source.Batch"}
    assert not [name for name in names if name.startswith(("torch.optim", "torch.cuda", "torch.utils.data"))]
    words = {getattr(node, "attr", getattr(node, "id", getattr(node, "arg", None))) for node in ast.walk(parse(path))}
    assert not words & {"optim", "Optimizer", "cuda", "device"}


@pytest.mark.parametrize("path", GAME_FILES, ids=called)
def test_a_game_never_subclasses_another(path):
    module = importlib.import_module(f"ali.games.{path.stem}")
    own = [cls for _, cls in inspect.getmembers(module, inspect.isclass) if cls.__module__ == module.__name__]
    assert all(cls.__bases__ == (games.Game,) for cls in own if issubclass(cls, games.Game) and cls is not games.Game)


def test_every_game_stands_in_the_table_of_contents():
    assert {game.__module__.rpartition(".")[2] for game in games.GAMES} == {path.stem for path in GAME_FILES} - {"game"}
    lines = games.__doc__.splitlines()
    assert all(any(line.split()[:1] == [game.__name__] for line in lines) for game in games.GAMES)


def test_every_data_file_stands_in_the_table_of_contents():
    data = importlib.import_module("ali.data")
    listed = {line.split()[0] for line in data.__doc__.splitlines() if line[:1].isalpha() and line.split()[0].endswith(".py")}
    assert listed == {path.name for path in (ALI / "data").glob("*.py")} - {"__init__.py"}


@pytest.mark.parametrize("module", ["ali", "ali.cli", "ali.recipes"])
def test_importing_does_not_import_torch(module):
    code = f"import sys, {module}; print(sorted(name for name in sys.modules if name in ('torch', '{module}')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ALI.parent)
    assert done.stdout.strip() == f"['{module}']"


@pytest.mark.parametrize("path", FILES, ids=called)
def test_nothing_is_ever_unpickled(path):
    text = path.read_text(encoding="utf-8")
    for word in ("pickle.load", "torch.load", "allow_pickle=True", "import pickle", "weights_only=False"):
        assert word not in text
