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

    x, y = map(np.asarray, load_digits(return_X_y=True))
    return split(Source(x.reshape(-1, 8, 8).astype(np.uint8), y.astype(np.int64), tuple("0123456789"), maximum=16.0), hold_out)
