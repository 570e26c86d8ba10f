"""Images from the hub, by a stand-in for ``datasets``: what is read, what is refused, and what a run remembers of it."""

import io
import json
import shutil
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from test_images import COLOURS, TILES, put_all, same

import ali
from ali import recipes
from ali.data.images import images
from ali.errors import AliError


class Table:
    """As much of ``datasets.Dataset`` as is used."""

    def __init__(self, xs, labels=None, column="image", names=None, kind=None):
        buffers = [io.BytesIO() for _ in xs]
        for x, buffer in zip(xs, buffers, strict=True):
            Image.fromarray(x).save(buffer, "PNG")
        self.cells = {column: [{"bytes": buffer.getvalue(), "path": None} for buffer in buffers], "id": list(range(len(xs)))}
        self.features = {column: kind or Feature(), "id": object()}
        if labels is not None:
            self.cells["label"], self.features["label"] = labels, SimpleNamespace(names=names)

    column_names = property(lambda self: list(self.cells))

    def select_columns(self, columns):
        self.cells = {column: self.cells[column] for column in columns}
        return self

    def cast_column(self, column, feature):
        assert not feature.decode
        return self

    def __iter__(self):
        return (dict(zip(self.cells, row, strict=True)) for row in zip(*self.cells.values(), strict=True))


class Feature:
    def __init__(self, decode=True):
        self.decode = decode


@pytest.fixture
def hub(monkeypatch):
    """A hub with a few data sets."""
    asked = []
    known = {
        "a/parts": lambda: {
            "train": Table(TILES[:8], [0, 1] * 4, names=["ant", "bee"]), "test": Table(TILES[8:], [1] * 4), "extra": Table(TILES)
        },
        "a/one": lambda: {"everything": Table(COLOURS, column="img")},
        "a/none": lambda: {"train": Table(TILES, column="picture")},
        "a/lists": lambda: {"train": Table(TILES, kind=object())},
        "ufldl-stanford/svhn": lambda: {part: Table(np.zeros((2, 32, 32, 3), np.uint8)) for part in ("train", "test", "extra")},
    }  # fmt: skip

    def load_dataset(name, configuration):
        asked.append((name, configuration))
        if name not in known:
            raise ConnectionError(f"Couldn't reach {name!r} on the Hub\nlong story")
        return known[name]()

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset, Image=Feature))
    return asked


def test_a_data_set_is_read_from_the_hub(hub):
    train, test = images("hub:a/parts")
    assert np.array_equal(train.x, TILES[:8])
    assert np.array_equal(test.x, TILES[8:])
    assert train.classes == test.classes == ("ant", "bee")
    assert (train.y.tolist(), test.y.tolist()) == ([0, 1] * 4, [1] * 4)
    assert train.notes == ("left out: extra",)
    assert same(images("hub:a/one", hold_out=0.5), COLOURS)
    images("hub:a/one:small")
    recipes.DATASETS["svhn"].open("hub:ufldl-stanford/svhn")
    assert hub == [("a/parts", None), ("a/one", None), ("a/one", "small"), ("ufldl-stanford/svhn", "cropped_digits")]


def test_the_hub_is_refused_in_words(hub, monkeypatch):
    for name in ("a/none", "a/lists"):
        with pytest.raises(AliError, match=f"^hub:{name}, train: no column 'image' of images; its columns are"):
            images(f"hub:{name}")
    with pytest.raises(AliError, match=r"^hub:no/where: can not be loaded \(ConnectionError: Couldn't reach 'no/where' on the Hub\)"):
        images("hub:no/where")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(AliError, match=r"^hub:a/one: .*pip install 'ali\[hub\]'"):
        images("hub:a/one")


def test_a_run_remembers_a_name_on_the_hub_and_a_place_on_this_machine(hub, tmp_path, monkeypatch):
    monkeypatch.chdir(put_all(tmp_path / "x").parent)
    for path, kept in (("hub:a/parts", "hub:a/parts"), ("x", str(tmp_path / "x"))):
        out = tmp_path / f"run-{path[0]}"
        ali.Model.train("images", path, out=out, networks="mlp", width=4, depth=1, latent=2, epochs=1)
        assert json.loads((out / "resume" / "data.json").read_text())["path"] == kept
        shutil.rmtree(out)
