"""Gated coordination: each modality's vector passes through gates that also look at the other modalities of its row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from polymodal.coordination._contrast import STARTS, ContrastiveModule
from polymodal.coordination._learned import LearnedCoordination, Loss
from polymodal.coordination._pairs import Pair, chosen_pairs
from polymodal.core.modalities import Modalities, Modality
from polymodal.core.random import RandomState
from polymodal.core.typing import Bool, Float
from polymodal.encoders.base import Encoder
from polymodal.nn.mlp import MLP
from polymodal.nn.towers import EncodedColumn, Towers
from polymodal.objectives.infonce import info_nce_of_scores
from polymodal.objectives.pairwise import pairwise_loss
from polymodal.training.batches import Batch, row_codes
from polymodal.training.gradient_cache import Embedded, EmbeddingLoss
from polymodal.training.inference import infer
from polymodal.training.options import Training

_BLOCK = 1 << 21
"""Gates of pairs of rows held at once: 8 MiB in float32."""


def gated_scores(
    a: Float[Tensor, "n k"],
    b: Float[Tensor, "m k"],
    logits_a: tuple[Float[Tensor, "n k"], Float[Tensor, "m k"]],
    logits_b: tuple[Float[Tensor, "n k"], Float[Tensor, "m k"]],
) -> Float[Tensor, "n m"]:
    r"""Cosines of every a_i with every b_j, each seen through the gates that the two of them open.

    $$ s_{ij} = \cos\big(\sigma(u_i + v_j) \odot a_i,\; \sigma(u'_i + v'_j) \odot b_j\big) $$

    Args:
        a: Vectors of the first modality.
        b: Vectors of the second.
        logits_a: u and v: what a_i and b_j say about the gates of a.
        logits_b: u' and v': what they say about the gates of b.

    Complexity:
        O(n m k) operations; memory O(n m), and one block.

    Relations:
        * all logits equal, whatever their value: plain cosines.
        * the entry of a row and its partner: the cosine of their gated vectors.
    """
    size = max(1, _BLOCK // max(1, b.numel()))
    if size >= len(a):
        return _gated_block(a, b, *logits_a, *logits_b)
    blocks = zip(
        torch.split(a, size), torch.split(logits_a[0], size), torch.split(logits_b[0], size), strict=True
    )
    parts = [
        checkpoint(
            _gated_block, x, b, u, logits_a[1], w, logits_b[1], use_reentrant=False, preserve_rng_state=False
        )
        for x, u, w in blocks
    ]
    return torch.cat(parts)


def _gated_block(a: Tensor, b: Tensor, u_a: Tensor, v_a: Tensor, u_b: Tensor, v_b: Tensor) -> Tensor:
    x = torch.sigmoid(u_a[:, None] + v_a[None]) * a[:, None]
    y = torch.sigmoid(u_b[:, None] + v_b[None]) * b[None]
    return functional.cosine_similarity(x, y, dim=2)


class GatedModule(ContrastiveModule):
    """Towers, and what each modality says about its own gates and those of the modalities it is paired with.

    Args:
        towers: One encoder per modality, all of one `dim`.
        dim: That width.
        pairs: Pairs of modalities that look at each other.
        width: Features of the hidden layer that reads a vector for the gates.
    """

    def __init__(self, towers: Towers, dim: int, pairs: Sequence[Pair], width: int = 64) -> None:
        super().__init__(towers, STARTS["softmax"].temperature)
        self.dim = dim
        self.targets = {
            name: sorted(b if a == name else a for a, b in pairs if name in (a, b)) for name in towers.names
        }
        self.speakers = nn.ModuleList(
            [MLP(dim, dim * (1 + len(self.targets[name])), width=width) for name in towers.names]
        )
        # what is put in for a modality that is not there; learned, since zero would be a statement too
        self.absent = nn.ParameterList([nn.Parameter(torch.zeros(dim)) for _ in self.edges])

    @property
    def edges(self) -> list[tuple[str, str]]:
        """(who speaks, about whose gates)."""
        return [(name, target) for name in self.towers.names for target in self.targets[name]]

    def speak(
        self, columns: Mapping[str, EncodedColumn]
    ) -> tuple[dict[str, Tensor], dict[tuple[str, str], Tensor], dict[str, Tensor]]:
        """Name -> vectors; (speaker, target) -> logits, also of a modality about itself; and name -> presence."""
        vectors, present = self.towers(columns)
        vectors = {name: v.float() for name, v in vectors.items()}
        logits: dict[tuple[str, str], Tensor] = {}
        for name, v in vectors.items():
            pieces = self.speakers[self.towers.names.index(name)](v).float().split(self.dim, dim=1)
            logits |= {
                (name, target): p for target, p in zip([name, *self.targets[name]], pieces, strict=True)
            }
        return vectors, logits, present

    def logits(
        self, name: str, said: Mapping[tuple[str, str], Tensor], present: Mapping[str, Tensor] | None = None
    ) -> Tensor:
        """The gate logits of `name`: what it says itself, and what each other says, or the stand-in where that is absent.

        Args:
            name: Whose gates.
            said: (speaker, target) -> logits.
            present: Who may be heard, row by row; None: nobody but `name`.
        """
        total = said[(name, name)]
        for edge, stand_in in zip(self.edges, self.absent, strict=True):
            if edge[1] != name:
                continue
            if present is None or edge[0] not in present:
                total = total + stand_in
            else:
                total = total + torch.where(present[edge[0]][:, None], said[edge], stand_in)
        return total

    def stand_in(self, speaker: str, target: str) -> Tensor:
        """What is put in where `speaker` is absent."""
        found: Tensor = self.absent[self.edges.index((speaker, target))]
        return found

    def gated(
        self, columns: Mapping[str, EncodedColumn]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
        """Name -> gated unit vectors (zeros where absent), name -> gates in (0, 1), and name -> presence."""
        vectors, said, present = self.speak(columns)
        gates = {name: torch.sigmoid(self.logits(name, said, present)) for name in vectors}
        return (
            {name: functional.normalize(gates[name] * v, dim=1) for name, v in vectors.items()},
            gates,
            present,
        )

    def forward(
        self, columns: Mapping[str, EncodedColumn]
    ) -> tuple[dict[str, Float[Tensor, "n dim"]], dict[str, Bool[Tensor, " n"]]]:
        """Name -> gated unit vectors, and name -> presence."""
        vectors, _, present = self.gated(columns)
        return vectors, present


class GatedCoordination(LearnedCoordination):
    r"""Encoders whose dimensions open and close by what the other modalities of the row say about them.

    $$ z_a = g_a(x_a, x_b) \odot f_a(x_a), \qquad z_b = g_b(x_a, x_b) \odot f_b(x_b), \qquad
       g_a = \sigma\big(u_{aa}(x_a) + u_{ba}(x_b)\big) \in (0, 1)^k $$

    Which part of x_a matters may be told by x_b only: a caption says which object of a scene is meant, one sensor says which
    channels of the other are broken. With more than two modalities each adds its term. A modality that a row lacks is stood in for
    by a learned vector, so any one modality can be transformed, and be a query.

    Trained on pairs of modalities by InfoNCE with a learned temperature, twice: each modality alone, as a query comes; and through
    gates that see both, $s_{ij} = \cos(g_a(a_i, b_j) \odot a_i, g_b(a_i, b_j) \odot b_j)$. There the gates are those of each
    candidate pair (i, j), true or false. Gates of true pairs only would let a row know its partner before it is asked for it: the
    loss would fall without anything being learned. For the same reason `score`, the mean reciprocal rank of retrieval, takes each
    modality alone.

    `transform` of one modality alone differs from that column of transform of all, where its gates hear the others.

    Args:
        n_components: Dimensions of the shared space, and gates of each modality.
        encoders: Name -> encoder recipe; modalities left out take `polymodal.encoders.default_encoder`.
        training: How to train.
        pairs: "all", or the name of one modality that each other is paired with; modalities that are not paired do not look
            at each other.
        random_state: Fixes weights, order of rows, augmentation and held-out rows.

    Attributes:
        module_: `GatedModule` on the CPU.
        encoders_: Name -> recipe used.
        settings_: Name -> what the recipe learned from the training values.
        temperature_: Learned temperature.
        history_: Losses per epoch.

    Raises:
        ModalityError: no two modalities meet on two rows, a modality has one value only, or an encoder does not fit.
        ConfigError: `n_components` out of range.

    Complexity:
        Of an epoch: one pass of every encoder over the rows, and O(B n_components) gates a row and pair for batches of B, each
        with an exponential: more work than the products of `CLIP`. B x B scores are held.

    Relations:
        * transform of one modality equals that column of transform of all, on rows that lack the others.
        * `chunk_size` does not change the result without dropout, up to rounding; nor do several processes.

    References:
        The form z = g * x: Liang, Zadeh, Morency 2022, "Foundations and trends in multimodal machine learning" (coordination).

    Examples:
        >>> x = np.random.default_rng(0).normal(size=(60, 3))
        >>> data = Modalities({"a": x, "b": x[:, ::-1] ** 3})
        >>> gated = GatedCoordination(4, training=Training(max_epochs=2, batch_size=30), random_state=0).fit(data)
        >>> gates = gated.gates(data)["a"].values()
        >>> gates.shape, bool(((gates > 0) & (gates < 1)).all())
        ((60, 4), True)
    """

    module_: GatedModule
    temperature_: float

    def __init__(
        self,
        n_components: int = 32,
        *,
        encoders: Mapping[str, Encoder] | None = None,
        training: Training = Training(),  # noqa: B008  # frozen
        pairs: Literal["all"] | str = "all",
        random_state: RandomState = None,
    ) -> None:
        self.n_components = n_components
        self.encoders = encoders
        self.training = training
        self.pairs = pairs
        self.random_state = random_state

    @classmethod
    def _examples(cls) -> list[GatedCoordination]:
        training = Training(max_epochs=2, batch_size=16, device="cpu", progress=False)
        return [cls(4, training=training, random_state=0)]

    def gates(self, data: Modalities | Mapping[str, Any]) -> Modalities:
        """How far each dimension is open, (n, n_components) in (0, 1), seen from all modalities that a row has."""
        return self._by_row(self._check_known(data), 1)

    def _transform(self, data: Modalities) -> Modalities:
        return self._by_row(data, 0)

    def _by_row(self, data: Modalities, which: int) -> Modalities:
        """What `GatedModule.gated` gives first or second: a function of the whole row, so it is stored row by row."""
        collates = {name: self.module_.towers.collates[name] for name in data.names}
        found = infer(
            self.module_,
            lambda module, batch: module.gated(batch.columns)[which],  # type: ignore[operator]
            data,
            collates=collates,
            device=self.training.device,
        )
        columns = {}
        for name, column in data.items():
            index = np.full(len(column), -1, dtype=np.int64)
            index[column.present] = np.arange(int(column.present.sum()))
            values = found.get(name, np.empty((0, self.n_components), dtype=np.float32))
            columns[name] = Modality(values[column.present], index)
        return Modalities(columns, ids=data.ids)

    # --- fitting ----------------------------------------------------------------------------------------------------

    def _make_module(self, towers: Towers) -> GatedModule:
        return GatedModule(towers, self.n_components, chosen_pairs(towers.names, self.pairs))

    def _make_loss(self, data: Modalities) -> Loss:
        codes_of, pairs = row_codes(data), chosen_pairs(data.names, self.pairs)

        def compare(module: nn.Module, rows: Embedded) -> Tensor:
            assert isinstance(module, GatedModule)
            return gated_loss(module, rows, codes_of(rows.rows), pairs)

        return EmbeddingLoss(_embed_spoken, compare)

    def _settle(self, data: Modalities) -> None:
        self.module_.clamp_temperature()
        self.temperature_ = float(self.module_.temperature.detach())


def _embed_spoken(module: nn.Module, batch: Batch) -> dict[str, Tensor]:
    """Per modality its vectors and, side by side, what it says about the gates of itself and of its partners."""
    assert isinstance(module, GatedModule)
    vectors, said, _ = module.speak(batch.columns)
    return {
        name: torch.cat([v, said[(name, name)], *(said[(name, t)] for t in module.targets[name])], dim=1)
        for name, v in vectors.items()
    }


def gated_loss(
    module: GatedModule, rows: Embedded, codes: Mapping[str, Tensor], pairs: Sequence[Pair]
) -> Float[Tensor, ""]:
    """The mean of two InfoNCE losses over pairs of modalities: each alone, and through gates that see both."""
    vectors: dict[str, Tensor] = {}
    said: dict[tuple[str, str], Tensor] = {}
    for name, whole in rows.vectors.items():
        vectors[name], *pieces = torch.split(whole, module.dim, dim=1)
        said |= {(name, t): p for t, p in zip([name, *module.targets[name]], pieces, strict=True)}
    base = {name: module.logits(name, said) for name in vectors}
    alone = {name: functional.normalize(torch.sigmoid(base[name]) * v, dim=1) for name, v in vectors.items()}
    apart = module.compare(Embedded(alone, rows.present, rows.rows), codes, pairs)
    together = []
    for a, b in pairs:
        # the stand-in of the one that is now heard is taken out again
        heard = {
            a: base[a] - module.stand_in(b, a),
            b: base[b] - module.stand_in(a, b),
        }
        columns = {
            a: torch.cat([vectors[a], heard[a], said[(a, b)]], dim=1),
            b: torch.cat([vectors[b], heard[b], said[(b, a)]], dim=1),
        }

        def loss(x: Tensor, y: Tensor, codes_x: Tensor | None, codes_y: Tensor | None) -> Tensor:
            v_x, own_x, to_y = torch.split(x, module.dim, dim=1)
            v_y, own_y, to_x = torch.split(y, module.dim, dim=1)
            scores = gated_scores(v_x, v_y, (own_x, to_x), (to_y, own_y)) / module.temperature
            return info_nce_of_scores(scores, codes_a=codes_x, codes_b=codes_y)

        present = {name: rows.present[name] for name in (a, b)}
        together.append(pairwise_loss(loss, columns, present, codes=codes, pairs=[(a, b)]))
    return (apart + torch.stack(together).mean()) / 2
