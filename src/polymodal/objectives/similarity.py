"""The simplest coordination: partners should be similar. A similarity is maximised, so the loss is one minus it."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from polymodal.core.typing import Float


def similarity_loss(a: Float[Tensor, "n d"], b: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    r"""Mean of $1 - \cos(a_i, b_i)$ over rows: 0 for equal directions, 2 for opposite ones.

    Nothing here keeps strangers apart: alone, it is solved by mapping everything to one point. Add
    `info_nce`, `margin_loss` or a reconstruction.

    Relations:
        * symmetric, and blind to the lengths of the vectors.
    """
    return (1 - functional.cosine_similarity(a, b, dim=1)).mean()
