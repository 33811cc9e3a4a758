"""Alignments chained and closed to a ring; and three languages, where agreement around the ring tells true pairs from false."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from polymodal.alignment import (
    DTW,
    Alignment,
    MutualNeighbours,
    SoftNeighbours,
    align,
    align_costs,
    compose,
    cycle_consistent,
)
from polymodal.core.errors import ModalityError
from polymodal.evaluation.alignment import cycle_error, path_error


def of(pairs, lengths):
    return Alignment.of_path(np.array(pairs, dtype=int).reshape(-1, 2), lengths, DTW(), cost=1.0)


def test_composed_by_hand():
    ab, bc = of([[0, 0], [1, 0], [1, 1], [2, 3]], (3, 4)), of([[0, 1], [1, 1], [1, 0], [2, 0]], (4, 2))
    ac = compose(ab, bc)
    assert ac.path.tolist() == [[0, 1], [1, 0], [1, 1]]  # 3 of b goes nowhere
    np.testing.assert_allclose(ac.coupling.toarray(), [[0, 1], [0.5, 1.5], [0, 0]])
    assert (ac.cost, ac.length_a, ac.length_b) == (2.0, 3, 2)
    np.testing.assert_array_equal(ac.matrix(), (ab.matrix().astype(int) @ bc.matrix().astype(int)) > 0)


def test_identity_and_association(rng):
    ab, bc, cd = (align_costs(rng.random(shape), SoftNeighbours(0.2)) for shape in [(4, 5), (5, 6), (6, 3)])
    left, right = compose(compose(ab, bc), cd), compose(ab, compose(bc, cd))
    np.testing.assert_allclose(left.coupling.toarray(), right.coupling.toarray())
    assert left.path.tolist() == right.path.tolist()
    same = compose(ab, of([[i, i] for i in range(5)], (5, 5)))
    np.testing.assert_allclose(same.coupling.toarray(), ab.coupling.toarray())
    assert same.path.tolist() == ab.path.tolist()


def test_weights_of_couplings_are_kept(rng):
    p, q, r = np.full(4, 1 / 4), rng.dirichlet(np.ones(5)), np.full(6, 1 / 6)
    first = Alignment.of_coupling(np.outer(p, q), DTW(), cost=0.0)
    second = Alignment.of_coupling(np.outer(q, r), DTW(), cost=0.0)
    both = compose(first, second).coupling
    np.testing.assert_allclose(both.sum(1), p)
    np.testing.assert_allclose(both.sum(0), r)


def test_warps_compose(rng):
    t = np.linspace(0, 1, 40)
    curve = lambda u: np.stack([np.sin(5 * u), u], 1)  # noqa: E731
    x, y, z = curve(t), curve(t**1.5), curve(t**0.7)
    by_way, direct = compose(align(x, y), align(y, z)), align(x, z)
    assert path_error(by_way.path, direct.path).mean < 1.5
    ring = [align(x, y), align(y, z), align(z, x)]
    assert cycle_error([one.path for one in ring], 40).distance < 1.5


def test_chains_that_close():
    ab, bc, ca = (
        of([[0, 1], [1, 0], [2, 2]], (3, 3)),
        of([[1, 1], [0, 0], [2, 2]], (3, 3)),
        of([[1, 0], [0, 2]], (3, 3)),
    )
    assert cycle_consistent([ab, bc, ca]).tolist() == [[0, 1, 1]]
    many = cycle_consistent([of([[0, 0], [0, 1]], (1, 2)), of([[0, 0], [1, 0]], (2, 1))])
    assert many.tolist() == [[0, 0], [0, 1]]
    assert cycle_consistent([of([], (2, 2)), ab2()]).shape == (0, 2)


def ab2():
    return of([[0, 0], [1, 1]], (2, 2))


def test_what_is_refused():
    ab, bc = of([[0, 0]], (1, 2)), of([[0, 0]], (3, 4))
    with pytest.raises(ModalityError, match="3 elements there, the first 2"):
        compose(ab, bc)
    with pytest.raises(ModalityError, match=r"\(1, 2\), \(3, 4\)"):
        cycle_consistent([ab, bc])
    with pytest.raises(ModalityError, match="two or more"):
        cycle_consistent([ab2()])
    composed = compose(ab2(), ab2())
    with pytest.raises(ModalityError, match="needs what lies between"):
        composed.method.align([1.0], [2.0])
    with pytest.raises(ModalityError, match="needs what lies between"):
        composed.method.align_costs([[1.0]])


LANGUAGES = ("en", "de", "fr")


def captions(folder, rows):
    with (folder / "multi30k_text" / "train.tsv").open(encoding="utf-8") as file:
        table = [
            line
            for line, _ in zip(
                csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE), range(rows), strict=False
            )
        ]
    return {name: [line[name] for line in table] for name in LANGUAGES}


def test_agreement_around_three_languages_marks_true_pairs(real_data):
    """Weak embeddings (40 dimensions, 1,000 sentences): agreement finds the matches that are right."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    from polymodal.coordination import CCA

    texts, learn = captions(real_data, 1500), 1000
    vectors = {}
    for name, lines in texts.items():
        terms = TfidfVectorizer(min_df=2, sublinear_tf=True).fit_transform(lines)
        vectors[name] = TruncatedSVD(100, random_state=0).fit_transform(terms)
    found = {}
    for x, y in [("en", "de"), ("de", "fr"), ("fr", "en")]:
        pair = {x: vectors[x], y: vectors[y]}
        cca = CCA(40, reg=0.1).fit({name: v[:learn] for name, v in pair.items()})
        z = cca.transform({name: v[learn:] for name, v in pair.items()})
        unit = {
            name: np.asarray(z[name].store) / np.linalg.norm(z[name].store, axis=1, keepdims=True)
            for name in pair
        }
        costs = 1 - unit[x] @ unit[y].T
        nearest = Alignment.of_path(
            np.stack([np.arange(500), costs.argmin(1)], 1), costs.shape, MutualNeighbours(), cost=0.0
        )
        found[x, y] = nearest, align_costs(costs, MutualNeighbours())

    def precision(path):
        return (path == path[:, :1]).all(axis=1).mean()

    plain = [precision(nearest.path) for nearest, _ in found.values()]
    mutual = [precision(both.path) for _, both in found.values()]
    assert all(m > p + 0.05 for m, p in zip(mutual, plain, strict=True))
    around = cycle_consistent([nearest for nearest, _ in found.values()])
    sure = cycle_consistent([both for _, both in found.values()])
    assert precision(around) > max(plain) + 0.05
    assert precision(sure) > max(mutual)
    assert len(around) > len(sure) > 200
    # the share that returns needs no truth, and says what the pairs are worth
    assert cycle_error([nearest.path for nearest, _ in found.values()], 500).returned == len(around) / 500
