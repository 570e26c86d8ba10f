"""CelebA from its official files: the authors' crop, the published split, and bad files."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_official import put, refused

from ali.data import official_pictures
from ali.data.official import celeba
from ali.data.official_checksums import Unofficial
from ali.data.official_pictures import cut_face

RNG = np.random.default_rng(0)

pytestmark = pytest.mark.usefixtures("_tiny_files_are_not_the_published_ones")

NUMBERS = (1, 2, 162_770, 162_771, 182_637, 182_638, 202_599)  # the first and last of each part
PARTS = (0, 0, 0, 1, 1, 2, 2)


def picture(number: int, size: tuple[int, int] = (178, 218)) -> Image.Image:
    """Smooth ramps down and to the right, and a blue of its own."""
    down, right = np.mgrid[0 : 255 : size[1] * 1j, 0 : 255 : size[0] * 1j]
    return Image.fromarray(np.stack([down, right, np.full_like(down, number % 251)], -1).astype(np.uint8))


def put_faces(folder: Path, numbers=NUMBERS, inner: str = "img_align_celeba") -> Path:
    (folder / inner).mkdir(parents=True)
    for number in numbers:
        picture(number).save(folder / inner / f"{number:06d}.jpg", quality=95)
    return folder


def partition(numbers=NUMBERS, parts=PARTS) -> bytes:
    return "".join(f"{number:06d}.jpg {part}\n" for number, part in zip(numbers, parts, strict=True)).encode()


@pytest.mark.parametrize("form", ["in PATH", "one level down", "in itself", "without a partition"])
def test_celeba_is_cropped_as_the_authors_did_and_split_as_published(tmp_path, monkeypatch, form):
    monkeypatch.setattr(official_pictures, "FACES", len(NUMBERS))
    folder = tmp_path / "celeba" if form == "one level down" else tmp_path
    put_faces(folder, inner="img_align_celeba/img_align_celeba" if form == "in itself" else "img_align_celeba")
    if form != "without a partition":
        put(folder, {"list_eval_partition.txt": partition()})
    train, test = celeba(str(tmp_path))
    assert (train.x.shape, test.x.shape, train.x.dtype) == ((3, 64, 64, 3), (2, 64, 64, 3), np.uint8)
    assert train.y is test.y is None
    assert train.notes == ("no list_attr_celeba.txt lies near the pictures: rows have no attributes",)
    blue = [number % 251 for number in NUMBERS]
    means = [*train.x[..., 2].mean((1, 2)), *test.x[..., 2].mean((1, 2))]
    assert means == pytest.approx([*blue[:3], *blue[5:]], abs=2), "in the order of the numbers"
    # Row r of the result is row r + 7 of 78: centred at (r + 7.5) / 78 of the picture's height; columns keep the whole width.
    red, green = train.x[0, :, 32, 0], train.x[0, 32, :, 1]
    np.testing.assert_allclose(red[5:-5], (255 * (np.arange(64) + 7.5) / 78)[5:-5], atol=2.5)
    np.testing.assert_allclose(green[5:-5], (255 * (np.arange(64) + 0.5) / 64)[5:-5], atol=2.5)


def test_a_celeba_face_is_exactly_that_of_the_authors_pipeline(tmp_path):
    noise = Image.fromarray(RNG.integers(0, 256, (218, 178, 3), dtype=np.uint8))
    wanted = np.asarray(noise.resize((64, 78), Image.Resampling.LANCZOS))[7:71]
    assert np.array_equal(np.asarray(cut_face(noise)), wanted)


def test_the_partition_decides_not_the_numbers(tmp_path):
    put_faces(tmp_path, (1, 2, 3))
    put(tmp_path, {"list_eval_partition.txt": partition((1, 2, 3), (2, 0, 1))})
    train, test = celeba(str(tmp_path))
    assert [round(part.x[..., 2].mean()) for part in (train, test)] == pytest.approx([2, 1], abs=1)


def test_an_incomplete_folder_of_faces_without_a_partition_warns(tmp_path):
    put_faces(tmp_path, (1, 2, 182_638))
    with pytest.warns(Unofficial, match="holds 3 of CelebA's 202,599 pictures"):
        assert [len(part) for part in celeba(str(tmp_path))] == [2, 1]


def test_bad_partitions_are_refused_by_line(tmp_path):
    put_faces(tmp_path, (1, 182_638))
    for lines, words in (
        (b"000001.jpg 0\n000002.jpg 3\n", r"list_eval_partition\.txt, line 2: expected .*found '000002\.jpg 3'"),
        (b"000001.jpg\n", r"line 1: expected"),
        (b"000001.jpg 0\n000002.jpg 0\n182638.jpg 2\n", r"000002\.jpg: is missing, and list_eval_partition\.txt names it"),
        (b"000001.jpg 0\n", r"no picture of the test part \(182638\.jpg to 202599\.jpg\)"),
        (b"", "no picture of the training part"),
    ):
        refused(celeba, put(tmp_path, {"list_eval_partition.txt": lines}), words)


def test_bad_faces_are_refused_by_name(tmp_path):
    put_faces(tmp_path, (1, 2, 182_638))
    put(tmp_path, {"list_eval_partition.txt": partition((1, 2, 182_638), (0, 0, 2))})
    bad = tmp_path / "img_align_celeba" / "000002.jpg"
    whole = bad.read_bytes()
    for content in (b"", b"hello", whole[: len(whole) // 2]):
        bad.write_bytes(content)
        assert refused(celeba, tmp_path, "not a readable picture").startswith(f"{bad}: ")
    picture(2, (89, 109)).save(bad)
    refused(celeba, tmp_path, rf"{bad}: expected an aligned picture of 178 x 218 pixels, found 89 x 109")
