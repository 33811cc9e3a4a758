"""Dynamic time warping: against every path, the plain recursion, published error rates and other packages."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from polymodal.alignment import (
    DTW,
    Itakura,
    SakoeChiba,
    StepPattern,
    align,
    align_costs,
    dtw_distance,
    dtw_path,
    pairwise_dtw,
)
from polymodal.alignment._costs import of_matrix
from polymodal.core import Ragged
from polymodal.core.errors import ModalityError

STEPS = ["symmetric1", "symmetric2", "asymmetric", "symmetric_p05", "symmetric_p1", "symmetric_p2"]
STEPS += ["asymmetric_p0", "asymmetric_p05", "asymmetric_p1", "asymmetric_p2"]
METRICS = ["euclidean", "sqeuclidean", "cityblock", "cosine"]


def test_known_cost_and_path_by_hand():
    found = align([0.0, 1.0, 3.0], [0.0, 0.0, 1.0, 2.0])
    assert found.cost == 1.0  # only 3 against 2 differs
    assert found.path.tolist() == [[0, 0], [0, 1], [1, 2], [2, 3]]
    assert found.normalised_cost == 0.25  # four cells
    assert align(
        [0.0, 1.0, 3.0], [0.0, 0.0, 1.0, 2.0], DTW(step="symmetric2")
    ).normalised_cost == pytest.approx(2 / 7)
    assert dtw_distance([0.0, 3.0], [0.0, 3.0, 5.0, 6.0], DTW(convention="root")) == pytest.approx(
        np.sqrt(13)
    )


@pytest.mark.parametrize("window", [None, SakoeChiba(2), SakoeChiba(1, slanted=True), Itakura(3.0)], ids=str)
@pytest.mark.parametrize("step", STEPS)
def test_the_cheapest_of_all_paths_for_every_step_and_window(rng, step, window, cheapest):
    pattern = StepPattern.named(step)
    for n, m in [(1, 1), (1, 3), (3, 1), (4, 4), (4, 5), (5, 4), (5, 5)]:
        costs = rng.random((n, m))
        for open_begin, open_end in [(False, False), (True, False), (False, True), (True, True)]:
            truth = cheapest(costs, pattern, window, open_begin=open_begin, open_end=open_end)
            method = DTW(window=window, step=step, open_begin=open_begin, open_end=open_end)
            if np.isinf(truth):
                with pytest.raises(ModalityError, match=r"frames|step pattern"):
                    align_costs(costs, method)
                continue
            found = align_costs(costs, method)
            assert found.cost == pytest.approx(truth, abs=1e-12)
            assert method._total(method._problem(of_matrix(costs, squared=False))) == pytest.approx(
                truth, abs=1e-12
            )
            ends = cheapest(costs, pattern, window, open_begin=open_begin, open_end=open_end)
            assert ends == truth
            assert (np.diff(found.path, axis=0) >= 0).all()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("d", [1, 2, 5, 8, 11])
def test_distance_and_path_agree_with_the_plain_recursion(rng, metric, d, full_matrix):
    a, b = rng.normal(size=(70, d)) + 0.1, rng.normal(size=(83, d))
    costs = cdist(a, b, metric)
    truth = full_matrix(costs)
    assert dtw_distance(a, b, DTW(metric)) == pytest.approx(truth, rel=1e-10)
    found = align(a, b, DTW(metric))
    assert found.cost == pytest.approx(truth, rel=1e-10)
    assert costs[tuple(found.path.T)].sum() == pytest.approx(truth, rel=1e-10)
    root = DTW(metric, convention="root")
    assert dtw_distance(a, b, root) == pytest.approx(np.sqrt(full_matrix(costs**2)), rel=1e-10)
    assert align(a, b, root).cost == pytest.approx(dtw_distance(a, b, root), rel=1e-10)


def test_relations_of_the_docstring(rng):
    a, b = rng.normal(size=(30, 3)), rng.normal(size=(30, 3))
    for step in ("symmetric1", "symmetric2", "symmetric_p1"):
        assert dtw_distance(a, b, DTW(step=step)) == pytest.approx(dtw_distance(b, a, DTW(step=step)))
    assert dtw_distance(a, a) == 0.0
    same = align(a, a)
    np.testing.assert_array_equal(same.path, np.repeat(np.arange(30)[:, None], 2, axis=1))
    straight = np.linalg.norm(a - b, axis=1).sum()
    assert dtw_distance(a, b) <= straight
    assert dtw_distance(a, b, DTW(window=SakoeChiba(0))) == pytest.approx(straight)
    widths = [dtw_distance(a, b, DTW(window=SakoeChiba(r))) for r in (0, 1, 3, 30)]
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] == dtw_distance(a, b)
    assert dtw_distance(a, b, DTW(open_end=True)) <= widths[-1]
    assert dtw_distance(a, b, DTW(convention="root")) ** 2 == pytest.approx(
        dtw_distance(a, b, DTW("sqeuclidean"))
    )
    square, alone = DTW("sqeuclidean"), DTW("sqeuclidean", features="independent")
    assert dtw_distance(a, b, alone) <= dtw_distance(a, b, square)
    x, y = a[:, 0], b[:, 0]
    assert (
        dtw_distance(x, y, DTW("cityblock"))
        == dtw_distance(x, y)
        == dtw_distance(x, y, DTW(features="independent"))
    )


def test_a_metric_may_be_a_function_or_a_matrix(rng):
    a, b = rng.normal(size=(12, 2)), rng.normal(size=(15, 2))
    by_name = align(a, b, DTW("cityblock"))
    by_function = align(a, b, DTW(lambda x, y: cdist(x, y, "cityblock")))
    by_matrix = align_costs(cdist(a, b, "cityblock"))
    assert by_name.cost == pytest.approx(by_function.cost) == by_matrix.cost
    np.testing.assert_array_equal(by_name.path, by_matrix.path)


def test_a_part_is_found_within_a_longer_sequence(rng):
    b = rng.normal(size=(60, 2))
    found = align(b[20:35], b, DTW(open_begin=True, open_end=True))
    assert found.cost == 0.0
    assert found.path[0].tolist() == [0, 20]
    assert found.path[-1].tolist() == [14, 34]
    long = align(b[20:35].repeat(50, axis=0), b.repeat(50, axis=0), DTW(open_begin=True, open_end=True))
    assert long.cost == 0.0
    assert long.path[0, 1] // 50 == 20
    assert long.path[-1, 1] // 50 == 34


def test_constant_sequences_meet_on_the_diagonal():
    assert align(np.ones(5), np.ones(5)).path.tolist() == [[i, i] for i in range(5)]
    long = align(np.ones(1000), np.ones(1000))
    assert long.cost == 0.0
    assert len(long) == 1000
    assert align([1.0], [4.0]).cost == 3.0


def test_what_does_not_fit_is_refused_by_sentence(rng):
    a, b = rng.normal(size=(6, 2)), rng.normal(size=(9, 2))
    with pytest.raises(ModalityError, match="as many features; got a .6, 2. and b .9, 3."):
        align(a, rng.normal(size=(9, 3)))
    broken = b.copy()
    broken[4] = np.nan
    with pytest.raises(ModalityError, match="Sequence b holds NaN .* first in frame 4"):
        align(a, broken)
    with pytest.raises(ModalityError, match="Sequence a must hold numbers"):
        align([], b)
    with pytest.raises(ModalityError, match=r"slope=\S+ would do"):
        align(a[:4], b, DTW(window=Itakura(1.2)))
    with pytest.raises(ModalityError, match="advance 0.5 to 2 frames per frame of a, but 3 and 9"):
        align(a[:3], b, DTW(step="symmetric_p1"))
    with pytest.raises(ModalityError, match="step='symmetric_p05' would do"):
        align(a[:3], b[:7], DTW(step="symmetric_p1"))
    with pytest.raises(ModalityError, match=r"SakoeChiba\(radius=\d, .* would do"):
        align(a[:6], b[:9], DTW(step="asymmetric", window=SakoeChiba(1)))
    with pytest.raises(ModalityError, match="no one path"):
        align(a, b, DTW(features="independent"))
    with pytest.raises(ModalityError, match="Did you mean 'symmetric2'"):
        DTW(step="symetric2")
    with pytest.raises(ModalityError, match="Unknown metric 'manhattan'"):
        DTW("manhattan")
    with pytest.raises(
        ModalityError, match="function makes, of 1000000 x 1000000 elements would take 7,451 GiB"
    ):
        align(np.zeros(10**6), np.zeros(10**6), DTW(cdist))
    with pytest.raises(ModalityError, match="1 of 6 are zero"):
        align(np.concatenate([a[:5], np.zeros((1, 2))]), b, DTW("cosine"))
    with pytest.raises(ModalityError, match="finite and not negative"):
        align_costs(-np.ones((2, 2)))
    with pytest.raises(ModalityError, match="Ragged of 2"):
        align(Ragged.of([a, b]), b)


def test_missing_frames_are_refused_left_out_or_free(rng):
    a, b = rng.normal(size=(30, 3)), rng.normal(size=(25, 3))
    holes = a.copy()
    holes[[4, 5, 20]] = np.nan
    with pytest.raises(
        ModalityError, match=r"Sequence a holds NaN .* frame 4 \(then 5, 20\).*missing='drop'"
    ):
        align(holes, b)
    kept = np.delete(a, [4, 5, 20], axis=0)
    for metric in METRICS:
        for convention in ("sum", "root"):
            without = align(kept, b, DTW(metric, convention=convention))
            dropped, method = (
                DTW(metric, convention=convention, missing="drop"),
                DTW(metric, convention=convention, missing="free"),
            )
            found = align(holes, b, dropped)
            assert found.cost == without.cost == pytest.approx(dtw_distance(holes, b, dropped))
            assert found.normalised_cost == without.normalised_cost
            np.testing.assert_array_equal(
                np.delete(np.arange(30), [4, 5, 20])[without.path[:, 0]], found.path[:, 0]
            )
            assert (found.length_a, found.length_b) == (30, 25)
            free = align(holes, b, method)
            assert free.cost == pytest.approx(dtw_distance(holes, b, method))
            for filling in (a, np.where(np.isnan(holes), 0.5, a), np.where(np.isnan(holes), 9.0, a)):
                assert free.cost <= dtw_distance(filling, b, DTW(metric, convention=convention)) + 1e-12
            assert set(range(30)) == set(free.path[:, 0])
    alone = DTW("sqeuclidean", features="independent", missing="free")
    each = [dtw_distance(holes[:, f], b[:, f], DTW("sqeuclidean", missing="free")) for f in range(3)]
    assert dtw_distance(holes, b, alone) == pytest.approx(sum(each))


def test_missing_frames_in_windows_and_all_pairs(rng):
    a, b = rng.normal(size=(20, 2)), rng.normal(size=(20, 2))
    holes, other = a.copy(), b.copy()
    holes[[3, 11, 12]] = np.nan
    other[7] = np.nan
    for missing in ("drop", "free"):
        method = DTW(window=SakoeChiba(4), missing=missing)
        found = align(holes, other, method)
        assert (abs(found.path[:, 0] - found.path[:, 1]) <= 4).all()  # frames keep their numbers
        table = pairwise_dtw([holes, a], [other, b], method)
        np.testing.assert_allclose(table[0], [found.cost, dtw_distance(holes, b, method)])
        assert table[1, 1] == pytest.approx(dtw_distance(a, b, DTW(window=SakoeChiba(4))))
    with pytest.raises(ModalityError, match="among the frames that are present"):
        align(holes, other, DTW(window=SakoeChiba(0), missing="drop"))
    part = a.copy()
    part[6, 0] = np.nan
    with pytest.raises(ModalityError, match="first in frame 6.*not in part"):
        align(part, b, DTW(missing="drop"))
    with pytest.raises(ModalityError, match="no frame that is not NaN"):
        align(np.full((3, 2), np.nan), b, DTW(missing="free"))


def test_a_quarter_of_a_million_frames_in_a_narrow_window_need_no_matrix():
    t = np.arange(250_000) / 1000
    found = align(np.sin(t), np.sin(t + 0.002), DTW(window=SakoeChiba(3)))
    assert found.cost < 0.1
    assert np.bincount(found.path[:, 0] - found.path[:, 1] + 3).argmax() == 5  # b runs two frames ahead


def test_published_nearest_neighbour_error_rates(real_data):
    """UCR archive, full window, squared costs."""
    for name, euclidean, warped in [("GunPoint", 0.0867, 0.0933), ("ArrowHead", 0.2000, 0.2971)]:
        file = np.load(real_data / "ucr_timeseries" / f"{name}.npz")
        train, test = file["X_train"][:, 0].astype(float), file["X_test"][:, 0].astype(float)
        for method, error in [(DTW("sqeuclidean", SakoeChiba(0)), euclidean), (DTW("sqeuclidean"), warped)]:
            nearest = pairwise_dtw(test, train, method).argmin(axis=1)
            assert (file["y_train"][nearest] != file["y_test"]).mean() == pytest.approx(error, abs=5e-5)


def test_published_accuracy_dependent_and_independent(real_data):
    file = np.load(real_data / "ucr_timeseries" / "BasicMotions.npz")
    train, test = (file[k].astype(float).transpose(0, 2, 1) for k in ("X_train", "X_test"))
    for features, accuracy in [("dependent", 0.975), ("independent", 1.0)]:
        nearest = pairwise_dtw(test, train, DTW("sqeuclidean", features=features)).argmin(axis=1)
        assert (file["y_train"][nearest] == file["y_test"]).mean() == pytest.approx(accuracy)


def test_parity_with_dtaidistance(rng):
    other = pytest.importorskip("dtaidistance.dtw")
    a, b = rng.normal(size=200), rng.normal(size=180)
    assert dtw_distance(a, b, DTW(convention="root")) == pytest.approx(other.distance(a, b))
    banded = DTW(convention="root", window=SakoeChiba(40))
    assert dtw_distance(a, b, banded) == pytest.approx(
        other.distance(a, b, window=41)
    )  # its window counts the diagonal


def test_parity_with_tslearn(rng):
    other = pytest.importorskip("tslearn.metrics")
    a, b = rng.normal(size=(50, 3)), rng.normal(size=(60, 3))
    path, cost = other.dtw_path(a, b)
    assert dtw_distance(a, b, DTW(convention="root")) == pytest.approx(cost)
    np.testing.assert_array_equal(dtw_path(a, b, DTW(convention="root")), path)


@pytest.mark.parametrize(
    "step", ["symmetric1", "symmetric2", "asymmetric", "symmetricP1", "asymmetricP05", "symmetricP2"]
)
def test_parity_with_dtw_python(rng, step):
    other = pytest.importorskip("dtw")
    a, b = rng.normal(size=(40, 2)), rng.normal(size=(44, 2))
    theirs = other.dtw(a, b, step_pattern=getattr(other, step))
    ours = align(a, b, DTW(step=step.replace("P", "_p").lower()))
    assert ours.cost == pytest.approx(theirs.distance)
    if step != "symmetric1":
        assert ours.normalised_cost == pytest.approx(theirs.normalizedDistance)
