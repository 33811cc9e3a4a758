from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.optimize import check_grad, minimize
from scipy.special import logsumexp
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

from polymodal import Modalities, Ragged, load, save
from polymodal.core.errors import ConfigError, ModalityError
from polymodal.fusion import (
    ConditionalRandomField,
    LateFusion,
    best_labels,
    label_marginals,
    log_partition,
    sequences_of,
)
from polymodal.fusion.random_field import negative_log_likelihood, step_labels

LENGTHS = [4, 1, 3, 0]
OFFSETS = np.concatenate([[0], np.cumsum(LENGTHS)])


@pytest.fixture
def field(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return rng.normal(size=(8, 3)) * 2, rng.normal(size=(3, 3)) * 2


def enumerated(unaries: np.ndarray, transitions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every labelling of one sequence, and its score."""
    paths = np.array(list(itertools.product(range(unaries.shape[1]), repeat=len(unaries))))
    scores = unaries[np.arange(len(unaries)), paths].sum(1)
    return paths, scores + transitions[paths[:, :-1], paths[:, 1:]].sum(1)


def test_partition_marginals_and_best_labels_by_enumeration(field) -> None:
    unaries, transitions = field
    logs = log_partition(unaries, transitions, OFFSETS)
    marginals, pairs, again = label_marginals(unaries, transitions, OFFSETS)
    best = best_labels(unaries, transitions, OFFSETS)
    expected_pairs = np.zeros((3, 3))
    for i, (a, b) in enumerate(itertools.pairwise(OFFSETS)):
        if a == b:
            assert logs[i] == 0
            continue
        paths, scores = enumerated(unaries[a:b], transitions)
        p = np.exp(scores - logsumexp(scores))
        assert logs[i] == pytest.approx(logsumexp(scores), abs=1e-12)
        for t in range(b - a):
            np.testing.assert_allclose(marginals[a + t], np.bincount(paths[:, t], p, 3), atol=1e-12)
            if t:
                np.add.at(expected_pairs, (paths[:, t - 1], paths[:, t]), p)
        np.testing.assert_array_equal(best[a:b], paths[scores.argmax()])
    np.testing.assert_allclose(pairs, expected_pairs, atol=1e-12)
    np.testing.assert_allclose(again, logs, atol=1e-12)
    np.testing.assert_allclose(marginals.sum(1), 1, atol=1e-12)


def test_a_forbidden_transition_and_scores_of_thousands(field) -> None:
    unaries, transitions = field
    transitions[0, 1] = -np.inf
    _, scores = enumerated(unaries[:4] + 5000, transitions + 3000)
    assert log_partition(unaries[:4] + 5000, transitions + 3000, np.array([0, 4]))[0] == pytest.approx(
        logsumexp(scores), rel=1e-14
    )
    assert label_marginals(unaries, transitions, OFFSETS)[1][0, 1] == 0


def test_gradient_by_finite_differences(rng: np.random.Generator) -> None:
    x, labels = rng.normal(size=(8, 2)), rng.integers(3, size=8)

    def parts(theta: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return theta[:6].reshape(2, 3), theta[6:9], theta[9:].reshape(3, 3)

    def loss(theta: np.ndarray) -> float:
        return negative_log_likelihood(*parts(theta), x, labels, OFFSETS)[0]

    def gradient(theta: np.ndarray) -> np.ndarray:
        return np.concatenate(
            [g.ravel() for g in negative_log_likelihood(*parts(theta), x, labels, OFFSETS)[1]]
        )

    theta = rng.normal(size=18)
    assert check_grad(loss, gradient, theta) < 1e-5
    probability = [
        np.exp(-negative_log_likelihood(*parts(theta), x[:3], np.array(path), np.array([0, 3]))[0])
        for path in itertools.product(range(3), repeat=3)
    ]
    assert sum(probability) == pytest.approx(1.0, abs=1e-12)


# --- the estimator --------------------------------------------------------------------------------------------------


def sticky(n: int, seed: int, *, noise: float = 1.5) -> tuple[Modalities, np.ndarray]:
    """Labels that mostly stay for a while; three modalities of features each see them dimly."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 25, size=n)
    labels = []
    for length in lengths:
        own = [int(rng.integers(3))]
        for _ in range(length - 1):
            own.append(own[-1] if rng.random() < 0.85 else int(rng.integers(3)))
        labels.append(np.array(own))
    sizes = {"face": 2, "voice": 3}
    means = {name: np.random.default_rng(9).normal(size=(3, d)) for name, d in sizes.items()}
    columns = {
        name: Ragged.of([means[name][own] + noise * rng.normal(size=(len(own), d)) for own in labels])
        for name, d in sizes.items()
    }
    y = np.empty(n, dtype=object)
    y[:] = labels
    return Modalities(columns), y


def test_neighbours_help_where_labels_stay() -> None:
    data, y = sticky(60, 0)
    held, truth = sticky(60, 1)
    chained = ConditionalRandomField().fit(data, y)
    alone = ConditionalRandomField(transitions=False).fit(data, y)
    assert chained.converged_
    assert chained.score(held, truth) > alone.score(held, truth) + 0.08
    assert np.all(
        np.diag(chained.transitions_)
        > chained.transitions_.max(where=~np.eye(3, dtype=bool), initial=-9, axis=1)
    )
    assert not alone.transitions_.any()
    steps = np.concatenate(list(held["face"].store)).shape[0]
    assert chained.marginals(held).values.shape == (steps, 3)
    np.testing.assert_allclose(chained.marginals(held).values.sum(1), 1, atol=1e-10)
    predicted = chained.predict(held)
    assert [len(p) for p in predicted] == [len(t) for t in truth]
    right = np.concatenate(list(predicted)) == np.concatenate(list(truth))
    assert chained.score(held, truth) == pytest.approx(right.mean())


@pytest.mark.parametrize("reg", [0.3, 5.0])
def test_without_transitions_it_is_multinomial_logistic_regression(reg: float) -> None:
    data, y = sticky(20, 2)
    model = ConditionalRandomField(reg, transitions=False).fit(data, y)
    x = np.hstack([data[name].store.values for name in ("face", "voice")])
    x = (x - x.mean(0)) / x.std(0)
    flat = np.concatenate(list(y))
    theirs = LogisticRegression(C=1 / reg, tol=1e-8, max_iter=1000).fit(x, flat)
    np.testing.assert_allclose(model.marginals(data).values, theirs.predict_proba(x), atol=1e-5)


@pytest.mark.parametrize("transitions", [True, False])
def test_rows_of_one_step_are_logistic_regression(transitions: bool, rng: np.random.Generator) -> None:
    y = np.tile(["a", "b", "c"], 20)
    x = rng.normal(size=(60, 3)) + np.tile(np.eye(3), (20, 1))
    x = (x - x.mean(0)) / x.std(0)
    data = Modalities({"left": x[:, :2], "right": x[:, 2:]})
    model = ConditionalRandomField(transitions=transitions).fit(data, y)
    theirs = LogisticRegression(tol=1e-8).fit(x, y)
    np.testing.assert_allclose(model.predict_proba(data), theirs.predict_proba(x), atol=1e-5)
    assert model.predict(data).tolist() == theirs.predict(x).tolist()


def test_a_missing_modality_is_left_out_and_its_absence_learned(rng: np.random.Generator) -> None:
    data, y = sticky(60, 3)
    model = ConditionalRandomField().fit(data, y)
    assert not any(a.any() for a in model.absence_.values())
    unaries = model.unaries(data.select("face"))
    assert list(unaries) == ["face"]
    expected = label_marginals(
        unaries["face"].values + model.bias_, model.transitions_, unaries["face"].offsets
    )[0]
    np.testing.assert_allclose(model.marginals(data.select("face")).values, expected, atol=1e-12)
    # a modality that is gone exactly when the first label is 2: its absence speaks
    telling = data.without("voice", [own[0] == 2 for own in y])
    knows = ConditionalRandomField().fit(telling, y)
    assert knows.absence_["voice"].argmax() == 2
    both = model.unaries(data)
    total = both["face"].values + both["voice"].values + model.bias_
    np.testing.assert_allclose(
        model.marginals(data).values,
        label_marginals(total, model.transitions_, both["face"].offsets)[0],
        atol=1e-12,
    )


def test_transform_is_the_expected_share_of_each_label() -> None:
    data, y = sticky(15, 4)
    model = ConditionalRandomField().fit(data, y)
    shares = np.stack([m.mean(0) for m in model.marginals(data)])
    np.testing.assert_allclose(model.transform(data), shares, atol=1e-12)
    np.testing.assert_array_equal(model.predict_proba(data), model.transform(data))


def test_a_transition_that_training_never_saw_is_unlikely_not_forbidden() -> None:
    y = [np.array([0, 0, 1, 1]), np.array([0, 1]), np.array([1])]
    x = Ragged.of([np.array([0.0, 0, 1, 1])[:, None], np.array([[0.0], [1.0]]), np.array([[1.0]])])
    model = ConditionalRandomField(0.1).fit({"x": x}, y)
    assert model.transitions_[1, 0] == model.transitions_.min()
    assert np.isfinite(model.transitions_).all()
    back = Ragged.of([np.array([[3.0], [-3.0]])])
    assert model.predict({"x": back})[0].tolist() == [1, 0]


def test_labels_as_a_ragged_a_matrix_or_a_list(tmp_path) -> None:
    data, y = sticky(12, 5)
    model = ConditionalRandomField().fit(data, list(y))
    same = ConditionalRandomField().fit(data, Ragged.of(list(y)))
    np.testing.assert_array_equal(model.transform(data), same.transform(data))
    again = load(save(model, tmp_path / "model"))
    np.testing.assert_array_equal(again.transform(data), model.transform(data))
    assert [p.tolist() for p in again.predict(data)] == [p.tolist() for p in model.predict(data)]
    even = {"x": Ragged.of(list(np.arange(12.0).reshape(4, 3, 1)))}
    matrix = np.array([["n", "y", "y"]] * 2 + [["y", "y", "n"]] * 2)
    assert ConditionalRandomField().fit(even, matrix).predict(even)[0].shape == (3,)
    assert ConditionalRandomField().fit(even, [["n", "y", "y"]] * 3 + [["y"] * 3]).classes_.tolist() == [
        "n",
        "y",
    ]


def test_lists_in_a_table() -> None:
    pandas = pytest.importorskip("pandas")
    data, y = sticky(8, 11)
    table = pandas.DataFrame({"labels": [own.tolist() for own in y]})
    model = ConditionalRandomField().fit(data, table["labels"])
    np.testing.assert_array_equal(
        model.transform(data), ConditionalRandomField().fit(data, y).transform(data)
    )
    with pytest.raises(ModalityError, match="labels of steps"):
        LateFusion().fit(data, table["labels"])


def test_grid_search_splits_sequences() -> None:
    data, y = sticky(16, 6)
    search = GridSearchCV(ConditionalRandomField(), {"reg": [0.1, 10.0]}, cv=2, error_score="raise").fit(
        data, y
    )
    assert 0.3 < search.best_score_ < 1


def test_batch_of_one_and_constant_features() -> None:
    data, y = sticky(12, 7)
    data = data.assign({"still": Ragged.of([np.ones((len(own), 2)) for own in y])})
    model = ConditionalRandomField().fit(data, y)
    assert np.abs(model.weights_["still"]).max() == 0
    np.testing.assert_allclose(model.transform(data[[3]]), model.transform(data)[[3]], atol=1e-12)
    assert len(model.predict(data[[3]])[0]) == len(y[3])


def test_what_cannot_be_is_refused() -> None:
    data, y = sticky(6, 8)
    with pytest.raises(ConfigError, match="penalty > 0"):
        ConditionalRandomField(0.0).fit(data, y)
    with pytest.raises(ModalityError, match="row 0 has .* steps"):
        ConditionalRandomField().fit(data, [np.zeros(30, dtype=int), *y[1:]])
    with pytest.raises(ModalityError, match="at least two classes"):
        ConditionalRandomField().fit(data, [np.zeros(len(own), dtype=int) for own in y])
    with pytest.raises(ModalityError, match="labels of steps"):
        LateFusion().fit(data, y)
    with pytest.raises(ModalityError, match="missing"):
        ConditionalRandomField().fit(data, [np.array([None] * len(own)) for own in y])
    with pytest.raises(ModalityError, match="row 1 has 2 steps"):
        step_labels(np.array([1, 2]), np.array([1, 2]))


# --- against an independent implementation --------------------------------------------------------------------------


def test_crfsuite_finds_the_same_field(tmp_path) -> None:
    pycrfsuite = pytest.importorskip("pycrfsuite")
    data, y = sticky(25, 10)
    x, offsets = data["face"].store.values, data["face"].store.offsets
    x = x - x.min(0) + 0.1  # it drops attributes whose values add up to less than 0
    flat = np.concatenate(list(y))
    trainer = pycrfsuite.Trainer(algorithm="lbfgs", verbose=False)
    trainer.set_params({"c1": 0.0, "c2": 0.5, "epsilon": 1e-10, "delta": 1e-12, "max_iterations": 500})
    trainer.set_params({"feature.possible_states": True, "feature.possible_transitions": True})
    items = [[{"p": float(v[0]), "q": float(v[1])} for v in x[a:b]] for a, b in itertools.pairwise(offsets)]
    for own, labels in zip(items, y, strict=True):
        trainer.append(pycrfsuite.ItemSequence(own), [str(label) for label in labels])
    trainer.train(str(tmp_path / "model"))
    tagger = pycrfsuite.Tagger()
    tagger.open(str(tmp_path / "model"))
    theirs = []
    for own in items:
        tagger.set(pycrfsuite.ItemSequence(own))
        theirs += [[tagger.marginal(str(k), t) for k in range(3)] for t in range(len(own))]

    def objective(
        theta: np.ndarray,
    ) -> tuple[float, np.ndarray]:  # crfsuite has no bias; its penalty is c2 |w|^2
        W, T = theta[:6].reshape(2, 3), theta[6:].reshape(3, 3)
        loss, (of_W, _, of_T) = negative_log_likelihood(W, np.zeros(3), T, x, flat, offsets)
        return loss + 0.5 * float(theta @ theta), np.concatenate([of_W.ravel(), of_T.ravel()]) + theta

    found = minimize(
        objective, np.zeros(15), jac=True, method="L-BFGS-B", options={"ftol": 1e-15, "gtol": 1e-9}
    )
    W, T = found.x[:6].reshape(2, 3), found.x[6:].reshape(3, 3)
    np.testing.assert_allclose(label_marginals(x @ W, T, offsets)[0], theirs, atol=1e-4)


def test_utterances_of_real_videos(real_data) -> None:
    file = real_data / "mosi_features" / "mosi_train.npz"
    if not file.exists():
        pytest.skip(f"{file} is not there")
    held = np.load(file, allow_pickle=False)
    names = ("audio", "text", "video")
    steps = sequences_of({name: held[name] for name in names}, held["video_id"])
    assert len(steps.data) == 62
    y = steps.split(held["label"].astype(int))
    model = ConditionalRandomField(100.0, max_iter=60).fit(steps.data[:20].select("audio"), y[:20])
    assert 0.4 < model.score(steps.data[20:].select("audio"), y[20:]) < 0.8
