"""The data set that the trainings of the demo learn from: the handwritten digits that come with scikit-learn."""

from __future__ import annotations

import io

__all__ = ["packed_digits"]


def packed_digits() -> bytes:
    """Return a file of NumPy's: `images` of 64 pixels from 0 to 16 each, and the `labels` of them."""
    import numpy as np
    from sklearn.datasets import load_digits

    digits, packed = load_digits(), io.BytesIO()
    np.savez_compressed(packed, images=digits.data, labels=digits.target)
    return packed.getvalue()
