"""Tables of anybody's: what is read, what each column becomes, that the way back is exact, and what is refused."""

import json

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet
from scipy.stats import kstest

import ali
from ali import preprocess
from ali.columns import Columns
from ali.data import tables
from ali.data.tables import Column

CSV = "age,income,city,owner,score\n31,1200.5,Rome,true,1.5\n47,880.25,Oslo,false,\n22,3100.0,Rome,true,2.5\n58,15.75,Köln,false,0.5\n"


def write(folder, text: str, name="rows.csv", encoding="utf-8") -> str:
    (folder / name).write_bytes(text.encode(encoding))
    return str(folder / name)


def everything(path: str, **options):
    """All rows of a table, training part first."""
    train, test = tables.table(path, **options)
    return np.concatenate([train.x, test.x]), train.columns


def test_columns_are_described(tmp_path):
    _, columns = everything(write(tmp_path, CSV))
    assert columns == (
        Column("age", "integer", (), False, 0),
        Column("income", "number", (), False, 2),
        Column("city", "category", ("Köln", "Oslo", "Rome"), False),
        Column("owner", "boolean", ("false", "true"), False),
        Column("score", "number", (), True, 1),
    )


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_delimiters_and_encodings_in_common_use_are_found_out(tmp_path, delimiter, encoding):
    expected, columns = everything(write(tmp_path, CSV, "expected.csv"))
    found, same = everything(write(tmp_path, CSV.replace(",", delimiter), encoding=encoding))
    np.testing.assert_array_equal(found, expected)
    assert same == columns


def test_parquet_and_csv_of_the_same_table_are_the_same(tmp_path):
    expected, columns = everything(write(tmp_path, CSV))
    frame = {"age": [31, 47, 22, 58], "income": [1200.5, 880.25, 3100.0, 15.75], "city": ["Rome", "Oslo", "Rome", "Köln"]}
    frame |= {"owner": [True, False, True, False], "score": [1.5, None, 2.5, 0.5]}
    parquet.write_table(pa.table(frame), tmp_path / "rows.parquet")
    found, same = everything(str(tmp_path / "rows.parquet"))
    np.testing.assert_array_equal(found, expected)
    assert same == columns


def test_label_is_taken_out_and_dropped_columns_are_gone(tmp_path):
    train, test = tables.table(write(tmp_path, CSV), label="city", drop="age, owner")
    assert [column.name for column in train.columns] == ["income", "score"]
    assert train.classes == ("Köln", "Oslo", "Rome")
    assert sorted([*train.y, *test.y]) == [0, 1, 2, 2]


def test_columns_without_a_difference_are_left_out_and_said(tmp_path):
    train, _ = tables.table(write(tmp_path, "a,b,c,d\n1,7,,x\n2,7,NA,y\n3,7,,x\n4,7,,y\n"))
    assert [column.name for column in train.columns] == ["a", "d"]
    assert train.notes == ("column 'b' is constant (7): it is left out", "column 'c' is empty: it is left out")
    np.testing.assert_array_equal(tables.to_matrix(tables.read(write(tmp_path, "d,a,b\ny,2,8\n")), train.columns, "rows"), [[2, 1]])


def test_matrix_and_table_are_the_same_thing(tmp_path):
    rows = tables.read(write(tmp_path, CSV))
    _, columns = everything(write(tmp_path, CSV))
    back = tables.from_matrix(tables.to_matrix(rows, columns, "rows"), columns)
    assert back.to_pydict() == {
        "age": [31, 47, 22, 58],
        "income": [1200.5, 880.25, 3100.0, 15.75],
        "city": ["Rome", "Oslo", "Rome", "Köln"],
        "owner": [True, False, True, False],
        "score": [1.5, None, 2.5, 0.5],
    }
    assert back.schema.field("owner").type == pa.bool_()
    assert back.schema.field("age").type == pa.int64()


def numbers(n: int, seed: int = 0) -> np.ndarray:
    """Heavy tails, exact zeros, whole numbers, missing cells, three categories."""
    generator = np.random.default_rng(seed)
    heavy = generator.standard_cauchy(n)
    zeros = np.where(generator.random(n) < 0.4, 0.0, generator.exponential(3.0, n))
    whole = generator.poisson(3.0, n).astype(float)
    gaps = np.where(generator.random(n) < 0.25, np.nan, generator.normal(5.0, 2.0, n))
    return np.stack([heavy, zeros, whole, gaps, generator.integers(0, 3, n).astype(float)], 1)


COLUMNS = (
    Column("heavy", "number"),
    Column("zeros", "number"),
    Column("whole", "integer", (), False, 0),
    Column("gaps", "number", (), True),
    Column("kind", "category", ("a", "b", "c")),
)


@pytest.fixture(scope="module")
def fitted() -> Columns:
    return Columns.fit(numbers(20_000), COLUMNS)


def dithered(fitted: Columns, x: np.ndarray, seed: int = 0) -> torch.Tensor:
    torch.manual_seed(seed)
    return fitted.dither(torch.from_numpy(fitted.prepare(x)))


def test_every_column_of_numbers_becomes_standard_normal(fitted):
    z = dithered(fitted, numbers(20_000, seed=1))
    assert fitted.heads == (("linear", 4), ("sigmoid", 1), ("softmax", 3))
    for k in range(4):
        # Two samples of 20,000 from the same law lie within 0.0136 of one another at the 5 % level.
        assert kstest(z[:, k].numpy(), "norm").statistic < 0.02
    torch.testing.assert_close(z[:, 5:].sum(1), torch.ones(20_000))


def test_way_back_is_exact_whatever_the_noise_was(fitted):
    x = numbers(20_000)
    for seed in (0, 1):
        back = fitted.inverse(dithered(fitted, x, seed)).numpy()
        np.testing.assert_array_equal(back[:, 1:3][x[:, 1:3] == 0], 0)
        np.testing.assert_array_equal(back[:, 2], x[:, 2])
        np.testing.assert_array_equal(back[:, 4], x[:, 4])
        np.testing.assert_array_equal(np.isnan(back[:, 3]), np.isnan(x[:, 3]))
        middle = np.abs(x[:, 0]) < 10
        np.testing.assert_allclose(back[middle, 0], x[middle, 0], atol=1e-3)
    np.testing.assert_allclose(fitted.inverse(fitted.forward(torch.from_numpy(x))).numpy()[:, 3], x[:, 3], atol=1e-3)


def test_what_is_generated_is_a_valid_row(fitted):
    x = numbers(20_000)
    for scale in (1.0, 10.0, 1e6):
        back = fitted.inverse(scale * torch.randn(2000, 8, generator=torch.Generator().manual_seed(0))).numpy()
        for k in range(4):
            cells = back[:, k][~np.isnan(back[:, k])]
            assert np.nanmin(x[:, k]) <= cells.min()
            assert cells.max() <= np.nanmax(x[:, k])
        assert set(back[:, 2]) <= set(x[:, 2])
        assert set(back[:, 4]) <= {0.0, 1.0, 2.0}
        assert not np.isnan(back[:, [0, 1, 2, 4]]).any()


def test_values_beyond_the_training_range_lie_further_out(fitted):
    x = numbers(4)
    x[:, 2] = [3.0, x[:, 2].max(), 40.0, 400.0]
    z = fitted.forward(torch.from_numpy(x))[:, 2]
    assert z[1] < z[2] < z[3]
    assert z[3] > 100


def test_map_survives_json(fitted):
    again = preprocess.from_json(json.loads(json.dumps(fitted.to_json())))
    assert again == fitted


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-1e12, 1e12), min_size=2, max_size=60).filter(lambda values: len(set(values)) > 1))
def test_any_numbers_come_back(values):
    """Up to float32 in the normal scores: neighbouring ranks never change places."""
    x = np.array(values)[:, None]
    fitted = Columns.fit(x, (Column("x", "number"),))
    back = fitted.inverse(fitted.forward(torch.from_numpy(x))).numpy()
    spread = x.max() - x.min()
    assert np.abs(back - x).max() <= 1e-3 * spread + 1e-9


MIXED = CSV.splitlines()[0] + "\n" + "\n".join(
    f"{20 + k % 50},{100 + 7 * k % 900}.25,{('Rome', 'Oslo', 'Köln')[k % 3]},{('true', 'false')[k % 2]},{'' if k % 5 == 0 else k % 7}"
    for k in range(200)
)  # fmt: skip


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("table")
    return ali.Model.train("table", write(folder, MIXED), out=folder / "run", width=16, depth=1, latent=4, epochs=2)


def test_model_of_a_table_answers_with_tables(model, tmp_path):
    rows = tables.read(write(tmp_path, MIXED))
    z = model.encode(rows)
    assert z.shape == (200, 4)
    for table in (model.sample(50, seed=0), model.decode(z), model.reconstruct(rows)):
        assert isinstance(table, pa.Table)
        assert table.column_names == rows.column_names
        assert set(table.column("city").to_pylist()) <= {"Rome", "Oslo", "Köln"}
        assert all(20 <= age <= 69 for age in table.column("age").to_pylist())
    np.testing.assert_array_equal(model.encode(rows.select(["score", "owner", "city", "income", "age"])), z)  # any order
    np.testing.assert_array_equal(ali.load(model_folder(tmp_path, model)).encode(rows), z)


def model_folder(tmp_path, model):
    """Train the same run again: the same seed gives the same weights."""
    ali.Model.train("table", write(tmp_path, MIXED), out=tmp_path / "again", width=16, depth=1, latent=4, epochs=2)
    return tmp_path / "again"


def test_numbers_alone_stay_arrays(tmp_path):
    x = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    model = ali.Model.train("table", x, out=tmp_path / "run", width=8, depth=1, epochs=1)
    assert isinstance(model.sample(4), np.ndarray)
    assert model.sample(4).dtype == np.float32
    assert model.reconstruct(x).shape == (60, 3)


def test_data_frames_in_memory_are_tables(tmp_path):
    frame = {"a": list(range(40)), "b": ["x", "y"] * 20}
    model = ali.Model.train("table", frame, out=tmp_path / "run", width=8, depth=1, epochs=1)
    assert model.sample(3).column_names == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("", {}, "the file is empty"),
        ("a,b\n", {}, "no rows"),
        ("a,b\n1,2\n", {}, "is constant"),
        ("a,a\n1,2\n3,4\n", {}, r"column name\(s\) stand twice in the header, 'a' first"),
        ("a,\n1,2\n3,4\n", {}, "column 1 has no name"),
        ("a,b\n1,2\n3\n", {}, "line 3: 1 cells, but the header has 2"),
        ("a,b\n1,2\n3,4,5\n", {}, "line 3: 3 cells"),
        ("a,b\n7,\n7,\n", {}, r"column 'a' is constant \(7\); column 'b' is empty. There is nothing to learn"),
        ("a,b\n" + "".join(f"{k},{k}\n" for k in range(30)) + "31,oops\n", {}, "column 'b' holds numbers, but 1 of 31 .* 'oops'"),
        ("a,b\n" + "".join(f"{k},word{k}\n" for k in range(150)), {}, "column 'b' has 150 different texts among 150 rows.*--drop b"),
        ("a,b\n1,2\n3,4\n", {"label": "c"}, "no column 'c'; its columns are a, b"),
        ("a,b\n1,2\n3,4\n", {"drop": "x"}, "no column 'x'"),
        ("a,b\n1,2\n3,4\n", {"drop": "a,b"}, "no column is left"),
        ("a,b\n1,\n3,NA\n", {"label": "b"}, "label column 'b' is empty in every row"),
        ("a,b\n1,2\n3,4\n", {"delimiter": ";;"}, "a delimiter is one character"),
        ("a,b\n1,2\n3,4\n", {"encoding": "klingon"}, "klingon"),
    ],
)  # fmt: skip
def test_bad_tables_are_refused_in_words(tmp_path, text, options, words):
    path = write(tmp_path, text)
    with pytest.raises(ali.AliError, match=words):
        preprocess.fit(tables.table(path, **options).train, "modern")


def test_delimiter_is_taken_as_told(tmp_path):
    train = tables.table(write(tmp_path, "a;b\n1;2\n3;4\n"), delimiter=",").train
    assert [column.name for column in train.columns] == ["a;b"]


def test_binary_and_damaged_files_are_refused(tmp_path):
    (tmp_path / "x.csv").write_bytes(bytes(range(256)) * 8)
    parquet.write_table(pa.table({"a": list(range(1000))}), tmp_path / "x.parquet")
    whole = (tmp_path / "x.parquet").read_bytes()
    (tmp_path / "x.parquet").write_bytes(whole[: len(whole) // 2])
    for name in ("x.csv", "x.parquet", "nowhere.csv"):
        with pytest.raises(ali.AliError, match=name):
            tables.table(str(tmp_path / name))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.drop_columns(["age"]), "no column 'age'; this run knows age, income"),
        (
            lambda t: t.set_column(2, "city", pa.array(["Paris"] * len(t))),
            r"column 'city', row 1: 'Paris' was never seen; it knows Köln.*\(\d+ rows have such cells: 1, 2",
        ),
        (lambda t: t.set_column(0, "age", pa.array(["old"] * len(t))), "column 'age', row 1: 'old' is not a finite number"),
        (lambda t: t.set_column(0, "age", pa.array([None] * len(t), pa.int64())), "column 'age', row 1 is empty"),
        (lambda t: 7, "not a table"),
        (lambda t: np.zeros((3, 4)), "rows of 5 columns"),
        (lambda t: np.full((3, 5), 9.0), "column 'city' is 9.0; it must be a category's number, 0 to 2"),
    ],
)  # fmt: skip
def test_other_tables_are_refused_by_a_trained_run(model, tmp_path, change, words):
    rows = tables.read(write(tmp_path, MIXED))
    with pytest.raises(ali.AliError, match=words):
        model.encode(change(rows))


def test_runs_are_evaluated_on_their_own_rows_and_written_as_tables(tmp_path, monkeypatch, capsys):
    from ali.cli import main

    monkeypatch.chdir(tmp_path)
    ali.Model.train("table", write(tmp_path, MIXED), out=tmp_path / "run", width=4, depth=1, epochs=1)
    for verb in ("sample", "reconstruct", "interpolate"):
        monkeypatch.setattr("sys.argv", ["ali", verb, "run"])
        with pytest.raises(SystemExit, match="0"):
            main()
    assert {"samples.csv", "reconstructions.csv", "interpolations.csv"} <= {path.name for path in tmp_path.iterdir()}
    head, *rows = MIXED.splitlines()
    write(tmp_path, "\n".join([head, *rows[::-1]]))
    monkeypatch.setattr("sys.argv", ["ali", "evaluate", "run"])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert "other rows than it was trained on" in capsys.readouterr().err


# Numbers that are none, none that can be kept, or that are written otherwise.


@pytest.mark.parametrize("factor", [1e-200, 1.0, 1e200])
def test_numbers_of_any_size_that_float64_holds_are_kept(tmp_path, factor):
    x = np.random.default_rng(0).normal(3, 1, 400) * factor
    path = write(tmp_path, "a,b\n" + "".join(f"{i % 7},{v!r}\n" for i, v in enumerate(x.tolist())))
    train = tables.table(path).train
    prepared = preprocess.fit(train, "modern")
    z = prepared.forward(torch.from_numpy(train.x))
    assert kstest(z[:, 1].numpy(), "norm").pvalue > 0.01
    assert np.abs(prepared.inverse(z).numpy()[:, 1] / train.x[:, 1] - 1).max() < 1e-3
    rows = tables.from_matrix(prepared.inverse(z).numpy(), train.columns)
    assert rows.column("b").type == pa.float64()


def test_values_far_outside_the_training_range_are_refused_by_row_and_column(tmp_path):
    x = np.random.default_rng(0).normal(size=(1500, 2))
    model = ali.Model.train("table", x, out=tmp_path / "run", width=8, depth=1, latent=2, epochs=1)
    far = x[:1500].astype(np.float32)
    far[3, 1] = 1e6
    assert np.isfinite(model.encode(far)).all()
    far[1200, 1] = 1e38
    with pytest.raises(ali.AliError, match=r"row 1200, column 'x1' is .*e\+3.*further than networks see"):
        model.encode(far)


def test_files_name_the_row_and_column_of_what_is_refused(tmp_path, monkeypatch, capsys):
    from ali.cli import main

    x = np.random.default_rng(0).normal(size=(60, 2)).round(3).tolist()
    text = "a,b\n" + "".join(f"{a},{b}\n" for a, b in x)
    ali.Model.train("table", write(tmp_path, text), out=tmp_path / "run", width=8, depth=1, latent=2, epochs=1)
    bad = write(tmp_path, text.replace(f"{x[5][0]},", "1e300,"), "bad.csv")
    monkeypatch.setattr("sys.argv", ["ali", "encode", str(tmp_path / "run"), bad, "--out", str(tmp_path / "codes.csv")])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert "bad.csv: row 6, column 'a' is 1e+300" in capsys.readouterr().err
    assert not (tmp_path / "codes.csv").exists()


MANY = range(150)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a;b\n" + "".join(f"{i},5;{i}.5\n" for i in range(30)), "column 'b' holds '0.5', with a point, and column 'a' decimal commas"),
        ("a;b\n" + "".join(f"{i + 1},{i + 100};{i}\n" for i in range(30)), "column 'a' holds '1,100': is the comma a decimal mark"),
        ("a,b\n" + "".join(f'"{i + 1},234.5",{i}\n' for i in range(30)), "column 'a' holds numbers such as '1,234.5': take marks between"),
        ("a,b\n" + "".join(f'"{i + 1},5",{i}\n' for i in range(30)), "column 'a' holds numbers such as '1,5'.*--decimal ,"),
        ("a,b\n" + "".join(f"0{i + 1000},{i}\n" for i in MANY), "column 'a' has 150 .*at most 100.*an id or a code. '01000' beg"),
        ("a,b\n" + "".join(f"{10**17 + i},{i}\n" for i in MANY), "column 'a' holds whole numbers beyond 2.53 .*as ids are"),
        ("a,b\n" + "".join(f"{i}e306,{i}\n" for i in range(9)), "column 'a' holds 8e306, beyond 1e.300"),
        ("a,b\n" + "".join(f"2024-{i % 12 + 1:02}-{i % 28 + 1:02}x{i},{i}\n" for i in MANY), "dates. Make them numbers first"),
        ("a,b\n1,2\n2,3\n\"3,4\n5,6\n7,8\n", "line 4: 1 cells.*goes on for 4 lines: is one never closed"),
    ],
)  # fmt: skip
def test_texts_that_look_like_numbers_are_refused_in_words(tmp_path, text, words):
    with pytest.raises(ali.AliError, match=words):
        tables.table(write(tmp_path, text))


def test_a_decimal_comma_is_read_where_it_makes_whole_columns_numbers(tmp_path):
    text = "a;b;c\n" + "".join(f"{i}.25;{i};w{i % 3}\n" for i in range(30))
    expected, columns = everything(write(tmp_path, text))
    path = write(tmp_path, text.replace(".", ","), "commas.csv")
    found, same = everything(path)
    assert same == columns
    np.testing.assert_array_equal(found, expected)
    assert "decimal commas read as such in a" in tables.table(path).train.notes[0]
    assert everything(path, decimal=",")[1] == columns
    unsure = write(tmp_path, "a;b\n" + "".join(f"1,{i + 100};{i}\n" for i in range(30)))
    assert everything(unsure, decimal=",")[0][:, 0].max() == 1.129
    quoted = write(tmp_path, "a,b\n" + "".join(f'"{i},5",{i}\n' for i in range(30)))
    assert everything(quoted, decimal=",")[0][:, 0].max() == 29.5


def test_codes_with_leading_zeros_are_categories(tmp_path):
    train, _ = tables.table(write(tmp_path, "plz,b\n" + "".join(f"0{i % 5},{i}\n" for i in range(30))))
    assert train.columns[0] == Column("plz", "category", ("00", "01", "02", "03", "04"))
    assert "begins with 0" in train.notes[0]


def test_whole_numbers_beyond_what_float64_tells_apart_are_refused_in_arrays(tmp_path):
    x = np.arange(40, dtype=np.int64).reshape(-1, 2)
    x[:, 0] += 2**60
    with pytest.raises(ali.AliError, match=r"column 'x0' holds whole numbers beyond 2\^53"):
        ali.Model.train("table", x, out=tmp_path / "run")


def test_whole_numbers_written_as_fractions_stay_fractions(tmp_path):
    from ali import files

    train, _ = tables.table(write(tmp_path, "a,b\n" + "".join(f"{i}.0,{i}\n" for i in range(30))))
    assert [(column.kind, column.decimals) for column in train.columns] == [("number", 0), ("integer", 0)]
    files.write_table(tmp_path / "out.csv", [tables.from_matrix(np.array([[3.0, 4.0], [5.0, 6.0]]), train.columns)])
    assert (tmp_path / "out.csv").read_text() == '"a","b"\n3.0,4\n5.0,6\n'


def test_cells_without_text_are_empty_wherever_a_table_comes_from(tmp_path):
    """Other readers of CSV files make texts of no letters of empty cells; ours makes them missing."""
    (tmp_path / "t.csv").write_text("kind,c\nred,1\n,2\nblue,3\nred,4\n")
    ours, theirs = tables.read(str(tmp_path / "t.csv")), pa.table({"kind": ["red", "", "blue", "red"], "c": [1, 2, 3, 4]})
    known = tables.describe_frame(theirs)
    assert known.columns == tables.describe_frame(ours).columns == (Column("kind", "category", ("blue", "red"), True), known.columns[1])
    np.testing.assert_array_equal(known.x, tables.to_matrix(ours, known.columns, "rows"))
    assert np.isnan(known.x[:, 0]).tolist() == [False, True, False, False]
