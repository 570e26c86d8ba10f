"""One thread for each test process, as the suite runs several at a time; and the fixtures that several files share."""

import os
from pathlib import Path

import pytest

os.environ["OMP_NUM_THREADS"] = "1"

# Libraries are imported in the fixtures: after the line above, and only where a test asks for them.


@pytest.fixture(scope="module")
def _tiny_files_are_not_the_published_ones():
    from ali.data import official_checksums

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(official_checksums, "MD5", {})
        yield


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> Path:
    """Three windows of 1 MiB."""
    import numpy as np
    from test_streams import RNG, png, put_parquet

    cells = [png(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8), "BMP") for _ in range(250)]
    return put_parquet(tmp_path_factory.mktemp("large") / "x.parquet", cells, [k % 2 for k in range(250)], 20)
