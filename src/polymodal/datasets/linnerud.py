"""`load_linnerud`: twenty men's exercises and measurements, the classic small example of two tables."""

from __future__ import annotations

from polymodal.core.modalities import Modalities
from polymodal.datasets.dataset import Dataset


def load_linnerud() -> Dataset:
    """20 men; `exercise` (chin-ups, sit-ups, jumps) and `physiological` (weight in pounds, waist in inches, pulse).

    Relations:
        * the first canonical correlation is 0.7956, as in the manual that published the data (SAS, PROC CANCORR).
    """
    from sklearn.datasets import load_linnerud as load

    bunch = load()
    return Dataset(
        Modalities({"exercise": bunch.data, "physiological": bunch.target}),
        name="linnerud",
        description="Columns: chin-ups, sit-ups, jumps; weight (pounds), waist (inches), pulse (a minute).",
        licence="BSD-3-Clause, as shipped with scikit-learn (A. C. Linnerud, NC State University)",
    )
