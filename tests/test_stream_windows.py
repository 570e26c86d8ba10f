"""Windows of a stream: the order of rows in them, a run that stops within one, and the memory that they bound."""

import os
import shutil
import subprocess
import sys
import textwrap

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_streams import SMALL, assert_same_weights, png, put_tar

import ali
from ali.data import pixels, store, streams
from ali.data.images import images
from ali.data.source import Source, stream
from ali.session import Session, Stopped

RNG = np.random.default_rng(0)


def blocks(reads: list[int], sizes: tuple[int, ...], rows: int = 10, window: int = 100) -> streams.Streamed:
    """Rows in blocks of these many bytes; what is read is noted."""
    labels = [None] * (rows * len(sizes))

    def read(block: int) -> list[pixels.Picture]:
        reads.append(block)
        return [pixels.Picture("", b"x" * (sizes[block] // rows))] * rows

    known = pixels.Rows(labels, read, b"", np.arange(len(sizes)) * rows, np.array(sizes))
    return streams.Streamed(streams.Blocks(known, window), 8, "centre", True)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from([10, 30, 50, 100]), min_size=1, max_size=30), st.integers(0, 2**32))
def test_an_epoch_visits_every_row_once_and_reads_every_block_once(sizes, seed):
    reads: list[int] = []
    x = blocks(reads, tuple(sizes)).select(slice(None, None, 3))
    order = x.order(np.random.default_rng(seed))
    np.testing.assert_array_equal(np.sort(order), np.arange(len(x)))
    np.testing.assert_array_equal(order, x.order(np.random.default_rng(seed)))
    for row in order:
        x.blocks.picture(int(x.index[row]))
        assert x.blocks.held <= 100
    assert sorted(reads) == list(range(len(sizes)))


def test_rows_are_shuffled_within_and_between_windows():
    x = blocks([], (50,) * 40)
    first, second = (x.order(np.random.default_rng((0, epoch))) for epoch in (0, 1))
    assert (first != second).mean() > 0.9
    starts = first.reshape(-1, 20) // 10  # two blocks are shuffled together
    assert all(len(set(window)) == 2 for window in starts)
    assert (np.diff(starts, axis=1) != 0).mean() == pytest.approx(10 / 19, abs=0.07)
    neighbours = [abs(len(set(window)) and max(window) - min(window)) for window in starts]
    assert np.mean(neighbours) == pytest.approx(41 / 3, abs=5), "any two blocks may meet"


def test_the_batch_of_a_step_depends_on_seed_and_step_alone():
    x = blocks([], (50,) * 12)
    told = Source(_Told(x))
    whole = stream(told, 7, seed=5)
    batches = [next(whole).x.tolist() for _ in range(40)]
    for start in (1, 16, 17, 33):
        assert next(stream(told, 7, seed=5, start=start)).x.tolist() == batches[start]
    assert len({row for batch in batches[:17] for row in batch}) == 119, "120 rows fill 17 batches but for one row"


def test_a_labelled_share_keeps_to_the_window():
    """Two orders at a time, one of labelled rows, and still no block is read more than once by each in an epoch."""
    reads: list[int] = []
    x = blocks(reads, (25,) * 40, rows=20)
    y = np.where(np.arange(800) % 8 == 0, np.arange(800) % 3, -1)
    told = _Told(x, touch=True)
    batches = stream(Source(told, y), 10, seed=3, labelled=2)
    drawn = [next(batches) for _ in range(50)]  # 100 labelled rows, each once; 400 others
    heads = [int(row) for batch in drawn for row in batch.x[:2]]
    assert sorted(heads) == list(range(0, 800, 8))
    assert len({int(row) for batch in drawn for row in batch.x[2:]}) == 400
    assert len(reads) < 40 + 40, "half of the blocks for half an epoch, and all once for labelled rows"
    again = stream(Source(told, y), 10, seed=3, start=31, labelled=2)
    assert next(again).x.tolist() == drawn[31].x.tolist()


class _Told:
    """Row numbers in the order of other rows, which may be read, too."""

    def __init__(self, x: streams.Streamed, touch: bool = False):
        self.x, self.touch, self.dtype, self.nbytes, self.shape = x, touch, np.dtype(int), 8 * len(x), (len(x),)

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index) -> np.ndarray:
        rows = self.x.index[index]
        for row in rows if self.touch else ():
            self.x.blocks.picture(int(row))
        return rows

    def select(self, index) -> "_Told":
        return _Told(self.x.select(index), self.touch)

    def order(self, generator, among: int = 1) -> np.ndarray:
        return self.x.order(generator, among)

    def fingerprint(self) -> str:
        return ""


def test_a_stopped_stream_goes_on_to_the_same_weights(large, tmp_path):
    data = images(str(large), stream=True, window=1)
    order = data.train.x.order(np.random.default_rng((0, 0)))
    assert not np.array_equal(order, np.random.default_rng((0, 0)).permutation(len(order))), "windows are at work"
    options = SMALL | {"batch_size": 32}
    for _ in Session.start("images", data, tmp_path / "whole", path=str(large), **options).play():
        pass
    session = Session.start("images", data, tmp_path / "parts", path=str(large), **options)
    reports = session.play()
    for _ in range(5):
        next(reports)
    session.stop()
    with pytest.raises(Stopped, match="--resume"):
        next(reports)
    ali.Model.resume(tmp_path / "parts")
    assert_same_weights(tmp_path / "whole", tmp_path / "parts")


def test_address_space_does_not_grow_with_the_data(tmp_path):
    """Train on, encode and reconstruct 80 MB of pictures when only 64 MB of address space are left after the libraries are loaded."""
    n, cells = 6400, [png(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8), "BMP") for _ in range(100)]
    put_tar(tmp_path / "x.tar", [(f"{'ab'[k % 2]}/{k}.bmp", cells[k % 100]) for k in range(n)])
    schema = pa.schema({"image": pa.struct({"bytes": pa.binary()}), "label": pa.int64()})
    with pq.ParquetWriter(tmp_path / "x.parquet", schema, use_dictionary=False, compression="none") as writer:
        for first in range(0, n, 200):
            rows = [{"image": {"bytes": cells[k % 100]}, "label": k % 2} for k in range(first, first + 200)]
            writer.write_table(pa.Table.from_pylist(rows, schema))
    code = textwrap.dedent(f"""
        import resource
        from pathlib import Path
        import numpy as np
        import pyarrow.parquet, pyarrow.csv
        import ali, ali.evaluation, ali.session
        from ali import files
        from ali.data.images import images
        resource.setrlimit(resource.RLIMIT_AS, (2**45, 2**45))  # limited from the start, as by `ulimit -v`
        small = dict(networks="mlp", width=4, depth=1, latent=2, epochs=1, batch_size=16)
        x = np.random.default_rng(0).integers(0, 256, (80, 64, 64, 3), dtype=np.uint8)
        warm = ali.Model.train("images", x, out="warm", **small)
        warm.encode(np.zeros((1000, 64, 64, 3), np.uint8))
        files.write_numbers(Path("z.parquet"), [np.zeros((9, 2))])
        size = int(next(line for line in open("/proc/self/status") if line.startswith("VmSize")).split()[1]) * 1024
        resource.setrlimit(resource.RLIMIT_AS, (size + 64 * 2**20,) * 2)
        for kind in ("parquet", "tar"):
            data = images("x." + kind)
            assert any("decoded as they are needed" in note for note in data.train.notes)
            assert data.train.x.nbytes + data.test.x.nbytes == {n} * 64 * 64 * 3
            session = ali.session.Session.start("images", data, kind, path="x." + kind, **small)
            for number, _ in enumerate(session.play()):
                if number == 10:
                    break
            del data, session, number, _
            x = ali.model.open_data(kind).train.x
            files.write_numbers(Path("z.parquet"), warm.each("encode", x))
        files.write_images(Path("x.npy"), warm.each("reconstruct", x), 255.0)
        files.write_numbers(Path("z.npy"), warm.each("encode", files.read_images(Path("x.npy"), (64, 64, 3), 255.0, "uint8")))
        print(len(x))
    """)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    rows = int(done.stdout)
    assert rows == 5760
    assert np.load(tmp_path / "z.npy").shape == (rows, 2)
    assert pq.read_metadata(tmp_path / "z.parquet").num_rows == rows
    assert store.Stored(tmp_path / "x.npy").shape == (rows, 64, 64, 3)
    shutil.rmtree(tmp_path)
