"""The 1,797 handwritten digits that scikit-learn ships: 8 x 8 pixels, 0 to 16 (UCI, Alpaydin and Kaynak 1998)."""

from __future__ import annotations

__all__ = ["digits"]

import numpy as np

from ali.data.source import Data, Source, split


def digits(hold_out: float = 400 / 1797) -> Data:
    """Handwritten digits, from the installed scikit-learn: nothing is downloaded.

    Arguments:
        hold_out: share of the rows that training never sees; by default 400 of 1,797.
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    x, y = bunch.images.astype(np.uint8), bunch.target.astype(np.int64)
    return split(Source(x, y, tuple("0123456789"), maximum=16), hold_out)
