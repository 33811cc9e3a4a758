"""`Information` and `Decomposition`."""

from __future__ import annotations

import json
import math

import pytest

from polymodal.core.errors import ModalityError
from polymodal.information import Decomposition, Information
from polymodal.information.answer import per_unit


def test_units() -> None:
    one = Information(1.0, "bits", "entropy", "Plugin()")
    assert one.bits == pytest.approx(1)
    assert one.nats == pytest.approx(math.log(2))
    assert float(one) == 1
    with pytest.raises(ModalityError, match="'hartley'"):
        per_unit("hartley")


def test_it_says_unit_direction_interval_and_limit() -> None:
    found = Information(0.5, "nats", "mutual information", "InfoNCE", "lower", 0.4, 0.6, 0.95, 4.0, 100)
    assert str(found) == "mutual information >= 0.500 nats [0.400, 0.600] (InfoNCE, never above 4.000)"
    plain = Information(0.5, "bits", "mutual information", "CLUB", "upper")
    assert str(plain) == "mutual information <= 0.500 bits (CLUB)"


def test_they_are_json() -> None:
    found = Information(0.5, "bits", "mutual information", "KSG()")
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["limit"] is None
    parts = Decomposition(0.1, {"a": 0.2, "b": 0.3}, 0.4, 1.0, "bits", "BROJA()", intervals={"a": (0.1, 0.3)})
    kept = json.loads(json.dumps(parts.to_dict(), allow_nan=False))
    assert kept["unique"] == {"a": 0.2, "b": 0.3}
    assert kept["intervals"] == {"a": [0.1, 0.3]}


def test_parts_are_named() -> None:
    parts = Decomposition(0.1, {"a": 0.2, "b": 0.3}, 0.4, 1.0, "bits", "BROJA()")
    assert list(parts.parts) == ["redundancy", "unique a", "unique b", "synergy"]
    assert "unique a 0.200" in str(parts)
    assert "total 1.000 bits" in str(parts)
