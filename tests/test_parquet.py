"""Parquet files of images: pictures, labels and parts as ``datasets`` writes them, and files of every quality."""

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from test_arrays import same_rows

from ali.data.images import images
from ali.errors import AliError

TILES = np.random.default_rng(3).integers(0, 256, (20, 8, 8), dtype=np.uint8)
COLOURS = np.random.default_rng(4).integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)


def encode(x: np.ndarray, kind: str = "PNG", mode: str | None = None) -> bytes:
    file = io.BytesIO()
    picture = Image.fromarray(x)
    (picture.convert(mode) if mode else picture).save(file, kind)
    return file.getvalue()


def put_parquet(
    file: Path, cells: list, labels: list | pa.Array | None = None, names: list[str] | None = None, column: str = "image"
) -> str:
    """A Parquet file as ``datasets`` writes it: a struct of bytes and path, and the features beside the schema."""
    cells = [cell if isinstance(cell, dict | None) else {"bytes": cell, "path": "x.png"} for cell in cells]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    columns, features = {column: pa.array(cells, kind)}, {column: {"_type": "Image"}}
    if labels is not None:
        columns["label"] = labels
        features["label"] = {"names": names, "_type": "ClassLabel"} if names else {"dtype": "int64", "_type": "Value"}
    metadata = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    file.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table(columns).replace_schema_metadata(metadata), file)
    return str(file)


PNGS = [encode(x) for x in TILES]


@pytest.mark.parametrize("x", [TILES, COLOURS], ids=["grey", "colour"])
@pytest.mark.parametrize("column", ["image", "img"])
def test_images_labels_and_class_names_are_read_from_parquet(tmp_path, x, column):
    labels = (np.arange(20) % 3).tolist()
    path = put_parquet(tmp_path / "x.parquet", [encode(picture) for picture in x], labels, ["ant", "bee", "cat"], column)
    data = images(path, hold_out=0.25)
    assert (len(data.train), len(data.test)) == (15, 5)
    assert same_rows(data, x)
    known = {picture.tobytes(): label for picture, label in zip(x, labels, strict=True)}
    for part in data:
        assert part.classes == ("ant", "bee", "cat")
        assert part.x.dtype == np.uint8
        assert part.y.tolist() == [known[picture.tobytes()] for picture in part.x]


def test_labels_without_names_are_called_by_number_and_none_are_needed(tmp_path):
    assert images(put_parquet(tmp_path / "a.parquet", PNGS, [0, 4] * 10)).train.classes == ("0", "1", "2", "3", "4")
    data = images(put_parquet(tmp_path / "b.parquet", PNGS))
    assert data.train.y is None
    assert data.train.classes == ()


@pytest.mark.parametrize(("mode", "kind"), [("RGBA", "PNG"), ("P", "PNG"), ("RGB", "BMP"), ("RGB", "WEBP"), ("RGB", "JPEG")])
def test_pictures_of_other_kinds_become_colour_images(tmp_path, mode, kind):
    flat = np.broadcast_to(np.array([204, 51, 102], np.uint8), (8, 16, 16, 3))  # a colour that every palette has
    data = images(put_parquet(tmp_path / "x.parquet", [encode(x, kind, mode) for x in flat]))
    assert data.train.x.shape[1:] == (16, 16, 3)
    assert np.abs(data.train.x.astype(int) - flat[0]).max() <= (0 if kind in ("PNG", "BMP") else 4)


def test_a_folder_is_read_by_the_names_of_its_parts(tmp_path):
    put_parquet(tmp_path / "train-00001-of-00002.parquet", PNGS[8:15], list(range(8, 15)))
    put_parquet(tmp_path / "train-00000-of-00002.parquet", PNGS[:8], list(range(8)))
    put_parquet(tmp_path / "test-00000-of-00001.parquet", PNGS[15:], list(range(15, 20)))
    put_parquet(tmp_path / "validation-00000-of-00001.parquet", PNGS[:2], [0, 1])
    train, test = images(str(tmp_path), hold_out=0.9)
    assert np.array_equal(train.x, TILES[:15])
    assert np.array_equal(test.x, TILES[15:])
    assert (train.y.tolist(), test.y.tolist()) == (list(range(15)), list(range(15, 20)))


def test_validation_stands_in_for_a_test_part(tmp_path):
    put_parquet(tmp_path / "train.parquet", PNGS[:12])
    put_parquet(tmp_path / "validation.parquet", PNGS[12:])
    assert np.array_equal(images(str(tmp_path)).test.x, TILES[12:])


@pytest.mark.parametrize(
    "names", [("train-0.parquet", "train-1.parquet"), ("a.parquet", "b.parquet"), ("test-0.parquet", "test-1.parquet")]
)
def test_a_folder_without_two_parts_is_split(tmp_path, names):
    for name, part in zip(names, (PNGS[:9], PNGS[9:]), strict=True):
        put_parquet(tmp_path / name, part)
    data = images(str(tmp_path), hold_out=0.3)
    assert (len(data.train), len(data.test)) == (14, 6)
    assert same_rows(data, TILES)


HUGE = b"BM" + encode(TILES[0], "BMP")[2:18] + (2**20).to_bytes(4, "little") * 2 + encode(TILES[0], "BMP")[26:]

BROKEN_CELLS = {
    "no picture": b"hello",
    "nothing": b"",
    "a truncated PNG": PNGS[0][: len(PNGS[0]) - 25],
    "a truncated JPEG": encode(np.zeros((32, 32, 3), np.uint8), "JPEG")[:-60],
    "no bytes": {"bytes": None, "path": "x.png"},
    "an empty cell": None,
    "a picture that announces a tera-pixel": HUGE,
}


@pytest.mark.parametrize("kind", BROKEN_CELLS)
def test_a_broken_picture_is_named_by_file_and_row(tmp_path, kind):
    put_parquet(tmp_path / "train-0.parquet", PNGS)
    path = put_parquet(tmp_path / "train-1.parquet", [*PNGS[:3], BROKEN_CELLS[kind], *PNGS[4:]])
    with pytest.raises(AliError) as refused:
        images(str(tmp_path))
    assert str(refused.value).startswith(f"{path}, row 3: ")


BAD_LABELS = {
    "names": [*("ant", "bee") * 10],
    "lists": [[0], [1, 2]] * 10,
}


@pytest.mark.parametrize("kind", BAD_LABELS)
def test_labels_that_are_no_class_numbers_are_named_or_refused(tmp_path, kind):
    path = put_parquet(tmp_path / "x.parquet", PNGS, BAD_LABELS[kind])
    try:
        data = images(path)
    except AliError as refused:
        assert str(refused).startswith(path)  # noqa: PT017
        assert "label" in str(refused)  # noqa: PT017
    else:  # words may just as well become classes
        assert kind == "names"
        assert data.train.classes == ("ant", "bee")


def test_a_file_that_lacks_labels_among_others_is_refused(tmp_path):
    put_parquet(tmp_path / "train-0.parquet", PNGS, [0] * 20)
    put_parquet(tmp_path / "train-1.parquet", PNGS)
    with pytest.raises(AliError, match=r"train-1\.parquet: has no column 'label', but .*train-0\.parquet has"):
        images(str(tmp_path))


@pytest.mark.parametrize("metadata", [b"{broken", b'{"info": null}', b'{"info": {"features": {"label": {"names": null}}}}', b"[]"])
def test_features_that_can_not_be_understood_cost_only_the_names(tmp_path, metadata):
    path = put_parquet(tmp_path / "x.parquet", PNGS, [0, 1] * 10, ["a", "b"])
    pq.write_table(pq.read_table(path).replace_schema_metadata({b"huggingface": metadata}), path)
    assert images(path).train.classes == ("0", "1")


def test_parquet_without_images_is_refused_with_its_columns(tmp_path):
    for columns in ({"a": [1, 2], "b": [3, 4]}, {"image": [1, 2], "b": [3, 4]}):
        pq.write_table(pa.table(columns), tmp_path / "x.parquet")
        with pytest.raises(AliError, match=rf"x\.parquet: no column 'image'.*{', '.join(columns)}"):
            images(str(tmp_path / "x.parquet"))


def test_truncated_parquet_files_are_refused_at_every_length(tmp_path):
    path = Path(put_parquet(tmp_path / "x.parquet", PNGS[:4]))
    content = path.read_bytes()
    for length in range(0, len(content), 97):
        path.write_bytes(content[:length])
        with pytest.raises(AliError, match=r"x\.parquet: not a readable Parquet file"):
            images(str(path))


def test_folders_and_files_without_images_are_refused(tmp_path):
    with pytest.raises(AliError, match=f"{tmp_path}: there is no file in this folder"):
        images(str(tmp_path))
    with pytest.raises(AliError, match=r"x\.parquet: no images in it"):
        images(put_parquet(tmp_path / "x.parquet", []))
