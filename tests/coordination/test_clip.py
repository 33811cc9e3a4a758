from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from polymodal.config import build
from polymodal.coordination import CLIP
from polymodal.coordination._contrast import ContrastiveModule
from polymodal.core import Modalities, Modality
from polymodal.core.errors import ConfigError, ModalityError
from polymodal.encoders.text import BagOfTokensEncoder
from polymodal.persistence import load, save
from polymodal.training import Training

QUICK = Training(max_epochs=2, batch_size=16, device="cpu", progress=False)


def shared_factors(rng: np.random.Generator, n: int = 200, noise: float = 0.1) -> Modalities:
    factors = rng.normal(size=(n, 4))
    return Modalities(
        {
            "left": factors @ rng.normal(size=(4, 8)) + noise * rng.normal(size=(n, 8)),
            "right": np.tanh(factors @ rng.normal(size=(4, 6))) + noise * rng.normal(size=(n, 6)),
        }
    )


def arrays(model: CLIP, data: Modalities) -> dict[str, np.ndarray]:
    return {name: column.observed() for name, column in model.transform(data).items()}


# --- estimator ------------------------------------------------------------------------------------------------------


def test_finds_partners_it_never_saw(rng: np.random.Generator) -> None:
    data = shared_factors(rng)
    model = CLIP(8, training=Training(max_epochs=30, batch_size=50, progress=False), random_state=0).fit(
        data[:150]
    )
    held = data[150:]
    assert model.score(held) > 0.6  # chance: 0.09
    assert model.history_.loss[-1] < 0.5 * model.history_.loss[0]
    vectors = model.transform(held)
    alone = model.transform(held.select("right"))["right"]
    np.testing.assert_array_equal(alone.values(), vectors["right"].values())
    assert vectors.names == held.names
    for _, column in vectors.items():
        assert column.values().dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(column.values(), axis=1), 1, atol=1e-5)


def test_each_stored_value_is_encoded_once(rng: np.random.Generator) -> None:
    data = shared_factors(rng, 30)
    model = CLIP(4, training=QUICK, random_state=0).fit(data)
    shared = data.assign({"left": Modality(data["left"].store, np.arange(30) // 5)})
    out = model.transform(shared)["left"]
    assert len(out.store) == 6
    assert np.array_equal(out.index, np.arange(30) // 5)


def test_sharing_a_store_equals_repeating_its_values(rng: np.random.Generator) -> None:
    data = shared_factors(rng, 30)
    index = np.arange(30) // 5
    once = data.assign({"left": Modality(data["left"].store[:6], index)})
    repeated = data.assign({"left": data["left"].store[:6][index]})
    fits = [CLIP(4, training=QUICK, random_state=0).fit(d) for d in (once, repeated)]
    for name, values in arrays(fits[0], once).items():
        np.testing.assert_allclose(values, arrays(fits[1], repeated)[name], atol=1e-4)


def test_rows_with_one_modality_are_skipped(rng: np.random.Generator) -> None:
    data = shared_factors(rng, 40)
    lonely = data.without("left", slice(30, 35)).without("right", slice(35, 40))
    a = CLIP(4, training=QUICK, random_state=0).fit(lonely)
    b = CLIP(4, training=QUICK, random_state=0).fit(data[:30])
    np.testing.assert_allclose(arrays(a, data)["left"], arrays(b, data)["left"], atol=1e-6)


def test_one_modality_binds_others_that_never_meet(rng: np.random.Generator) -> None:
    data = shared_factors(rng, 60).assign({"third": rng.normal(size=(60, 3))})
    apart = data.without("right", slice(0, 30)).without("third", slice(30, 60))
    model = CLIP(4, training=QUICK, pairs="left", random_state=0).fit(apart)
    assert set(model.transform(apart).names) == {"left", "right", "third"}
    assert 0 < model.score(apart) <= 1
    with pytest.raises(ModalityError, match="third"):
        CLIP(4, training=QUICK, pairs="left").fit(
            data.without("left", slice(30, 60)).without("third", slice(0, 30))
        )


@pytest.mark.parametrize("encoder", [BagOfTokensEncoder(width=8, vocabulary=50)])
def test_pictures_and_texts_are_saved(
    rng: np.random.Generator, tmp_path: Path, encoder: BagOfTokensEncoder
) -> None:
    data = Modalities(
        {
            "a.picture": rng.integers(0, 256, (12, 8, 8, 3)).astype(np.uint8),
            "text": [f"word{i} and {i % 3}" for i in range(12)],
        }
    )
    model = CLIP(4, encoders={"text": encoder}, training=QUICK, random_state=0).fit(data)
    again = load(save(model, tmp_path / "model"))
    for name, values in arrays(model, data).items():
        assert np.array_equal(values, arrays(again, data)[name])
    assert again.temperature_ == model.temperature_
    assert again.history_ == model.history_


def test_sigmoid_finds_partners_and_keeps_its_bias(rng: np.random.Generator, tmp_path: Path) -> None:
    data = shared_factors(rng)
    options = Training(max_epochs=30, batch_size=50, device="cpu", progress=False)
    model = CLIP(8, loss="sigmoid", training=options, random_state=0).fit(data[:150])
    assert model.score(data[150:]) > 0.5  # chance: 0.09
    assert model.bias_ is not None
    assert -10.5 < model.bias_ < -9
    assert 0.05 < model.temperature_ < 0.11  # from 1 / 10 on
    again = load(save(model, tmp_path / "model"))
    assert again.loss == "sigmoid"
    assert again.bias_ == model.bias_
    assert again.module_.bias.item() == pytest.approx(model.bias_)
    assert np.array_equal(arrays(again, data)["left"], arrays(model, data)["left"])


@pytest.mark.parametrize("loss", ["softmax", "sigmoid"])
def test_chunks_equal_the_whole_batch(rng: np.random.Generator, loss: Any) -> None:
    data = shared_factors(rng, 40).without("left", [3, 17])
    fits = [
        CLIP(
            4,
            loss=loss,
            training=Training(max_epochs=2, batch_size=20, chunk_size=c, device="cpu", progress=False),
            random_state=0,
        ).fit(data)
        for c in (None, 6)
    ]
    np.testing.assert_allclose(fits[1].history_.loss, fits[0].history_.loss, rtol=1e-5)
    for name, values in arrays(fits[0], data).items():
        np.testing.assert_allclose(arrays(fits[1], data)[name], values, atol=1e-4)


@pytest.mark.parametrize("loss", ["softmax", "sigmoid"])
def test_a_temperature_that_runs_away_is_held(rng: np.random.Generator, loss: Any) -> None:
    data = shared_factors(rng, 30)
    for start in (1e-30, 1e-6, 1e30):
        model = CLIP(4, loss=loss, temperature=start, training=QUICK, random_state=0).fit(data)
        assert np.isfinite(model.history_.loss).all()
        assert model.temperature_ >= 0.0099
    with pytest.raises(ConfigError, match="temperature above 0, got nan"):
        CLIP(4, temperature=float("nan")).fit(data)


def test_sigmoid_anchored_on_one_of_three(rng: np.random.Generator) -> None:
    data = shared_factors(rng, 60).assign({"third": rng.normal(size=(60, 3))})
    apart = data.without("right", slice(0, 30)).without("third", slice(30, 60))
    model = CLIP(4, loss="sigmoid", training=QUICK, pairs="left", random_state=0).fit(apart)
    assert set(model.transform(apart).names) == {"left", "right", "third"}
    one = Training(max_epochs=1, batch_size=1, device="cpu", progress=False)
    assert CLIP(4, loss="sigmoid", training=one, random_state=0).fit(data[:6]).history_.loss[0] > 0
    with pytest.raises((ConfigError, TypeError), match="loss"):
        CLIP(4, loss="hinge").fit(data)  # type: ignore[arg-type]


def test_a_configuration_names_the_loss_and_the_chunks() -> None:
    model = build({"use": "CLIP", "loss": "sigmoid", "training": {"batch_size": 512, "chunk_size": 64}})
    assert model.loss == "sigmoid"
    assert model.training.chunk_size == 64
    with pytest.raises(ConfigError, match="loss"):
        build({"use": "CLIP", "loss": "hinge"})


def test_early_stopping(rng: np.random.Generator) -> None:
    noise = Modalities({"left": rng.normal(size=(60, 5)), "right": rng.normal(size=(60, 5))})
    options = Training(max_epochs=40, batch_size=20, validation=0.3, patience=2, progress=False)
    model = CLIP(4, training=options, random_state=0).fit(noise)
    assert model.history_.stopped_early
    assert len(model.history_.validation_loss) == model.history_.epochs < 40


def test_interrupted_training_goes_on_exactly(
    rng: np.random.Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = shared_factors(rng, 32)
    whole = CLIP(4, training=QUICK, random_state=0).fit(data)
    kept = Training(max_epochs=2, batch_size=16, device="cpu", progress=False, checkpoint=tmp_path / "kept")
    calls = []
    compare = ContrastiveModule.compare

    def interrupted(*arguments: Any) -> torch.Tensor:
        calls.append(1)
        if len(calls) > 3:  # in the second epoch of two steps
            raise KeyboardInterrupt
        return compare(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(ContrastiveModule, "compare", interrupted)
        with pytest.raises(KeyboardInterrupt):
            CLIP(4, training=kept, random_state=0).fit(data)
    resumed = CLIP(4, training=kept, random_state=0).fit(data)
    for name, values in arrays(whole, data).items():
        np.testing.assert_allclose(arrays(resumed, data)[name], values, atol=1e-6)


def test_one_pair_a_batch_learns_nothing_but_works(rng: np.random.Generator) -> None:
    one = Training(max_epochs=1, batch_size=1, progress=False)
    model = CLIP(4, training=one, random_state=0).fit(shared_factors(rng, 6))
    assert model.history_.loss[0] == pytest.approx(0, abs=1e-6)


def test_refusals_are_sentences(rng: np.random.Generator) -> None:
    data = shared_factors(rng, 10)
    with pytest.raises(ModalityError, match="one and the same 'text'"):
        CLIP(4, training=QUICK).fit(data.assign({"text": ["a cat"] * 10}))
    apart = data.without("left", slice(0, 5)).without("right", slice(5, 10))
    with pytest.raises(ModalityError, match=r"meets another, got \{'left': 0, 'right': 0\}"):
        CLIP(4, training=QUICK).fit(apart)
    with pytest.raises(ConfigError, match="temperature above 0"):
        CLIP(4, temperature=0.0).fit(data)
    with pytest.raises(ConfigError, match="n_components of at least 1"):
        CLIP(0).fit(data)
    model = CLIP(4, training=QUICK, random_state=0).fit(data)
    with pytest.raises(ModalityError, match="rows that have two of"):
        model.score(data.select("left"))


WORKER = """
import sys
import numpy as np, torch, torch.distributed as dist
from polymodal.coordination import CLIP, GatedCoordination, MarginCoordination, PartialCoordination
from polymodal.core import Modalities
from polymodal.training import Training

rank, size, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
torch.set_num_threads(1)
if size > 1:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=size)
rng = np.random.default_rng(0)
left = rng.normal(size=(23, 5))
data = Modalities({"left": left[np.arange(23) // 2], "right": left[:, ::-1] ** 3}).without("right", [4, 9])
whole = Training(max_epochs=3, batch_size=8, device="cpu", progress=False)
chunks = Training(max_epochs=3, batch_size=8, device="cpu", progress=False, chunk_size=3)
found = {}
for name, model in {
    "softmax": CLIP(4, training=whole, random_state=0),
    "softmax in chunks": CLIP(4, training=chunks, random_state=0),
    "sigmoid": CLIP(4, loss="sigmoid", training=whole, random_state=0),
    "sigmoid in chunks": CLIP(4, loss="sigmoid", training=chunks, random_state=0),
    "margin": MarginCoordination(4, training=whole, random_state=0),
    "semi-hard in chunks": MarginCoordination(4, negatives="semi-hard", training=chunks, random_state=0),
    "partial": PartialCoordination(3, n_private=2, training=chunks, random_state=0),
    "gated": GatedCoordination(4, training=whole, random_state=0),
}.items():
    model.fit(data)
    found[name + ", losses"] = model.history_.loss
    found[name + ", left"] = model.transform(data)["left"].values()
if rank == 0:
    np.savez(f"{folder}/of{size}.npz", **found)
"""


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path: Path) -> None:
    """Softmax, sigmoid and margin losses, partial and gated coordination, whole and in chunks."""
    script = tmp_path / "worker.py"
    script.write_text(textwrap.dedent(WORKER))
    started = [
        subprocess.Popen([sys.executable, str(script), str(rank), str(size), str(tmp_path)])
        for size in (1, 2)
        for rank in range(size)
    ]
    assert [process.wait(timeout=240) for process in started] == [0, 0, 0]
    one, two = (np.load(tmp_path / f"of{size}.npz") for size in (1, 2))
    for name in one.files:
        np.testing.assert_allclose(two[name], one[name], rtol=1e-4, atol=1e-4, err_msg=name)
    for loss in ("softmax", "sigmoid"):
        np.testing.assert_allclose(one[f"{loss} in chunks, losses"], one[f"{loss}, losses"], rtol=1e-5)
