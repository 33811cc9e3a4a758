"""InfoNCE and the sigmoid loss, forward and backward: in tiles, beside the materialised losses of open_clip (`ClipLoss`, `SigLipLoss`).

open_clip imports torchvision, which is not everywhere; its published formulas are therefore written out here (one process: two
products and two cross-entropies; one product and one log-sigmoid). Each contender runs in a process of its own, on the same seeded
unit vectors; seconds are processor seconds on one thread, best of several; MiB are the peak above the input.

    python benchmarks/bench_info_nce.py            # N = 8,192 and 16,384
    python benchmarks/bench_info_nce.py 4096 512   # N and d
"""

from __future__ import annotations

from measuring import Answer, Row, best_of, command_line, contend, difference, present, row

PEERS = {"InfoNCE": "open_clip ClipLoss (formula)", "sigmoid": "open_clip SigLipLoss (formula)"}
LOG_SCALE = 2.6592600  # ln(1 / 0.07)


WORKS = ((8192, 512), (16384, 512))  # N, d


def run(works: tuple[tuple[int, int], ...] = WORKS) -> list[Row]:
    """One row per loss and size; the agreement is of the loss and of the gradients."""
    return [
        row(
            work=f"{loss} forward + backward, N = {n:,}, d = {d}",
            ours=present(contend(__file__, "ours", loss, n, d)),
            peer_name=peer,
            peer=contend(__file__, "peer", loss, n, d),
            agreement=difference("answers", relative=True),
        )
        for loss, peer in PEERS.items()
        for n, d in works
    ]


def contender(who: str, kind: str, n: int, d: int) -> Answer:
    import torch
    from torch.nn import functional

    from polymodal.objectives import info_nce, sigmoid_loss

    def clip_loss(a: torch.Tensor, b: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        per_image, per_text = scale * a @ b.T, scale * b @ a.T
        labels = torch.arange(len(a))
        return (functional.cross_entropy(per_image, labels) + functional.cross_entropy(per_text, labels)) / 2

    def tiled_sigmoid(a: torch.Tensor, b: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        return sigmoid_loss(a, b, scale=scale, bias=-10.0)

    def siglip_loss(a: torch.Tensor, b: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        a, b = (
            functional.normalize(a, dim=1),
            functional.normalize(b, dim=1),
        )  # as ours does, and CLIP's encoders
        sign = 2 * torch.eye(len(a)) - 1
        return -functional.logsigmoid(sign * (scale * a @ b.T - 10.0)).sum() / len(a)

    def loss(a: torch.Tensor, b: torch.Tensor, log_scale: torch.Tensor) -> torch.Tensor:
        if kind == "sigmoid":
            return (siglip_loss if who == "peer" else tiled_sigmoid)(a, b, log_scale.exp())
        if who == "peer":
            return clip_loss(a, b, log_scale.exp())
        return info_nce(a, b, temperature=(-log_scale).exp(), normalize=False)

    def inputs(rows: int) -> list[torch.Tensor]:
        torch.manual_seed(0)
        a = functional.normalize(torch.randn(rows, d), dim=1)
        b = functional.normalize(a + 0.07 * torch.randn(rows, d), dim=1)
        return [a.requires_grad_(), b.requires_grad_(), torch.tensor(LOG_SCALE).requires_grad_()]

    loss(*inputs(64)).backward()  # loads the kernels
    tensors = inputs(n)

    def step() -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        value = loss(*tensors)
        return value, torch.autograd.grad(value, tensors)

    found = best_of(step, repeats=3 if n < 12_000 else 2, enough=60)
    value, gradients = found.answer
    probe = torch.linspace(
        -1, 1, d
    )  # fingerprints of the gradients, so that processes need not exchange them
    answers = [
        value.item(),
        *(float(g.norm()) for g in gradients),
        *(float((g[:9] @ probe).norm()) for g in gradients[:2]),
    ]
    return found.figures() | {"answers": answers}


if __name__ == "__main__":
    command_line(run, contender, WORKS)
