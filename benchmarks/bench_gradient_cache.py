"""A contrastive step in chunks (`Training(chunk_size=...)`) beside the same step in one piece, at growing batches.

Prediction, written before measuring: a step in one piece costs one pass forward (F) and one backward (about 2 F); in chunks one
more pass forward, so 4/3 of the time, less what smaller pieces gain in cache. Memory: the graph of one chunk instead of the
batch's, so flat in the batch but for its input and its vectors.

The encoders are the package's defaults for pictures and texts, on random pictures of 32 x 32 x 3 and texts of eight words; the
loss is InfoNCE. Each contender runs in a process of its own; seconds are processor seconds on one thread, best of two; MiB are
the peak above the collated batch.

    python benchmarks/bench_gradient_cache.py             # batches of 256, 1,024 and 4,096
    python benchmarks/bench_gradient_cache.py 512 128     # batch and chunk
"""

from __future__ import annotations

from measuring import Answer, Row, best_of, command_line, contend, difference, present, row

WORKS = ((256, 128), (1024, 128), (4096, 128))  # batch, chunk


def run(works: tuple[tuple[int, int], ...] = WORKS) -> list[Row]:
    """One row per batch; the agreement is of the loss and of the gradients."""
    return [
        row(
            work=f"contrastive step, pictures and texts, batch {batch:,}, chunks of {chunk}",
            ours=present(contend(__file__, "chunks", batch, chunk)),
            peer_name="the whole batch at once",
            peer=contend(__file__, "whole", batch, chunk),
            agreement=difference("answers", relative=True),
        )
        for batch, chunk in works
    ]


def contender(who: str, rows: int, chunk: int) -> Answer:
    from contextlib import nullcontext

    import numpy as np
    import torch

    from polymodal import Modalities
    from polymodal.coordination._contrast import ContrastiveModule, contrastive_loss
    from polymodal.encoders import build_encoders, choose_encoders, prepare_encoders
    from polymodal.nn import Towers
    from polymodal.training import make_batch
    from polymodal.training.gradient_cache import cached_loss

    draws = np.random.default_rng(0)
    words = np.array([f"word{i}" for i in range(500)])
    data = Modalities(
        {
            "image": draws.integers(0, 256, (rows, 32, 32, 3)).astype(np.uint8),
            "text": [" ".join(draws.choice(words, 8)) for _ in range(rows)],
        }
    )
    encoders = choose_encoders(None, data)
    torch.manual_seed(0)
    module = ContrastiveModule(Towers(build_encoders(encoders, prepare_encoders(encoders, data), 64))).eval()
    loss = contrastive_loss(data, [("image", "text")])
    whole = make_batch(data, np.arange(rows), module.towers.collates)

    def step() -> float:
        module.zero_grad(set_to_none=True)
        if who == "whole":
            value = loss(module, whole)
            value.backward()
            return value.item()
        value, finish = cached_loss(
            loss, module, whole, chunk_size=chunk, device=torch.device("cpu"), precision=nullcontext
        )
        value.backward()
        finish()
        return value.item()

    found = best_of(step, repeats=2 if rows < 4000 else 1)
    norms = [float(p.grad.norm()) for p in module.parameters() if p.grad is not None]
    return found.figures() | {"answers": [found.answer, sum(norms), max(norms), norms[0]]}


if __name__ == "__main__":
    command_line(run, contender, WORKS)
