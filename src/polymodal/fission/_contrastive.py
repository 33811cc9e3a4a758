"""What contrastive fissions share: the score, and which rows may be learned from."""

from __future__ import annotations

import math
from itertools import combinations
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from polymodal.core.errors import ModalityError
from polymodal.core.modalities import Modalities
from polymodal.core.requirements import Requirements
from polymodal.core.typing import Float
from polymodal.fission._learned import LearnedFission
from polymodal.fission._shared_private import SharedPrivateModule
from polymodal.objectives.infonce import pairwise_info_nce
from polymodal.training.batches import Batch, row_codes

TEMPERATURE = 0.2


def unit(vectors: Float[Tensor, "n k"]) -> Float[Tensor, "n k"]:
    """Rows of length 1; zeros stay."""
    return functional.normalize(vectors, dim=1)


class ContrastiveFission(LearnedFission):
    """Base: the shared parts of a row recognise each other among those of all rows. `score` says how well."""

    requires: ClassVar[Requirements] = Requirements(min_modalities=2, missing=True, unpaired=False)

    def _score(self, data: Modalities, y: np.ndarray | None) -> float:
        """1 - InfoNCE / log n, averaged over pairs of modalities: 1 when every row knows its partner, 0 for chance."""
        del y

        def views(module: nn.Module, batch: Batch) -> dict[str, Tensor]:
            assert isinstance(module, SharedPrivateModule)
            return module.parts(batch.columns).shared

        found = self._infer(data, views)
        codes = row_codes(data)(torch.arange(len(data)))
        scores = []
        for a, b in combinations(sorted(data.names), 2):
            both = torch.from_numpy(data[a].present & data[b].present)
            n = int(both.sum())
            if n > 1:
                vectors = {name: torch.from_numpy(found[name]) for name in (a, b)}
                present = dict.fromkeys((a, b), both)
                loss = pairwise_info_nce(
                    vectors, present, temperature=TEMPERATURE, codes={a: codes[a], b: codes[b]}
                )
                scores.append(1 - loss.item() / math.log(n))
        if not scores:
            raise ModalityError(
                f"{type(self).__name__}.score needs two rows that have two of {list(self.modalities_)}, got {data!r}."
            )
        return float(np.mean(scores))
