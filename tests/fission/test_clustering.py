from __future__ import annotations

import numpy as np
import pytest
import torch

from polymodal.core.errors import ConfigError
from polymodal.core.modalities import Modalities
from polymodal.core.ragged import Ragged
from polymodal.encoders import words_of
from polymodal.fission import MultimodalClustering, route_parts
from polymodal.fission.clustering import draw_assignment, draw_patches
from polymodal.training import Training

KINDS = 2


def planted(rng, n=150):
    """Each row shows two things; each is a few parts in `a` and a few in `b`. What it is like is told by a number they share."""
    a, b, kinds = [], [], []
    for _ in range(n):
        like = rng.uniform(-1, 1, KINDS)
        rows, other, kind = [], [], []
        for thing in range(KINDS):
            for _ in range(2):
                rows.append([*(3.0 * np.eye(KINDS)[thing]), *(like[thing] * np.eye(KINDS)[thing])])
                other.append([like[thing] * (1 if thing else -1), 2.0 * thing - 1, 0.0])
                kind.append(thing)
        a.append(np.array(rows) + 0.05 * rng.standard_normal((4, 4)))
        b.append(np.array(other) + 0.05 * rng.standard_normal((4, 3)))
        kinds.append(kind)
    return Modalities({"a": Ragged.of(a), "b": Ragged.of(b)}), np.array(kinds)


@pytest.fixture(scope="module")
def fitted():
    data, kinds = planted(np.random.default_rng(0))
    training = Training(max_epochs=40, batch_size=50, learning_rate=2e-2, device="cpu", progress=False)
    model = MultimodalClustering(2, n_components=6, width=24, training=training, random_state=0)
    return data, kinds, model.fit(data)


def test_parts_of_one_thing_share_a_cluster_in_both_modalities(fitted):
    data, kinds, model = fitted
    assert model.score(data) > 0.2  # chance is below 0.04
    shares = model.assign(data)
    chosen = {name: np.array([s.argmax(axis=1) for s in shares[name]]) for name in "ab"}
    for name in "ab":
        right = (chosen[name] == kinds).mean()
        assert max(right, 1 - right) > 0.85, name
    agree = (chosen["a"] == chosen["b"]).mean()  # parts stand in the same order in both
    assert agree > 0.85


def test_one_routing_is_the_mean_part():
    torch.manual_seed(0)
    u = torch.randn(2, 5, 3, 4)
    mask = torch.ones(2, 5, dtype=torch.bool)
    centres, shares = route_parts(u, mask, n_routings=1)
    torch.testing.assert_close(shares, torch.full((2, 5, 3), 1 / 3))
    torch.testing.assert_close(centres, torch.nn.functional.normalize(u.mean(dim=1), dim=2))


def test_two_routings_by_hand():
    """One dimension, parts 1 and -2 in cluster 1, 1 and 1 in cluster 2: centres -1 and 1, then agreements."""
    u = torch.tensor([[[[1.0], [1.0]], [[-2.0], [1.0]]]])
    centres, shares = route_parts(u, torch.ones(1, 2, dtype=torch.bool), n_routings=2)
    wanted = torch.tensor([[-1.0, 1.0], [2.0, 1.0]]).softmax(dim=1)
    torch.testing.assert_close(shares[0], wanted)
    torch.testing.assert_close(centres[0], torch.tensor([[-1.0], [1.0]]))


def test_order_and_padding_change_nothing():
    torch.manual_seed(0)
    u = torch.randn(1, 4, 3, 2)
    centres, shares = route_parts(u, torch.ones(1, 4, dtype=torch.bool))
    turned = route_parts(u.flip(1), torch.ones(1, 4, dtype=torch.bool))
    torch.testing.assert_close(turned[0], centres)
    torch.testing.assert_close(turned[1].flip(1), shares)
    padded = torch.cat([u, torch.full((1, 2, 3, 2), 1e9)], dim=1)
    mask = torch.tensor([[True] * 4 + [False] * 2])
    torch.testing.assert_close(route_parts(padded, mask)[0], centres)
    assert float(route_parts(padded, mask)[1][:, 4:].abs().sum()) == 0
    assert float(route_parts(padded, torch.zeros(1, 6, dtype=torch.bool))[0].abs().sum()) == 0


def test_gradients():
    torch.manual_seed(0)
    u = torch.randn(2, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: route_parts(x, torch.ones(2, 3, dtype=torch.bool))[0], (u,))


def test_shares_of_missing_rows_are_empty(fitted):
    data, _, model = fitted
    shares = model.assign(Modalities(dict(data.items()))[[0, 1]].without("a", [1]))
    assert shares["a"][1].shape == (0, 2)
    np.testing.assert_allclose(shares["a"][0].sum(axis=1), 1, atol=1e-5)


def test_draws(fitted):
    pytest.importorskip("matplotlib").use("Agg")
    import matplotlib.pyplot as plt

    data, _, model = fitted
    shares = model.assign(data[:1])
    axes = draw_assignment([shares["a"][0], shares["b"][0]], ["a", "b"])
    assert [axis.get_title() for axis in axes] == ["a", "b"]
    plt.close("all")


def test_refusals(fitted):
    data, _, _ = fitted
    with pytest.raises(ConfigError, match="n_clusters"):
        MultimodalClustering(0).fit(data)
    with pytest.raises(ConfigError, match="margin"):
        MultimodalClustering(margin=-1.0).fit(data)


def test_a_vector_is_one_part(rng):
    x = rng.standard_normal((20, 3))
    training = Training(max_epochs=1, device="cpu", progress=False)
    model = MultimodalClustering(2, n_components=2, width=8, training=training, random_state=0)
    z = model.fit_transform({"a": x, "b": Ragged.of(list(rng.standard_normal((20, 4, 2))))})
    assert z["a"].values().shape == z["shared"].values().shape == (20, 4)
    assert [len(s) for s in model.assign({"a": x})["a"]] == [1] * 20


WARM = {"red": (1, 0, 0), "orange": (1, 0.5, 0), "pink": (1, 0.5, 0.7)}
COLD = {"blue": (0, 0, 1), "green": (0, 0.7, 0), "violet": (0.4, 0, 0.8)}


def test_patches_of_a_picture_meet_the_words_that_name_them():
    rng = np.random.default_rng(0)
    pictures, texts, cells = [], [], []
    for _ in range(300):
        named = [rng.choice(list(WARM)), rng.choice(list(COLD))]
        at = rng.choice(16, 2, replace=False)
        picture = np.full((16, 16, 3), 230, dtype=np.uint8)
        for name, cell in zip(named, at, strict=True):
            row, column = 4 * (cell // 4), 4 * (cell % 4)
            picture[row : row + 4, column : column + 4] = 255 * np.array({**WARM, **COLD}[name])
        pictures.append(picture)
        texts.append(" ".join(named if rng.random() < 0.5 else named[::-1]))
        cells.append(at)
    data = Modalities({"picture": np.array(pictures), "text": texts})
    training = Training(max_epochs=25, batch_size=50, learning_rate=1e-2, device="cpu", progress=False)
    model = MultimodalClustering(2, n_components=6, width=24, training=training, random_state=3)
    shares = model.fit(data[:250]).assign(data[250:])
    agree = []
    for i, text in enumerate(texts[250:]):
        words = words_of(text)
        assert shares["picture"][i].shape == (16, 2)
        assert shares["text"][i].shape == (2, 2)
        warm = next(place for place, word in enumerate(words) if word in WARM)
        for word, cell in ((warm, cells[250 + i][0]), (1 - warm, cells[250 + i][1])):
            agree.append(shares["text"][i][word].argmax() == shares["picture"][i][cell].argmax())
    assert np.mean(agree) > 0.7  # half by chance


def test_patches_are_drawn_where_they_are():
    shares = np.zeros((4, 2))
    shares[[0, 1, 2], 0] = shares[3, 1] = 1
    axes = draw_patches(np.ones((6, 6)), shares)
    shade = axes[1].images[1].get_alpha()
    assert shade.shape == (6, 6)
    assert (shade[3:, 3:] == 0).all()
    assert (shade[:3] > 0.8).all()
    with pytest.raises(ConfigError, match="do not fill rows of 3"):
        draw_patches(np.ones((6, 6)), shares, columns=3)
