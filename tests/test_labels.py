"""Classes and attributes of people's data: where they are found, which rows have none, and that these count nowhere."""

import json
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_cli import run as command
from test_images import COLOURS, TILES, put_all, put_parquet

import ali
from ali import evaluation
from ali.data import arrays, labels, tables
from ali.data.images import images, prepare
from ali.data.source import Data, Source, split
from ali.errors import AliError
from ali.evaluation import figures, report

NAMES = [f"{k:03d}.png" for k in range(12)]


def refused(words: str, path, **options) -> str:
    with pytest.raises(AliError, match=words) as error:
        images(str(path), **options)
    return str(error.value)


def write(folder, rows: dict[str, list], ending: str = "csv", name: str = "metadata") -> None:
    """Columns to metadata.csv, .jsonl or .parquet; None is an empty cell."""
    file = folder / f"{name}.{ending}"
    if ending == "parquet":
        pq.write_table(pa.table(rows), file)
    elif ending == "jsonl":
        lines = [dict(zip(rows, row, strict=True)) for row in zip(*rows.values(), strict=True)]
        file.write_text("".join(json.dumps({key: cell for key, cell in line.items() if cell is not None}) + "\n" for line in lines))
    else:
        lines = [",".join("" if cell is None else str(cell) for cell in row) for row in zip(*rows.values(), strict=True)]
        file.write_text("\n".join([",".join(rows), *lines]) + "\n")


def beside(data: Data) -> dict[bytes, object]:
    """What stands beside each image, by its pixels; classes by name."""
    found = {}
    for part in data:
        for x, y in zip(part.x, part.y, strict=True):
            found[x.tobytes()] = (part.classes[y] if y >= 0 else None) if y.ndim == 0 else y.tolist()
    return found


def expected(cells: list) -> dict[bytes, object]:
    return {x.tobytes(): cell for x, cell in zip(TILES, cells, strict=True)}


# metadata.csv, metadata.jsonl, metadata.parquet.


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_metadata_names_classes_some_rows_have_none(tmp_path, ending):
    put_all(tmp_path)
    classes = ["cat", "dog", None] * 4
    write(tmp_path, {"file_name": NAMES, "label": classes, "text": ["a, b"] * 12 if ending != "csv" else ["a"] * 12}, ending)
    data = images(str(tmp_path))
    assert data.train.classes == data.test.classes == ("cat", "dog")
    assert beside(data) == expected(classes)
    assert data.train.y.dtype == np.int64
    assert data.train.notes == ("rows without a class (-1): 4 of 12",)


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_whole_numbers_in_metadata_are_class_numbers(tmp_path, ending):
    put_all(tmp_path)
    numbers = [2, 0, 5, None] * 3
    write(tmp_path, {"file_name": NAMES, "kind": numbers}, ending)
    data = images(str(tmp_path), label="kind")
    assert data.train.classes == tuple("012345")
    assert beside(data) == expected([None if k is None else str(k) for k in numbers])


@pytest.mark.parametrize(
    ("ending", "cells"),
    [("csv", ["true", "False"]), ("csv", [1, 0]), ("jsonl", [True, False]), ("parquet", [True, False]), ("parquet", [1, 0])],
)
def test_booleans_in_metadata_are_attributes(tmp_path, ending, cells):
    put_all(tmp_path)
    young, old = cells * 6, cells[::-1] * 6
    write(tmp_path, {"file_name": NAMES, "young": young, "age": list(range(12)), "old": old}, ending)
    data = images(str(tmp_path))
    assert (data.train.attributes, data.train.classes, data.train.y.dtype) == (("young", "old"), (), np.float32)
    assert beside(data) == expected([[1.0, 0.0], [0.0, 1.0]] * 6)
    named = images(str(tmp_path), attributes=["age", "old"])
    assert named.train.attributes == ("age", "old")
    assert beside(named) == expected([[float(k), float(k % 2)] for k in range(12)])
    assert images(str(tmp_path), attributes="age").train.attributes == ("age",)  # one word is no list of letters


def test_metadata_may_lie_in_each_part_or_above_and_goes_before_folders(tmp_path):
    for part, x, start in (("train", TILES[:8], 0), ("test", TILES[8:], 8)):
        put_all(tmp_path / "parts" / part / "odd name", x, start=start)
        rows = [f"odd name/{name}" for name in NAMES[start : start + len(x)]]
        write(tmp_path / "parts" / part, {"file_name": rows, "label": [f"c{k % 3}" for k in range(start, start + len(x))]})
    wanted = [f"c{k % 3}" for k in range(12)]
    train, test = images(str(tmp_path / "parts"))
    assert (len(train), len(test)) == (8, 4)
    assert beside(Data(train, test)) == expected(wanted)
    put_all(tmp_path / "above" / "images" / "ant", TILES[:6])
    put_all(tmp_path / "above" / "images" / "bee", TILES[6:], start=6)
    rows = [f"images/{'ant' if k < 6 else 'bee'}/{NAMES[k]}" for k in range(12)]
    write(tmp_path / "above", {"file_name": rows, "label": wanted})
    assert beside(images(str(tmp_path / "above"))) == expected(wanted)
    write(tmp_path / "above", {"file_name": rows, "text": ["a caption"] * 12})
    assert images(str(tmp_path / "above")).train.classes == ("ant", "bee"), "captions say nothing of classes"


def test_pictures_without_a_row_and_rows_without_a_picture(tmp_path):
    put_all(tmp_path)
    write(tmp_path, {"file_name": [*NAMES[:10], "gone.png", "../away.png"], "label": ["a", "b"] * 6})
    data = images(str(tmp_path))
    assert beside(data) == expected([*["a", "b"] * 5, None, None])
    assert data.train.notes == (f"rows of {tmp_path / 'metadata.csv'} whose picture is not there: 2", "rows without a class (-1): 2 of 12")
    write(tmp_path, {"file_name": NAMES[:10], "old": [0, 1] * 5})
    refused(rf"^{tmp_path}/010\.png: has no row in {tmp_path}/metadata\.csv; every picture needs its attributes", tmp_path)


BAD_METADATA = {
    "an empty attribute": ("csv", "file_name,a,b\n000.png,1,0\n001.png,,1\n", {}, "metadata.csv, row 2: column 'a' is empty"),
    "a word for a number": (
        "csv",
        "file_name,a\n000.png,1\n001.png,x\n",
        {"attributes": ["a"]},
        "column 'a' must hold numbers .* it holds texts",
    ),
    "an endless number": ("jsonl", '{"file_name":"000.png","a":1e999}\n', {"attributes": ["a"]}, "column 'a' must hold numbers"),
    "an unknown column": ("csv", "file_name,a\n000.png,1\n", {"label": "b"}, "metadata.csv: no column 'b'; its columns are a"),
    "an unknown attribute": ("csv", "file_name,a\n000.png,1\n", {"attributes": ["a", "c"]}, "no column 'c'"),
    "fractions as classes": ("csv", "file_name,label\n000.png,1.5\n001.png,2\n", {}, "column 'label' must hold a class.*fractions"),
    "lists as classes": ("jsonl", '{"file_name":"000.png","label":[1]}\n', {}, "column 'label' must hold a class"),
    "a class below": ("csv", "file_name,label\n000.png,-3\n001.png,2\n", {}, "labels go from -3 to 2"),
    "two rows": ("csv", "file_name,label\n000.png,a\n001.png,b\n./000.png,b\n", {}, r"row 3: \./000\.png has a row already, in row 1"),
    "no name": ("csv", "file_name,label\n000.png,a\n,b\n", {}, "row 2: column 'file_name' is empty"),
    "no names": ("csv", "picture,kind\n000.png,a\n", {"label": "kind"}, "no column 'file_name'"),
    "no rows": ("csv", "file_name,label\n", {}, "metadata.csv: no rows"),
    "a broken line": ("jsonl", '{"file_name":"000.png","label":1}\n{"file_', {}, "metadata.jsonl, line 2: not JSON"),
    "a list": ("jsonl", "[1]\n", {}, "metadata.jsonl, line 1: expected an object"),
    "an empty file": ("jsonl", "\n", {}, "metadata.jsonl: no rows"),
    "no Parquet": ("parquet", "hello", {}, "metadata.parquet: not a readable Parquet file"),
}


@pytest.mark.parametrize("kind", BAD_METADATA)
def test_bad_metadata_is_refused_by_file_row_and_column(tmp_path, kind):
    ending, text, options, words = BAD_METADATA[kind]
    put_all(tmp_path)
    (tmp_path / f"metadata.{ending}").write_text(text)
    assert refused(words, tmp_path, **options).startswith(str(tmp_path))


def test_metadata_that_is_not_about_pictures_is_left_alone_and_two_files_are_not_chosen_between(tmp_path):
    put_all(tmp_path)
    write(tmp_path, {"camera": ["a"], "label": ["b"]})
    data = images(str(tmp_path))
    assert data.train.y is None
    assert data.train.notes == (f"{tmp_path / 'metadata.csv'} was not read: it has no column 'file_name', which names the pictures",)
    write(tmp_path, {"file_name": NAMES, "label": ["a", "b"] * 6}, "jsonl")
    refused("several files of metadata lie here, metadata.csv first", tmp_path)


def test_parts_must_have_the_same_attributes(tmp_path):
    for part, column in (("train", "a"), ("test", "b")):
        put_all(tmp_path / "x" / part, TILES[:6])
        write(tmp_path / "x" / part, {"file_name": NAMES[:6], column: [0, 1] * 3, "c": [1, 0] * 3})
        put_parquet(tmp_path / "y" / f"{part}.parquet", TILES[:6], **{column: [True, False] * 3, "c": [False, True] * 3})
    for folder in ("x", "y"):
        refused(r"columns to read differ: here attributes [ab], c, but in .* attributes [ab], c; name them", tmp_path / folder)
        assert images(str(tmp_path / folder), attributes=["c"]).test.attributes == ("c",)


def test_names_that_nothing_can_hold_are_refused(tmp_path):
    put_all(tmp_path / "x")
    np.save(tmp_path / "x.npy", TILES)
    prepare(str(tmp_path / "x"), str(tmp_path / "store"))
    for options, words in (({"label": "a"}, "the class 'a'"), ({"attributes": ["a", "b"]}, "attributes a, b")):
        refused(rf"x: no metadata\.csv, \.jsonl or \.parquet lies beside the pictures, to hold {words}", tmp_path / "x", **options)
        refused(r"x\.npy: has no columns .* as y, into an \.npz", tmp_path / "x.npy", **options)
        refused("store: has no columns .*`ali prepare`", tmp_path / "store", **options)
    refused("a class or attributes, not both", tmp_path / "x", label="a", attributes=["b"])
    refused("'b' is named twice", tmp_path / "x", attributes=["b", "b"])


# Parquet files and folders.


def test_boolean_columns_of_parquet_become_attributes_by_themselves(tmp_path):
    columns = {"smiling": [True, False] * 6, "identity": list(range(12)), "male": [True] * 12, "age": [k / 2 for k in range(12)]}
    path = str(put_parquet(tmp_path / "x.parquet", TILES, **columns))
    data = images(path)
    assert (data.train.attributes, data.train.y.dtype, data.train.classes) == (("smiling", "male"), np.float32, ())
    assert beside(data) == expected([[1.0, 1.0], [0.0, 1.0]] * 6)
    assert beside(images(path, attributes=["age"])) == expected([[k / 2] for k in range(12)])
    assert beside(images(path, label="identity")) == expected([str(k) for k in range(12)])
    assert beside(images(path, label="smiling")) == expected(["true", "false"] * 6)
    put_parquet(tmp_path / "x.parquet", TILES, label=[0, 1] * 6, **columns)
    assert images(path).train.classes == ("0", "1"), "a class goes before booleans"
    assert images(path, attributes=["male"]).train.attributes == ("male",)


def test_bad_columns_of_parquet_are_refused_by_file_row_and_column(tmp_path):
    columns = {"a": pa.array([True] * 5 + [None] + [False] * 6), "b": pa.array([1.0] * 11 + [np.inf]), "c": ["x"] * 12}
    path = put_parquet(tmp_path / "x.parquet", TILES, **columns)
    refused(rf"^{path}, row 5: column 'a' is empty; every row needs its attributes", path)
    refused(rf"^{path}, row 11: column 'b' is not a finite number", path, attributes=["b"])
    refused(rf"^{path}: column 'c' must hold numbers or booleans.*holds texts", path, attributes=["c"])
    refused(rf"^{path}: column 'b' must hold a class", path, label="b")
    refused(rf"^{path}: no column 'd'; its columns are a, b, c", path, label="d")


def test_empty_labels_in_parquet_are_unknown(tmp_path):
    for cells, names in (
        ([0, None, 1] * 4, ("0", "1")),
        (["ant", None, "bee"] * 4, ("ant", "bee")),
        (["ant", " ", "bee"] * 4, ("ant", "bee")),
    ):
        data = images(str(put_parquet(tmp_path / "x.parquet", TILES, label=pa.array(cells))))
        assert data.train.classes == names
        assert beside(data) == expected([names[0], None, names[1]] * 4)
        assert data.test.notes == ("rows without a class (-1): 4 of 12",)
    assert images(str(put_parquet(tmp_path / "x.parquet", TILES, label=pa.array([None] * 12, pa.int64())))).train.y is None


@pytest.mark.parametrize("name", ["unlabelled", "unlabeled", "Unlabeled", None])
def test_unlabelled_pictures_beside_class_folders(tmp_path, name):
    for k, place in enumerate(("ant", "bee", name or ".")):
        put_all(tmp_path / place, TILES[4 * k : 4 * k + 4], start=4 * k)
    data = images(str(tmp_path))
    assert data.train.classes == ("ant", "bee")
    assert beside(data) == expected(["ant"] * 4 + ["bee"] * 4 + [None] * 4)
    assert "rows without a class (-1): 4 of 12" in data.train.notes
    assert ("4 pictures lie beside the subfolders of" in data.train.notes[0]) == (name is None)


def test_unlabelled_pictures_beside_one_class_say_nothing(tmp_path):
    put_all(tmp_path / "ant", TILES[:6])
    put_all(tmp_path / "unlabelled", TILES[6:])
    assert images(str(tmp_path)).train.y is None


def test_unlabelled_pictures_in_the_training_part(tmp_path):
    for k, place in enumerate(("train/ant", "train/bee", "train/unlabelled", "test/ant", "test/bee", "test/unlabeled")):
        put_all(tmp_path / place, TILES[2 * k : 2 * k + 2])
    train, test = images(str(tmp_path))
    assert train.y.tolist() == test.y.tolist() == [0, 0, 1, 1, -1, -1]
    assert train.classes == test.classes == ("ant", "bee")


# Arrays and tables.


@pytest.mark.parametrize(
    ("y", "classes"),
    [
        (np.array([3, -1, 7] * 4), ("3", "7")),
        (np.array([3.0, np.nan, 7.0] * 4), ("3.0", "7.0")),
        (np.array(["b", "", "c"] * 4), ("b", "c")),
        (np.array([b"b", b" ", b"c"] * 4), ("b", "c")),
    ],
)
def test_unknown_labels_in_an_npz(tmp_path, y, classes):
    np.savez(tmp_path / "x.npz", x=TILES, y=y)
    data = images(str(tmp_path / "x.npz"))
    assert data.train.classes == data.test.classes == classes
    assert beside(data) == expected([classes[0], None, classes[1]] * 4)
    np.savez(tmp_path / "x.npz", x_train=TILES[:6], y_train=y[:6], x_test=TILES[6:], y_test=y[6:])
    train, test = images(str(tmp_path / "x.npz"))
    assert train.y.tolist() == test.y.tolist() == [0, -1, 1, 0, -1, 1]
    assert train.classes == classes
    assert train.notes == ("rows without a class (-1): 2 of 6",)


def test_one_and_minus_one_are_no_half_of_a_class(tmp_path):
    np.savez(tmp_path / "x.npz", x=TILES, y=[1, -1] * 6)
    refused(rf"^{tmp_path}/x\.npz: labels are 1 and -1.*number the classes from 0", tmp_path / "x.npz")
    np.savez(tmp_path / "x.npz", x=TILES, y=[-1] * 12)
    assert images(str(tmp_path / "x.npz")).train.y is None


def test_empty_cells_in_the_label_column_of_a_table_are_unknown(tmp_path):
    (tmp_path / "x.csv").write_text("a,kind\n" + "".join(f"{k},{('u', '', 'v', 'NA')[k % 4]}\n" for k in range(40)))
    pq.write_table(pa.table({"a": list(range(40)), "kind": [("u", None, "v", "")[k % 4] for k in range(40)]}), tmp_path / "x.parquet")
    for name in ("x.csv", "x.parquet"):
        data = tables.table(str(tmp_path / name), label="kind")
        for part in data:
            assert part.classes == ("u", "v")
            assert part.y.tolist() == [(0, -1, 1, -1)[int(a) % 4] for a in part.x[:, 0]]
        assert data.train.notes == ("rows without a class (-1): 20 of 40",)
    source = tables.describe_frame({"a": [1, 2, 3, 4]}, np.array([7, -1, 3, 7]))
    assert (source.y.tolist(), source.classes) == ([1, -1, 0, 1], ("3", "7"))
    assert tables.describe_frame({"a": [1, 2, 3]}, np.array(["u", None, "v"])).y.tolist() == [0, -1, 1]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.none(), st.sampled_from(["", " "]), st.text(max_size=3), st.integers(-1, 3), st.booleans()), max_size=12))
def test_numbers_of_classes_and_their_names_say_the_same_as_the_cells(cells):
    y, classes = labels.numbered(cells)
    assert list(classes) == sorted(set(classes))
    assert all(name.strip() for name in classes)
    for cell, k in zip(cells, y, strict=True):
        if k < 0:
            assert cell is None or not str(cell).strip()
        else:
            assert classes[k] == (str(cell).lower() if isinstance(cell, bool) else str(cell))
    assert set(y[y >= 0]) == set(range(len(classes)))


# Stores, evaluation, the command line.


def test_a_store_keeps_attributes_and_unknown_classes(tmp_path):
    known = {"a": [True, False] * 6, "b": [False] * 12}
    for k, columns in enumerate((known, {"label": pa.array([0, None, 2] * 4)})):
        path = str(put_parquet(tmp_path / f"{k}.parquet", COLOURS, **columns))
        once, stored = images(path), prepare(path, str(tmp_path / f"store{k}"))
        assert [part.fingerprint() for part in once] == [part.fingerprint() for part in stored]
        for a, b in zip(once, stored, strict=True):
            assert (a.classes, a.attributes, a.y.dtype, a.notes) == (b.classes, b.attributes, b.y.dtype, b.notes)
            np.testing.assert_array_equal(a.y, b.y)
    os.truncate(tmp_path / "store0" / "train-y.npy", 20)
    refused(r"train-y\.npy: not a readable \.npy file.*prepare it again", tmp_path / "store0")
    store = tmp_path / "named"
    prepare(str(tmp_path / "0.parquet"), str(store), attributes=["b"])
    assert images(str(store)).train.attributes == ("b",)
    np.save(store / "train-y.npy", np.zeros(len(images(str(store)).train)))
    refused("labels of shape", store)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return ali.Model.train("images", ROWS, out=tmp_path_factory.mktemp("run") / "run", networks="mlp", width=8, depth=1, latent=2, epochs=1)


ROWS = np.random.default_rng(0).integers(0, 256, (60, 8, 8), dtype=np.uint8)


def test_rows_without_a_class_do_not_count_in_the_evaluation(model):
    y = np.arange(60) % 3
    known = np.arange(60) % 4 != 1
    train, test = np.flatnonzero(np.arange(60) < 40), np.flatnonzero(np.arange(60) >= 40)
    some = Data(*(Source(ROWS[part], np.where(known, y, -1)[part], tuple("abc")) for part in (train, test)))
    values = evaluation.evaluate(model, some)
    a, b = train[known[train]], test[known[test]]
    near = evaluation.metrics.nearest_neighbour_accuracy
    assert values["nn_pixels"] == near(ROWS[a] / 1.0, y[a], ROWS[b] / 1.0, y[b])
    assert values["nn_codes"] == near(model.encode(ROWS[a]), y[a], model.encode(ROWS[b]), y[b])
    none = evaluation.evaluate(model, Data(some.train, Source(some.test.x, np.full(20, -1), tuple("abc"))))
    assert not {"nn_pixels", "nn_codes", "label_kept", "label_kept_ceiling"} & none.keys()
    assert {key: value for key, value in values.items() if key in none} == pytest.approx(none), "and nothing else changes"


def test_attributes_are_no_classes_in_evaluation_and_report(model, tmp_path):
    y = np.stack([np.arange(60) % 2, np.arange(60) % 3 == 0], 1).astype(np.float32)
    data = split(Source(ROWS, y, (), ("a", "b")), 0.4)
    values = report.write(tmp_path, model, data)
    assert "nn_codes" not in values
    assert "coloured by class" not in (tmp_path / "report.html").read_text()


def test_codes_without_a_class_are_grey_in_the_figure():
    z, y = np.random.default_rng(0).normal(size=(6, 2)), np.array([0, 1, -1, 0, -1, 1])
    for classes in (("a", "b"), tuple(map(str, range(20)))):
        colours = figures.latent(z, y, classes).axes[0].collections[0].get_facecolor()
        assert np.allclose(colours[y < 0], (0.8, 0.8, 0.8, 1))
        assert not np.isclose(colours[y >= 0][:, :3], 0.8).all(1).any()


def test_the_command_line_names_columns_and_says_what_to_do(tmp_path):
    put_all(tmp_path / "x")
    write(tmp_path / "x", {"file_name": NAMES, "kind": ["a", "b"] * 6, "old": [0, 1] * 6, "age": list(range(12))})
    fast = ("--networks", "mlp", "--width", 4, "--depth", 1, "--latent", 2, "--epochs", 1)
    done = command("train", "images", tmp_path / "x", "--attributes", "old", "age", "--out", tmp_path / "run", *fast)
    assert done.returncode == 0, done.stderr
    kept = json.loads((tmp_path / "run" / "config.json").read_text())
    assert kept["data"]["attributes"] == ["old", "age"]
    assert ali.model.open_data(tmp_path / "run").train.attributes == ("old", "age")
    assert command("prepare", tmp_path / "x", tmp_path / "store", "--label", "kind").returncode == 0
    assert images(str(tmp_path / "store")).train.classes == ("a", "b")
    np.savez(tmp_path / "wrong.npz", x=TILES)
    assert (
        "images are read from .npy, a picture, a folder of pictures, Parquet files or tar shards"
        in command("encode", tmp_path / "run", tmp_path / "wrong.npz").stderr
    )


@pytest.mark.parametrize("share", [0, 1, -0.5])
def test_a_share_that_holds_out_nothing_is_refused_with_advice(tmp_path, share):
    np.save(tmp_path / "x.npy", TILES)
    for call in (
        lambda: images(str(tmp_path / "x.npy"), hold_out=share),
        lambda: prepare(str(tmp_path), str(tmp_path / "out"), hold_out=share),
    ):
        with pytest.raises(
            AliError, match=rf"between 0 and 1, got {share}; a run is measured on rows .* take a small share, such as 0\.01"
        ):
            call()


# Whatever a file holds.


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_any_npz_is_read_or_refused_by_name(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "any.npz"
    dtypes = st.sampled_from(["u1", ">i2", "i8", "f2", "f4", "f8", "?", "c8", "S2", "U2", "M8[D]", "m8[s]", "V3", "i4,f4", "f16"])
    shapes = st.sampled_from(
        [(), (0,), (2,), (6,), (6, 1), (6, 3), (6, 4, 5), (6, 4, 5, 3), (6, 3, 4, 5), (0, 4, 4), (6, 1, 1), (1, 1, 1, 1, 1)]
    )
    keys = ("x", "X", "data", "y", "labels", "x_train", "y_train", "x_test", "y_test", "other")
    named = {}
    for key in data.draw(st.lists(st.sampled_from(keys), max_size=5, unique=True)):
        dtype, shape = np.dtype(data.draw(dtypes)), data.draw(shapes)
        content = data.draw(st.binary(min_size=1, max_size=24))
        size = int(np.prod(shape)) * dtype.itemsize
        named[key] = np.frombuffer((content * (size // len(content) + 1))[:size], dtype).reshape(shape)
        if dtype.kind == "U":
            named[key] = np.full(shape, data.draw(st.text(max_size=2)))
        if dtype.kind == "b":
            named[key] = named[key].view("u1") % 2 == 1
    np.savez(path, **named)
    dimensions = data.draw(st.sampled_from([(2,), (3, 4)]))
    try:
        with np.errstate(all="ignore"):
            found = arrays.read(str(path), dimensions, 0.5)
    except AliError as error:
        assert str(error).startswith(f"{path}: ") or "training needs at least 2" in str(error)  # noqa: PT017
    else:
        for part in found:
            assert part.x.ndim in dimensions
            assert len(part)
            assert np.isfinite(part.x).all()
            assert part.y is None or (part.y.shape == (len(part),) and (part.y >= -1).all() and (part.y < len(part.classes)).all())


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=60),
        st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")),
        st.text("abc,;\t|\n\r\"'1.-0 eEnN", max_size=80).map(str.encode),
        st.text('ab,"\n1\x85\x0b\u2028', max_size=60).map(lambda text: text.encode("utf-16")),
    ),
    st.sampled_from([None, ",", ";", "\n", '"', "\r", " "]),
    st.sampled_from([None, "utf-8", "latin1", "utf-16", "rot13", "idna"]),
)
def test_any_text_is_a_table_or_refused_by_name(tmp_path_factory, content, delimiter, encoding):
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(content)
    try:
        table = tables.read(str(path), delimiter, encoding)
        tables.table(str(path), delimiter=delimiter, encoding=encoding)
    except AliError as error:
        assert str(error).startswith((f"{path}", "a delimiter is", "the data has 1 row"))  # noqa: PT017
    else:
        assert table.num_rows > 0
        assert all(table.column_names)
        assert len(set(table.column_names)) == table.num_columns
