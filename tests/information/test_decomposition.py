"""`decompose`, `decompose_table`, and the three definitions of redundancy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polymodal.core.errors import ConvergenceWarning, ModalityError
from polymodal.core.modalities import Modalities
from polymodal.information import (
    BROJA,
    MMI,
    Bootstrap,
    Decomposition,
    Imin,
    decompose,
    decompose_table,
    mutual_information_of_table,
)


def gate(rule: Callable[[int, int], int], outcomes: int) -> np.ndarray:
    p = np.zeros((2, 2, outcomes))
    for i in range(2):
        for j in range(2):
            p[i, j, rule(i, j)] = 0.25
    return p


AND, XOR, COPY = gate(lambda i, j: i & j, 2), gate(lambda i, j: i ^ j, 2), gate(lambda i, j: 2 * i + j, 4)
UNIQUE = gate(lambda i, _: i, 2)
RDN = np.zeros((2, 2, 2))
RDN[0, 0, 0] = RDN[1, 1, 1] = 0.5
AND_R = 0.75 * np.log2(4 / 3)  # .311


def four(d: Decomposition) -> list[float]:
    return list(d.parts.values())


@pytest.mark.parametrize(
    ("table", "truth"),
    [
        (AND, [AND_R, 0, 0, 0.5]),
        (XOR, [0, 0, 0, 1]),
        (COPY, [0, 1, 1, 0]),
        (RDN, [1, 0, 0, 0]),
        (UNIQUE, [0, 1, 0, 0]),
    ],
    ids=["AND", "XOR", "COPY", "RDN", "UNQ"],
)
def test_broja_of_the_gates(table: np.ndarray, truth: list[float]) -> None:
    found = decompose_table(table, unit="bits")
    assert round(AND_R, 3) == 0.311
    assert four(found) == pytest.approx(truth, abs=1e-6)
    assert found.gap <= 1e-6
    assert min(four(found)) >= 0


def test_the_others_call_copies_redundant() -> None:
    assert four(decompose_table(COPY, Imin(), unit="bits")) == pytest.approx([1, 0, 0, 1])
    assert four(decompose_table(COPY, MMI(), unit="bits")) == pytest.approx([1, 0, 0, 1])
    for method in (Imin(), MMI()):
        assert four(decompose_table(AND, method, unit="bits")) == pytest.approx([AND_R, 0, 0, 0.5])
        assert four(decompose_table(XOR, method, unit="bits")) == pytest.approx([0, 0, 0, 1])
        assert decompose_table(AND, method).gap == 0


@given(st.integers(0, 10**6))
def test_consistency_bounds_and_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(2, 5, size=3))
    p = rng.dirichlet(np.full(int(np.prod(shape)), rng.choice([0.2, 1.0]))).reshape(shape)
    one, other = (mutual_information_of_table(p.sum(axis)).value for axis in (1, 0))
    total = mutual_information_of_table(p.reshape(-1, shape[2])).value
    found = {type(m).__name__: decompose_table(p, m) for m in (BROJA(), Imin(), MMI())}
    for d in found.values():
        assert d.redundancy + d.unique["first"] == pytest.approx(one, abs=1e-9)
        assert d.redundancy + d.unique["second"] == pytest.approx(other, abs=1e-9)
        assert sum(four(d)) == pytest.approx(total, abs=1e-9) == pytest.approx(d.total, abs=1e-9)
    broja = found["BROJA"]
    assert min(four(broja)) >= -1e-12
    assert broja.gap <= 1e-7
    assert broja.redundancy <= found["MMI"].redundancy + 1e-9
    assert found["Imin"].redundancy <= found["MMI"].redundancy + 1e-9
    assert min(found["MMI"].unique.values()) == pytest.approx(0, abs=1e-12)
    swapped = decompose_table(p.transpose(1, 0, 2), names=("second", "first"))
    assert swapped.unique["first"] == pytest.approx(broja.unique["first"], abs=1e-6)
    assert swapped.synergy == pytest.approx(broja.synergy, abs=1e-6)


def test_a_blurred_copy_has_nothing_of_its_own(rng: np.random.Generator) -> None:
    pair = rng.dirichlet(np.ones(9)).reshape(3, 3)
    channel = rng.dirichlet(np.ones(4), size=3)
    found = decompose_table(channel.T[:, :, None] * pair[None])  # p(x1 | x2) p(x2, y)
    assert found.unique["first"] == pytest.approx(0, abs=1e-7)


def test_a_gap_that_stays_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    from polymodal.information import _broja

    whole = _broja.least_joint_information
    monkeypatch.setattr(_broja, "least_joint_information", lambda a, b, tol: whole(a, b, tol=tol, max_iter=1))
    p = np.random.default_rng(0).dirichlet(np.ones(27)).reshape(3, 3, 3)
    with pytest.warns(ConvergenceWarning, match="stopped at a gap"):
        found = decompose_table(p)
    assert found.gap > 1e-6


def test_from_samples(rng: np.random.Generator) -> None:
    a, b = rng.integers(2, size=(2, 2000))
    found = decompose({"left": a, "right": b}, a & b, unit="bits", interval=Bootstrap(30))
    assert four(found) == pytest.approx([AND_R, 0, 0, 0.5], abs=0.05)
    assert list(found.unique) == ["left", "right"]
    assert found.n == 2000
    low, high = found.intervals["synergy"]
    assert low < 0.5 < high
    assert set(found.intervals) == {"redundancy", "left", "right", "synergy", "total"}
    other = decompose({"right": b, "left": a}, a & b, unit="bits")
    assert other.parts == found.parts


def test_texts_and_missing_rows(rng: np.random.Generator) -> None:
    a, b = rng.integers(2, size=(2, 400))
    words = [None if i < 100 else ("yes" if x else "no") for i, x in enumerate(a)]
    data = Modalities({"word": words, "number": b})
    found = decompose(data, a ^ b, unit="bits")
    kept = decompose({"word": a[100:], "number": b[100:]}, (a ^ b)[100:], unit="bits")
    assert four(found) == pytest.approx(four(kept))
    assert found.n == 300


def test_degenerate_input(rng: np.random.Generator) -> None:
    a, b, y = rng.integers(3, size=(3, 300))
    assert four(decompose({"a": a, "b": b}, np.zeros(300, dtype=int))) == pytest.approx(
        [0, 0, 0, 0], abs=1e-12
    )
    same = decompose({"a": a, "b": a}, y)
    assert same.redundancy == pytest.approx(same.total)
    constant = decompose({"a": np.zeros(300), "b": b}, y)
    assert constant.unique["b"] == pytest.approx(constant.total, abs=1e-12)
    label = decompose({"a": y, "b": b}, y)
    assert label.synergy == pytest.approx(0, abs=1e-7)
    assert label.unique["a"] > 1


def test_refusals(rng: np.random.Generator) -> None:
    a, b, y = rng.integers(2, size=(3, 50))
    with pytest.raises(ModalityError, match="two modalities, got 3"):
        decompose({"a": a, "b": b, "c": y}, y)
    with pytest.raises(ModalityError, match=r"one label a row: 50, got y of shape \(49,\)"):
        decompose({"a": a, "b": b}, y[:49])
    with pytest.raises(ModalityError, match="'b' that repeat, but all 50 rows differ. Use Clustered"):
        decompose({"a": a, "b": rng.normal(size=50)}, y)
    with pytest.raises(ModalityError, match="'y' that repeat"):
        decompose({"a": a, "b": b}, np.arange(50))
    with pytest.raises(ModalityError, match="'b' is a sequence"):
        decompose({"a": a, "b": [np.ones((1 + i % 3, 2)) for i in range(50)]}, y)
    with pytest.raises(ModalityError, match="both 'a' and 'b', got 0"):
        decompose({"a": ["x", None] * 25, "b": [None, "x"] * 25}, y)
    with pytest.raises(ModalityError, match="add up to 1"):
        decompose_table(2 * AND)
    with pytest.raises(ModalityError, match="names of their own"):
        decompose_table(AND, names=("a", "a"))
    with pytest.raises(ModalityError, match="names of their own"):
        decompose({"synergy": a, "b": b}, y)
