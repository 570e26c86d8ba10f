"""The pages on the systems are those that the docstrings give."""

import importlib.util
import sys
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"


def test_pages_are_those_that_the_docstrings_give():
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    generate = sys.modules["generate"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    pages = generate.pages()
    assert {file.name for file in (DOCS / "systems").iterdir()} == set(pages), "run `python docs/generate.py`"
    for name, text in pages.items():
        assert (DOCS / "systems" / name).read_text(encoding="utf-8") == text, f"{name}: run `python docs/generate.py`"
        assert ":math:" not in text
        assert ".. math" not in text
