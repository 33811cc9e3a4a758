from __future__ import annotations

import numpy as np
import pytest

from polymodal.coordination import CCA
from polymodal.core.errors import ModalityError
from polymodal.core.modalities import Modalities
from polymodal.evaluation.correlation import (
    held_out_correlations,
    independence_test,
    paired_correlations,
    pairwise_correlations,
    permutation_test,
    permutation_test_of_many,
    wilks_test,
)


def test_paired_correlations_are_pearson_with_their_sign(rng):
    a = rng.standard_normal((20, 3))
    b = a * [2.0, -0.5, 1.0] + [1.0, 2.0, 3.0]
    b[:, 2] = 7.0
    np.testing.assert_allclose(paired_correlations(a, b), [1.0, -1.0, 0.0])
    c = rng.standard_normal((20, 3))
    np.testing.assert_allclose(
        paired_correlations(a, c), [np.corrcoef(a[:, k], c[:, k])[0, 1] for k in range(3)]
    )


def test_wilks_gives_the_published_fitness_club_table():
    table = wilks_test(np.array([0.795608, 0.200556, 0.072570]), n=20, p=3, q=3)
    np.testing.assert_allclose(table.wilks, [0.35039, 0.95472, 0.99473], atol=1e-5)
    np.testing.assert_allclose(table.statistic, [2.05, 0.18, 0.08], atol=0.005)
    np.testing.assert_allclose(table.df_1, [9, 4, 1])
    np.testing.assert_allclose(table.df_2, [34.223, 30, 16], atol=1e-3)
    np.testing.assert_allclose(table.p_values, [0.0635, 0.9491, 0.7748], atol=1e-4)


def test_wilks_of_one_feature_each_is_the_t_test_of_a_correlation(rng):
    from scipy.stats import pearsonr

    x, y = rng.standard_normal((2, 15))
    rho, p = pearsonr(x, y)
    table = wilks_test(np.array([abs(rho)]), n=15, p=1, q=1)
    assert table.p_values[0] == pytest.approx(p, rel=1e-9)


def test_wilks_needs_rows():
    with pytest.raises(ModalityError, match=r"10 rows and ranks 6 \+ 7"):
        wilks_test(np.full(6, 0.9), n=10, p=6, q=7)


def test_permutation_p_is_small_for_signal_and_uniform_for_noise(rng):
    z = rng.standard_normal((60, 1))
    a = np.hstack([z, rng.standard_normal((60, 2))])
    b = np.hstack([z + 0.3 * rng.standard_normal((60, 1)), rng.standard_normal((60, 1))])
    test = permutation_test(a, b, n_permutations=99, random_state=0)
    assert test.p_values[0] == 0.01
    assert test.p_values[1] > 0.05
    assert (np.diff(test.p_values) >= 0).all()
    same = permutation_test(a, b, n_permutations=99, random_state=0)
    np.testing.assert_array_equal(same.null, test.null)
    p = [
        permutation_test(*rng.standard_normal((2, 12, 2)), n_permutations=19, random_state=i).p_values[0]
        for i in range(60)
    ]
    assert 0.35 < np.mean(p) < 0.7
    assert np.mean(np.array(p) <= 0.05) < 0.15


def test_permutation_agrees_with_wilks_on_normal_data(rng):
    a = rng.standard_normal((80, 2))
    b = 0.25 * a + rng.standard_normal((80, 2))
    model = CCA().fit({"a": a, "b": b})
    exact = permutation_test(a, b, n_permutations=999, random_state=0)
    np.testing.assert_allclose(exact.correlations, model.correlations_, atol=1e-10)
    assert exact.statistic[0] == pytest.approx((model.correlations_**2).sum())
    np.testing.assert_allclose(exact.p_values, model.wilks_test().p_values, atol=0.05)


def test_permutation_with_more_features_than_rows(rng):
    z = rng.standard_normal((30, 1))
    a = z @ rng.standard_normal((1, 50)) + 0.3 * rng.standard_normal((30, 50))
    b = z @ rng.standard_normal((1, 40)) + 0.3 * rng.standard_normal((30, 40))
    assert permutation_test(a, b, reg=0.5, n_pairs=1, n_permutations=99, random_state=0).p_values[0] == 0.01
    # without a ridge every pairing fits perfectly: nothing can be significant
    assert permutation_test(a, b, n_pairs=1, n_permutations=19, random_state=0).p_values[0] == 1.0


def test_held_out_correlation_of_noise_is_about_zero_and_the_fitted_one_is_not(rng):
    data = Modalities({"a": rng.standard_normal((60, 15)), "b": rng.standard_normal((60, 15))})
    result = held_out_correlations(CCA(2), data, random_state=0)
    assert result.fitted[0] > 0.7
    assert abs(result.held_out[0]) < 0.35
    assert result.folds.shape == (5, 2)


def test_rows_that_share_a_value_stay_in_one_fold(rng):
    image, text = rng.standard_normal((20, 5)), rng.standard_normal((100, 5))
    keys = np.arange(20)
    data = Modalities.join(
        {"image": image, "text": text}, on={"image": keys.tolist(), "text": keys.repeat(5).tolist()}
    )
    from polymodal.core.links import linked_rows

    groups = linked_rows([data["image"].index, data["text"].index])
    assert len(np.unique(groups)) == 20
    np.testing.assert_array_equal(groups[data["image"].index == 3], groups[data["image"].index == 3][0])
    with pytest.raises(ModalityError, match="n_splits=30 and 20 groups"):
        held_out_correlations(CCA(1), data, n_splits=30)
    with pytest.raises(ModalityError, match="of at least two modalities"):
        held_out_correlations(CCA(1), data.select("image"))


def test_pairwise_correlations_are_means_over_pairs_on_the_rows_that_have_both(rng):
    z = {name: rng.standard_normal((20, 2)) for name in "abc"}
    frame = Modalities(z).without("a", [0, 1]).without("b", [2])
    rho = [np.corrcoef(z[x][rows, 1], z[y][rows, 1])[0, 1] for x, y, rows in (
        ("a", "b", np.r_[3:20]), ("a", "c", np.r_[2:20]), ("b", "c", np.r_[0:2, 3:20]),
    )]  # fmt: skip
    assert pairwise_correlations(frame)[1] == pytest.approx(np.mean(rho))
    two = Modalities({name: z[name] for name in "ab"})
    np.testing.assert_allclose(pairwise_correlations(two), paired_correlations(z["a"], z["b"]))
    with pytest.raises(ModalityError, match=r"\['a'\]"):
        pairwise_correlations(two.select("a"))


def test_independence_of_two_sets_is_the_first_row_of_wilks_with_bartletts_constant():
    """By hand: rho = .5, one feature each, 20 rows: -(19 - 3/2) log(1 - .25) = 5.0344 on one degree of freedom."""
    test = independence_test(np.array([1.5, 0.5]), n=20, ranks=(1, 1))
    assert test.wilks == pytest.approx(0.75)
    assert test.df == 1
    assert test.statistic == pytest.approx(17.5 * -np.log(0.75))
    assert test.p_value == pytest.approx(0.0249, abs=1e-4)
    with pytest.raises(ModalityError, match=r"5 rows and ranks \[2, 2, 1\]"):
        independence_test(np.ones(5), n=5, ranks=(2, 2, 1))


def test_independence_p_values_are_uniform_under_independence(rng):
    from polymodal.coordination import MultisetCCA

    p = [
        MultisetCCA().fit({name: rng.standard_normal((40, 2)) for name in "abc"}).wilks_test().p_value
        for _ in range(100)
    ]
    assert 0.4 < np.mean(p) < 0.6
    assert np.mean(np.array(p) < 0.1) < 0.2


def test_permutation_of_many_equals_that_of_two(rng):
    a = rng.standard_normal((50, 3))
    b = np.hstack([a[:, :1] + rng.standard_normal((50, 1)), rng.standard_normal((50, 3))])
    for reg in (0.0, 0.4):
        model = CCA(reg=reg).fit({"a": a, "b": b})
        two = permutation_test(a, b, reg=reg, n_permutations=19, random_state=0)
        many = permutation_test_of_many(
            [a, b], [model.weights_["a"], model.weights_["b"]], reg=reg, n_permutations=19, random_state=0
        )
        np.testing.assert_allclose(many.statistic, two.statistic, rtol=1e-8)
        np.testing.assert_allclose(many.null[:, 0], two.null[:, 0], rtol=1e-8)
        np.testing.assert_array_equal(many.p_values, two.p_values)


def test_permutation_of_three_finds_the_number_of_shared_factors(rng):
    from polymodal.coordination import GeneralisedCCA

    z = rng.standard_normal((120, 2))
    data = {
        name: np.hstack([z + 0.5 * rng.standard_normal((120, 2)), rng.standard_normal((120, 2))])
        for name in "abc"
    }
    test = GeneralisedCCA(4).fit(data).permutation_test(data, n_permutations=99, random_state=0)
    assert test.p_values[1] == 0.01
    assert test.p_values[2] > 0.05


def test_held_out_of_three_with_missing_rows(rng):
    from polymodal.coordination import MultisetCCA

    z = rng.standard_normal((90, 1))
    frame = Modalities({name: z + rng.standard_normal((90, 3)) for name in "abc"}).without("b", np.arange(20))
    result = held_out_correlations(MultisetCCA(2), frame, random_state=0)
    assert result.folds.shape == (5, 2)
    assert 0.4 < result.held_out[0] < result.fitted[0]
