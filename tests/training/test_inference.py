from typing import Any

import numpy as np
import torch

from polymodal.training import infer


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
