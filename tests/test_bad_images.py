"""Images that are none, unreadable or damaged: refused by name, or left out when asked."""

import io

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from test_images import COLOURS, TILES, put, put_all, put_parquet, same

from ali.data.images import images
from ali.data.official import cifar10
from ali.errors import AliError

RNG = np.random.default_rng(0)


def test_what_is_no_source_of_images_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    put_parquet(tmp_path / "download" / "files" / "train-0.parquet", TILES)
    (tmp_path / "phone").mkdir()
    for name in ("a.heic", "b.HEIC", "c"):
        (tmp_path / "phone" / name).write_bytes(b"x")
    (tmp_path / "x.zip").write_bytes(b"PK")
    refused = {
        "nowhere": r"nowhere: no such file or folder; .*hub:owner/name",
        "empty": "empty: there is no file in this folder",
        "phone": "phone: no pictures in this folder: it holds 2 .heic, 1 without an ending; pictures end in .png .jpg",
        "download": r"download: no pictures in this folder, but .*train-0\.parquet: give .*files$",
        "x.zip": r"x\.zip: images are read from .*unpack an archive first",
        "phone/c": "phone/c: images are read from",
        str(put(tmp_path / "one.png", TILES[0])): r"one\.png: is a single picture; give the folder",
        str(put_all(tmp_path / "single", TILES[:1])): "single: one image is all there is; training needs at least 2",
        str(put_parquet(tmp_path / "no.parquet", [])): r"no\.parquet: no images in it",
    }
    for name, words in refused.items():
        with pytest.raises(AliError, match=words):
            images(str(tmp_path / name))
    with pytest.raises(AliError, match="single: pictures class by class"):
        cifar10(str(tmp_path / "single"))


def bad_pictures() -> dict[str, tuple[str, bytes]]:
    noise = RNG.integers(0, 256, (40, 40, 3), dtype=np.uint8)
    made = {}
    for kind in ("PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP"):
        buffer = io.BytesIO()
        Image.fromarray(noise).save(buffer, kind)
        made[f"half a {kind}"] = (f"x.{kind.lower()}", buffer.getvalue()[: len(buffer.getvalue()) // 2])
    nan = io.BytesIO()
    Image.fromarray(np.full((9, 9), np.nan, np.float32)).save(nan, "TIFF")
    return made | {
        "text": ("x.jpg", b"not a picture"),
        "nothing": ("x.png", b""),
        "a page of PostScript": ("x.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"),
        "a pixel that is not a number": ("x.tif", nan.getvalue()),
    }


@pytest.mark.parametrize("kind", bad_pictures())
def test_an_unreadable_picture_is_named_and_left_out_only_when_asked(tmp_path, kind):
    name, content = bad_pictures()[kind]
    put_all(tmp_path / "folder", COLOURS)
    (tmp_path / "folder" / name).write_bytes(content)
    with pytest.raises(AliError, match=rf"^{tmp_path / 'folder' / name}: not a readable image \(.+\); .*1[23] .*--skip-bad$") as refused:
        images(str(tmp_path / "folder"))
    assert "0x" not in str(refused.value), "no addresses"
    data = images(str(tmp_path / "folder"), size=8, skip_bad=True)
    assert same(data, COLOURS)
    assert data.train.notes == (f"unreadable images left out: 1 ({tmp_path / 'folder' / name})",)

    put_parquet(tmp_path / "x.parquet", [*COLOURS[:5], content, *COLOURS[5:]], label=pa.array(range(13)))
    with pytest.raises(AliError, match=rf"^{tmp_path / 'x.parquet'}, row 5: not a readable image .*--skip-bad$"):
        images(str(tmp_path / "x.parquet"))
    data = images(str(tmp_path / "x.parquet"), size=8, skip_bad=True)
    assert same(data, COLOURS)
    labels = {x.tobytes(): y for x, y in zip(COLOURS, [*range(5), *range(6, 13)], strict=True)}
    assert all(labels[x.tobytes()] == y for part in data for x, y in zip(part.x, part.y, strict=True)), "labels stay with their rows"


def test_bad_pictures_are_counted(tmp_path):
    put_all(tmp_path, TILES)
    for k in range(5):
        (tmp_path / f"bad{k}.png").write_bytes(b"bad")
    (tmp_path / "link.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(AliError, match=r"bad0\.png: not a readable image \(its bytes are not PNG, .*\); 6 of 18 are unreadable: "):
        images(str(tmp_path))
    notes = images(str(tmp_path), skip_bad=True).train.notes
    assert notes == (f"unreadable images left out: 6 ({', '.join(str(tmp_path / f'bad{k}.png') for k in range(3))}, ...)",)


def test_something_must_be_left(tmp_path):
    for part in ("train", "test"):
        put_all(tmp_path / part)
    for k in range(12):
        (tmp_path / "test" / f"{k:03d}.png").write_bytes(b"bad")
    with pytest.raises(AliError, match=f"^{tmp_path}: no image is left in a part of it; unreadable are 12"):
        images(str(tmp_path), skip_bad=True)


def test_labels_in_parquet_that_are_none_are_refused(tmp_path):
    path = put_parquet(tmp_path / "x.parquet", TILES[:3], label=pa.array([0.5, 1, 2]))
    with pytest.raises(AliError, match=r"x\.parquet: column 'label' must hold a class.*holds numbers with fractions"):
        images(str(path))


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_damaged_pictures_are_read_or_refused_and_never_a_traceback(data):
    kind = data.draw(st.sampled_from(["PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP"]))
    file = io.BytesIO()
    Image.fromarray(COLOURS[0]).save(file, kind)
    content = bytearray(file.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path = SHARED / "x.parquet"
    put_parquet(path, [COLOURS[1], COLOURS[2], bytes(content)])
    try:
        found = images(str(path), size=8)
    except AliError as refused:
        assert str(refused).startswith(f"{path}, row 2: ")  # noqa: PT017
    else:
        assert found.train.x.shape == (2, 8, 8, 3)


@pytest.fixture(autouse=True, scope="module")
def shared(tmp_path_factory):
    global SHARED
    SHARED = tmp_path_factory.mktemp("shared")
