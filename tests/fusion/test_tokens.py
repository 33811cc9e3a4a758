"""Token towers and masks: shared values once, absent and padded places never enter, any kind of data."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from polymodal import Modalities, Training
from polymodal.core import Modality, Ragged, Texts
from polymodal.core.errors import ModalityError
from polymodal.encoders.defaults import build_encoders, choose_encoders, prepare_encoders
from polymodal.fusion._tokens import TokenFusion, TokenLayer, TokenTowers, fill_absent_tokens
from polymodal.nn import masked_mean
from polymodal.training import make_batch


class MeanOfTokens(TokenLayer):
    """The mean of all tokens of all modalities."""

    def _fuse(self, values, has):
        return masked_mean(torch.cat(list(values.values()), 1), torch.cat(list(has.values()), 1))


class MeanFusion(TokenFusion):
    def __init__(
        self,
        n_components=4,
        *,
        encoders=None,
        task="auto",
        modality_dropout=0.5,
        training=None,
        random_state=None,
    ):
        self.n_components, self.encoders, self.task = n_components, encoders, task
        self.modality_dropout, self.training, self.random_state = modality_dropout, training, random_state

    def _make_layer(self, dims):
        return MeanOfTokens(dims, self.n_components)

    def _embedding_dim(self, n_modalities):
        return self.n_components


def every_kind(rng: np.random.Generator) -> Modalities:
    sounds = Ragged.of([rng.normal(size=n) for n in (800, 1600, 900, 1200)], rate=8000)
    series = Ragged.of([rng.normal(size=(n, 2)) for n in (3, 30, 9, 1)])
    texts = Texts(["a red dog", "cat", "one more dog and a cat", ""])
    return Modalities(
        {
            "picture": rng.integers(0, 255, (4, 16, 16), dtype=np.uint8),
            "sound": Modality(sounds, np.arange(4)),
            "series": Modality(series, np.arange(4)),
            "text": Modality(texts, np.arange(4)),
            "vector": rng.normal(size=(4, 3)),
        }
    )


def towers_of(data: Modalities, dim: int = 6) -> TokenTowers:
    recipes = choose_encoders(None, data)
    return TokenTowers(build_encoders(recipes, prepare_encoders(recipes, data), dim)).eval()


def test_tokens_of_every_kind(rng) -> None:
    data = every_kind(rng)
    towers = towers_of(data)
    tokens, masks, present = towers(make_batch(data, np.arange(4), towers.collates).columns)
    counts = {name: mask.sum(1).tolist() for name, mask in masks.items()}
    assert counts["picture"] == [16, 16, 16, 16]  # fields of the pooled map
    assert counts["series"] == [1, 8, 3, 1]  # groups of four steps
    assert counts["text"] == [3, 1, 6, 0]
    assert counts["vector"] == [1, 1, 1, 1]
    assert counts["sound"][1] > counts["sound"][0] > 1
    for name in data.names:
        assert tokens[name].shape == (*masks[name].shape, 6)
        assert present[name].all()


def test_a_row_does_not_depend_on_its_batch(rng) -> None:
    data = every_kind(rng)
    towers = towers_of(data)
    with torch.no_grad():
        tokens, masks, _ = towers(make_batch(data, np.arange(4), towers.collates).columns)
        for row in (1, 3):
            alone, here, _ = towers(make_batch(data, np.array([row]), towers.collates).columns)
            for name in data.names:
                torch.testing.assert_close(
                    alone[name][0][here[name][0]], tokens[name][row][masks[name][row]], atol=1e-5, rtol=1e-4
                )


def test_values_that_rows_share_are_encoded_once_and_absent_rows_have_no_token(rng) -> None:
    series = Modality(
        Ragged.of([rng.normal(size=(8, 2)), rng.normal(size=(4, 2))]), np.array([0, 1, 0, -1, 1])
    )
    data = Modalities({"series": series, "vector": rng.normal(size=(5, 3))})
    towers = towers_of(data)
    seen = []
    encoder = towers["series"]
    read = encoder.tokens
    encoder.tokens = lambda batch: seen.append(len(batch["steps"])) or read(batch)
    tokens, masks, present = towers(make_batch(data, np.arange(5), towers.collates).columns)
    assert seen == [2]
    assert masks["series"].sum(1).tolist() == [2, 1, 2, 0, 1]
    assert present["series"].tolist() == [True, True, True, False, True]
    assert torch.equal(tokens["series"][0], tokens["series"][2])
    assert (tokens["series"][3] == 0).all()
    gone, nowhere, _ = towers(make_batch(data, np.array([3]), towers.collates).columns)
    assert gone["series"].shape == (1, 1, 6)
    assert not nowhere["series"].any()


def test_only_layers_that_train_are_kept(rng) -> None:
    towers = towers_of(every_kind(rng)).train()
    data = every_kind(rng)
    tokens, masks, _ = towers(make_batch(data, np.arange(4), towers.collates).columns)
    sum(tokens[n].masked_fill(~masks[n][..., None], 0.0).square().sum() for n in tokens).backward()
    assert all(p.grad is not None for p in towers.parameters())


@pytest.mark.parametrize("poison", [1e9, float("nan"), float("inf")])
def test_what_is_not_there_changes_neither_output_nor_gradient(poison) -> None:
    layer = MeanOfTokens({"a": 2, "b": 2}, 2)
    x = {"a": torch.randn(3, 4, 2), "b": torch.randn(3, 2, 2)}
    present = {"b": torch.tensor([True, False, True])}
    masks = {"a": torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]]).bool()}
    clean = layer(x, present, masks)
    dirty = {"a": x["a"].masked_fill(~masks["a"][..., None], poison), "b": x["b"].clone()}
    dirty["b"][1] = poison
    leaves = {k: v.requires_grad_() for k, v in dirty.items()}
    out = layer(leaves, present, masks)
    assert torch.equal(out, clean)
    out.square().sum().backward()
    assert all(v.grad.isfinite().all() for v in leaves.values())
    torch.testing.assert_close(clean[0], torch.cat([x["a"][0, :2], x["b"][0]]).mean(0))
    torch.testing.assert_close(clean[1], x["a"][1].mean(0))
    torch.testing.assert_close(clean[2], x["b"][2].mean(0))


def test_a_name_that_is_not_given_has_one_place_and_no_token() -> None:
    values, has = fill_absent_tokens({"a": torch.ones(2, 0, 3)}, None, None, {"a": 3, "b": 4})
    assert values["a"].shape == (2, 1, 3)
    assert values["b"].shape == (2, 1, 4)
    assert not has["a"].any()
    assert not has["b"].any()


@pytest.mark.parametrize(
    ("inputs", "present", "masks", "words"),
    [
        ({"c": torch.ones(2, 1, 3)}, None, None, "'c'"),
        ({}, None, None, "at least one of"),
        ({"a": torch.ones(2, 3)}, None, None, r"'a' needs tokens of shape \(2, tokens, 3\).*\(2, 3\)"),
        ({"a": torch.ones(2, 1, 4)}, None, None, "'a' needs tokens"),
        ({"a": torch.ones(2, 1, 3), "b": torch.ones(3, 1, 4)}, None, None, "'b' needs tokens"),
        (
            {"a": torch.ones(2, 1, 3)},
            {"a": torch.ones(2, 1).bool()},
            None,
            r"present\['a'\] needs 2 Booleans",
        ),
        (
            {"a": torch.ones(2, 1, 3)},
            None,
            {"a": torch.ones(2, 1)},
            r"masks\['a'\] needs Booleans of shape \(2, 1\)",
        ),
    ],
)
def test_refusals(inputs, present, masks, words) -> None:
    with pytest.raises(ModalityError, match=words):
        fill_absent_tokens(inputs, present, masks, {"a": 3, "b": 4})


def test_an_estimator_of_tokens_learns_from_rows_that_lack_some(rng) -> None:
    data = every_kind(rng)[np.tile(np.arange(4), 5)].without("text", [0, 5]).without("picture", [2])
    y = np.tile([0, 1, 0, 1], 5)
    model = MeanFusion(training=Training(max_epochs=6, batch_size=10, learning_rate=1e-2), random_state=0)
    assert model.fit(data, y).score(data, y) > 0.8
    assert model.transform(data.select("series")).shape == (20, 4)
