from __future__ import annotations

import numpy as np

from polymodal.datasets import load_linnerud


def test_the_published_canonical_correlations():
    d = load_linnerud()
    x, y = (d.data[m].values() for m in ("exercise", "physiological"))
    q = [np.linalg.qr(v - v.mean(axis=0))[0] for v in (x, y)]
    r = np.linalg.svd(q[0].T @ q[1], compute_uv=False)
    np.testing.assert_allclose(
        r, [0.795608, 0.200556, 0.072570], atol=1e-6
    )  # SAS/STAT, PROC CANCORR, example 1
    assert len(d) == 20
