from typing import Any

import numpy as np
import torch

from polymodal.core import Modalities
from polymodal.training import infer, report_progress


def test_row_order_any_batch_size_and_the_mode_comes_back(problem: Any) -> None:
    module = problem.module(dropout=0.5)
    module.train()
    module.drop.eval()

    def predict(m: Any, batch: Any) -> dict[str, torch.Tensor]:
        assert not torch.is_grad_enabled()
        assert not m.training
        return {"y": m(batch), "half": m(batch).bfloat16(), "rows": batch.rows}

    whole = infer(module, predict, problem.data, collates=problem.arguments()["collates"])
    parts = infer(
        module, predict, problem.data, collates=problem.arguments()["collates"], batch_size=7, device="cpu"
    )
    assert whole["rows"].tolist() == list(range(60))
    np.testing.assert_allclose(parts["y"], whole["y"], rtol=1e-5, atol=1e-6)
    expected = problem.data["x"].store @ module.layer.weight[0].detach().numpy() + module.layer.bias.item()
    np.testing.assert_allclose(whole["y"], expected, rtol=1e-5, atol=1e-5)
    assert whole["half"].dtype == np.float32
    assert module.training
    assert not module.drop.training
    assert infer(module, predict, problem.data[:0], collates=problem.arguments()["collates"]) == {}


def test_long_embeddings_are_reported_on_a_terminal_only(rng, monkeypatch):
    seen = []

    class Terminal:
        def isatty(self):
            return True

        def write(self, text):
            return len(text)

        def flush(self):
            return None

    data = Modalities({"x": rng.normal(size=(10, 3))})
    module = torch.nn.Linear(3, 2)

    def embed():
        infer(
            module,
            lambda m, b: {"z": m(b.columns["x"].values)},
            data,
            collates={"x": lambda v: torch.as_tensor(v, dtype=torch.float32)},
            batch_size=4,
        )

    class Bar:
        def __init__(self, title):
            seen.append(title)

        def __call__(self, progress):
            seen.append((progress.done, progress.total))

        def close(self):
            seen.append("closed")

    monkeypatch.setattr("polymodal.training.progress._Bar", Bar)
    embed()
    assert seen == []
    monkeypatch.setattr("sys.stderr", Terminal())
    embed()
    assert seen == ["Embedding 10 rows", (1, 3), (2, 3), (3, 3), "closed"]
    with report_progress(seen.append):  # a listener counts training steps, and no others
        embed()
    assert len(seen) == 5
