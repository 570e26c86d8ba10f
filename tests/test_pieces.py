"""Verbs and files piece by piece: the same numbers as at once."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from pyarrow import csv

import ali
from ali import files
from ali.cli.verbs import classify, encode, reconstruct, score
from ali.data import tables

RNG = np.random.default_rng(0)
XS = [RNG.integers(0, 256, (12, 12, 3), dtype=np.uint8) for _ in range(60)]
YS = [k % 3 for k in range(60)]
NAMES = ("ant", "bee", "cow")
SMALL = {"networks": "mlp", "width": 4, "depth": 1, "latent": 3, "epochs": 2}


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("trained") / "run"
    ali.Model.train("images", np.stack(XS), out=run, **SMALL)
    return run


def test_pieces_hold_what_is_computed_at_once(trained):
    model = ali.load(trained)
    x = RNG.integers(0, 256, (5003, 12, 12, 3), dtype=np.uint8)
    cuts = [x[:1], x[1:700], x[700:4100], x[4100:]]
    for verb in ("encode", "reconstruct"):
        expected = getattr(model, verb)(x, draw=True, seed=3)
        for rows in (x, cuts):
            got = list(model.each(verb, rows, draw=True, seed=3))
            assert max(map(len, got)) <= 1000
            np.testing.assert_array_equal(np.concatenate(got), expected)
    z = model.encode(x)
    np.testing.assert_array_equal(np.concatenate(list(model.each("decode", [z[:3], z[3:]]))), model.decode(z))
    with pytest.raises(ali.AliError, match="z: row 2315 has a number"):
        list(model.each("decode", np.where(np.arange(5003)[:, None] == 2315, np.nan, z)))


@pytest.fixture(scope="module")
def conditional(tmp_path_factory) -> ali.Model:
    run = tmp_path_factory.mktemp("trained") / "conditional"
    return ali.Model.train("images", (np.stack(XS), np.array(NAMES)[YS]), out=run, recipe="conditional", **SMALL)


def test_labels_go_with_the_rows_in_pieces(conditional):
    x, y = RNG.integers(0, 256, (2500, 12, 12, 3), dtype=np.uint8), RNG.integers(0, 3, 2500)
    cuts = [x[:1], x[1:1700], x[1700:]]
    z = conditional.encode(x, y)
    for rows in (x, cuts):
        np.testing.assert_array_equal(np.concatenate(list(conditional.each("encode", rows, y))), z)
        np.testing.assert_array_equal(np.concatenate(list(conditional.each("encode", rows, "bee"))), conditional.encode(x, "bee"))
    assert np.abs(conditional.encode(x, "bee") - z).max() > 0.01
    back = np.concatenate(list(conditional.each("reconstruct", cuts, y, draw=True, seed=1)))
    np.testing.assert_array_equal(back, conditional.reconstruct(x, y, draw=True, seed=1))
    for n in (1, 2499, 2501):
        for rows in (x, cuts):
            with pytest.raises(ali.AliError, match=rf"y: {n} labels for .*\d rows"):
                list(conditional.each("encode", rows, np.resize(y, n)))


def test_samples_in_pieces_are_those_at_once_and_the_codes_do_not_depend_on_labels(conditional, monkeypatch):
    monkeypatch.setattr("ali.passes.DRAWN", 64)
    y = RNG.integers(0, 3, 200)
    codes = np.concatenate(list(conditional.codes(200, seed=4)))
    np.testing.assert_array_equal(conditional.sample(200, y=y, seed=4), conditional.decode(codes, y))
    for labels in (None, "cow", y):
        some = list(conditional.samples(200, y=labels, seed=4))
        assert len(some) > 2
        np.testing.assert_array_equal(np.concatenate(some), conditional.sample(200, y=labels, seed=4))


@pytest.mark.parametrize("ending", ["csv", "parquet", "npy"])
def test_scores_and_classes_in_pieces_are_those_at_once(trained, tmp_path, monkeypatch, ending):
    model = ali.load(trained)
    model.classes = NAMES
    model.game.score = lambda x: x.flatten(1).square().mean(1)
    model.game.classify = lambda x: x.flatten(1)[:, :3].softmax(1)
    x = RNG.integers(0, 256, (2500, 12, 12, 3), dtype=np.uint8)
    np.save(tmp_path / "x.npy", x)
    assert [len(some) for some in model.each("score", [x[:7], x[7:]])] == [1000, 1000, 500]
    monkeypatch.setattr("ali.cli.verbs.open_model", lambda run, recipe: model)
    for verb in (score, classify):
        verb(trained, tmp_path / "x.npy", out=tmp_path / f"{verb.__name__}.{ending}")
    p = model.classify(x)
    if ending == "npy":
        np.testing.assert_array_equal(np.load(tmp_path / "score.npy"), model.score(x))
        np.testing.assert_array_equal(np.load(tmp_path / "classify.npy"), p)
        return
    read = csv.read_csv if ending == "csv" else pq.read_table
    scores, classes = read(tmp_path / f"score.{ending}"), read(tmp_path / f"classify.{ending}")
    assert (scores.column_names, classes.column_names) == (["score"], [*NAMES, "likeliest"])
    np.testing.assert_allclose(scores.column("score"), model.score(x), rtol=1e-6)
    np.testing.assert_allclose(np.stack([classes.column(name) for name in NAMES], 1), p, rtol=1e-6)
    assert classes.column("likeliest").to_pylist() == [NAMES[k] for k in p.argmax(1)]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_rows_of_a_folder_are_named_after_its_pictures(trained, tmp_path, monkeypatch, ending):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ali.files.NUMBERS", 64)  # cuts between blocks fall within pieces
    model = ali.load(trained)
    model.classes = NAMES
    model.game.score = lambda x: x.flatten(1).square().mean(1)
    model.game.classify = lambda x: x.flatten(1)[:, :3].softmax(1)
    monkeypatch.setattr("ali.cli.verbs.open_model", lambda *_: model)
    x = {
        name: RNG.integers(0, 256, (12, 12, 3), dtype=np.uint8)
        for name in ("b/2.png", "a.png", "b/10.png", *(f"c/{k}.png" for k in range(90)))
    }
    for name, picture in x.items():
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(tmp_path / "photos" / name)
    for verb in (score, classify, encode):
        verb(trained, Path("photos"), out=Path(f"{verb.__name__}.{ending}"))
    read = csv.read_csv if ending == "csv" else pq.read_table
    scores, classes, codes = (read(f"{name}.{ending}") for name in ("score", "classify", "encode"))
    for table in (scores, classes, codes):
        assert table.column_names[0] == "file_name"
        assert sorted(table.column("file_name").to_pylist()) == sorted(x)
    for name, value in zip(scores.column("file_name").to_pylist(), scores.column("score").to_pylist(), strict=True):
        assert value == pytest.approx(model.score(x[name][None]).item(), rel=1e-6)
    z = np.concatenate(list(files.read_numbers(Path(f"encode.{ending}"))))  # the names are passed over
    np.testing.assert_allclose(z, model.encode(np.stack([x[name] for name in codes.column("file_name").to_pylist()])), rtol=1e-4, atol=1e-5)
    # What classes are called is read back as labels of the same pictures, in whatever order their lines stand.
    shuffled = classes.take(RNG.permutation(len(x)))
    (csv.write_csv if ending == "csv" else pq.write_table)(shuffled, f"shuffled.{ending}")
    assert list(files.read_labels(Path(f"shuffled.{ending}"), (), "likeliest", Path("photos"))) == classes.column("likeliest").to_pylist()


@pytest.mark.parametrize("dim", [1, 16])
@pytest.mark.parametrize("n", [1, 2**14, 2**14 + 1, 2**14 + 15, 2**14 + 16, 40_000])
def test_codes_in_pieces_are_those_of_one_draw(trained, dim, n):
    model = ali.load(trained)
    model.game.prior.dim = dim
    torch.manual_seed(7)
    np.testing.assert_array_equal(np.concatenate(list(model.codes(n, seed=7, candidates=1))), torch.randn(n, dim).numpy())


def test_files_in_pieces_hold_what_would_be_written_at_once(tmp_path):
    z = RNG.standard_normal((3000, 5)).astype(np.float32)
    table = pa.table({f"z{k}": z[:, k] for k in range(5)})
    cuts = [z[:7], z[7:2000], z[2000:]]
    for ending in ("npy", "csv", "parquet"):
        files.write_numbers(tmp_path / f"z.{ending}", iter(cuts))
        np.testing.assert_array_equal(np.concatenate(list(files.read_numbers(tmp_path / f"z.{ending}"))), z)
    np.save(tmp_path / "once.npy", z)
    csv.write_csv(table, tmp_path / "once.csv")
    assert (tmp_path / "z.npy").read_bytes() == (tmp_path / "once.npy").read_bytes()
    assert (tmp_path / "z.csv").read_bytes() == (tmp_path / "once.csv").read_bytes()
    assert pq.read_table(tmp_path / "z.parquet").equals(table)
    assert pq.ParquetFile(tmp_path / "z.parquet").num_row_groups == 1
    x = RNG.integers(0, 256, (70, 9, 9, 3), dtype=np.uint8)
    files.write_images(tmp_path / "pictures", iter([x[:50], x[50:]]), 255.0)
    read = list(files.read_images(tmp_path / "pictures", (9, 9, 3), 255.0, "uint8"))
    assert len(read) == 2
    np.testing.assert_array_equal(np.concatenate(read), x)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["once.csv", "once.npy", "pictures", "z.csv", "z.npy", "z.parquet"]


@pytest.mark.parametrize("name", ["z.npy", "z.csv", "z.parquet", "pictures"])
def test_what_fails_on_the_way_leaves_nothing(tmp_path, name):
    def pieces():
        yield RNG.integers(0, 9, (3, 4, 4) if name == "pictures" else (2**18, 4))
        raise ali.AliError("in the middle")

    write = files.write_images if name == "pictures" else files.write_numbers
    with pytest.raises(ali.AliError, match="in the middle"):
        write(tmp_path / "new" / name, pieces(), 9.0 if name == "pictures" else "z")
    assert list(tmp_path.rglob("*")) == [tmp_path / "new"]


def test_numbers_of_all_kinds_are_read(tmp_path):
    x = RNG.standard_normal((50, 4))
    np.save(tmp_path / "columns.npy", np.asfortranarray(x))
    np.save(tmp_path / "swapped.npy", x.astype(">f8"))
    (tmp_path / "late.csv").write_text("a,b\n" + "1,2\n" * 400_000 + "1.5,2\n")
    for name in ("columns", "swapped"):
        np.testing.assert_array_equal(np.concatenate(list(files.read_numbers(tmp_path / f"{name}.npy"))), x.astype(np.float32))
    late = list(files.read_numbers(tmp_path / "late.csv"))
    assert max(map(len, late)) < 400_001
    assert np.concatenate(late).sum() == 3 * 400_000 + 3.5, "whole numbers at first, others later"
    (tmp_path / "gap.csv").write_text("a,b\n" + "1,2\n" * 400_000 + "1,\n")
    (tmp_path / "names.csv").write_text("file_name\na.png\n")
    np.save(tmp_path / "single.npy", 3.0)
    np.save(tmp_path / "short.npy", x)
    (tmp_path / "short.npy").write_bytes((tmp_path / "short.npy").read_bytes()[:-1])
    np.save(tmp_path / "words.npy", np.array(["a", "b"]))
    for name, words in {
        "gap.csv": "column 'b', row 400000 is empty",
        "names.csv": "has no column of numbers",
        "single.npy": "expected rows of numbers",
        "short.npy": "shorter than its header says",
        "words.npy": "expected one array of numbers",
    }.items():
        with pytest.raises(ali.AliError, match=words):
            list(files.read_numbers(tmp_path / name))


def test_tables_are_read_in_pieces_and_rows_counted_from_the_first(tmp_path):
    n = 9000
    table = pa.table({"age": RNG.integers(0, 90, n), "kind": np.array(NAMES)[RNG.integers(0, 3, n)]})
    csv.write_csv(table.slice(0, 300), tmp_path / "rows.csv")
    model = ali.Model.train("table", str(tmp_path / "rows.csv"), out=tmp_path / "run", width=4, depth=1, latent=2, epochs=1)
    csv.write_csv(table, tmp_path / "all.csv")
    pq.write_table(table, tmp_path / "all.parquet")

    for ending in ("csv", "parquet"):
        encode(tmp_path / "run", tmp_path / f"all.{ending}", out=tmp_path / "z.npy")
        np.testing.assert_array_equal(np.load(tmp_path / "z.npy"), model.encode(table))
    reconstruct(tmp_path / "run", tmp_path / "all.csv", out=tmp_path / "back.parquet")
    assert pq.read_table(tmp_path / "back.parquet").equals(model.reconstruct(table))
    (tmp_path / "all.csv").write_text((tmp_path / "all.csv").read_text() + '1,"dog"\n')
    with pytest.raises(ali.AliError, match=r"all\.csv: column 'kind', row 9001: 'dog' was never seen"):
        encode(tmp_path / "run", tmp_path / "all.csv", out=tmp_path / "z.csv")
    assert not (tmp_path / "z.csv").exists()


def test_decimal_commas_are_found_out_over_all_of_a_file(tmp_path):
    """The first of them stands far behind the first lines that are in memory together."""
    n = 5000
    text = "a;b\n" + "".join(f"{k},{k % 10};{k % 7}\n" if k == n - 1 else f"{k};{k % 7}\n" for k in range(n))
    (tmp_path / "late.csv").write_text(text)
    read = list(tables.pieces(str(tmp_path / "late.csv")))
    assert [len(rows) for rows in read] == [0, 4096, 904]
    assert pa.concat_tables(read).column("a").to_pylist() == [*map(str, range(n - 1)), "4999.9"]
    (tmp_path / "late.csv").write_text(text.replace("\n0;0", "\n0.5;0"))
    with pytest.raises(ali.AliError, match="column 'a' holds numbers such as '4999,9'"):
        tables.table(str(tmp_path / "late.csv"))
    (tmp_path / "late.csv").write_text(text + "1;2;3\n")
    with pytest.raises(ali.AliError, match="line 5002: 3 cells, but the header has 2"):
        tables.pieces(str(tmp_path / "late.csv"))


def test_a_gpu_that_has_no_memory_for_all_rows_takes_them_in_halves(trained, monkeypatch):
    model, x = ali.load(trained), RNG.integers(0, 256, (300, 12, 12, 3), dtype=np.uint8)
    expected = model.encode(x), model.reconstruct(x)
    met = []

    def short_of_memory(network):
        def through(rows, *others):
            met.append(len(rows))
            if len(rows) > room:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return network(rows, *others)

        return through

    game = model._passes.game
    for verb in ("encode", "decode"):
        monkeypatch.setattr(game, verb, short_of_memory(getattr(game, verb)))
    room = 40
    np.testing.assert_allclose(model.encode(x), expected[0], rtol=1e-5, atol=1e-6)
    assert met.count(300) == 1
    assert sum(n for n in met if n <= room) == 300  # 150, 75, 38: every row once
    np.testing.assert_array_equal(model.reconstruct(x), expected[1])
    room = 0
    with pytest.raises(torch.OutOfMemoryError):
        model.encode(x)
