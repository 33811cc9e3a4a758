"""Factorised contrastive learning: what both modalities know of the task, and what one alone knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import combinations, permutations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from polymodal.core.errors import ConfigError, ModalityError
from polymodal.core.modalities import Modalities
from polymodal.core.random import RandomState
from polymodal.core.requirements import Requirements
from polymodal.encoders.base import Encoder
from polymodal.encoders.vector import MLPEncoder
from polymodal.fission._contrastive import TEMPERATURE, ContrastiveFission, unit
from polymodal.fission._learned import DEFAULT_TRAINING, Loss
from polymodal.fission._shared_private import Overlap, Parts, SharedPrivateModule, check_weights
from polymodal.nn.towers import EncodedColumn, Towers
from polymodal.objectives.infonce import info_nce, pairwise_info_nce
from polymodal.objectives.redundancy import NceClubPenalty, reverse_gradient
from polymodal.training.batches import Batch, Column, row_codes
from polymodal.training.options import Training


class FactorisedModule(SharedPrivateModule):
    """Parts of length 1, the critics of the dependences to lower (or raise, given the class), and a head where there are classes.

    Args:
        shared: Encoders of the shared parts.
        private: Encoders of the private parts.
        n_shared: Dimensions of the shared part.
        n_private: Dimensions of a private part.
        n_classes: Classes; 0 without labels.
    """

    def __init__(
        self, shared: Towers, private: Towers, n_shared: int, n_private: int, n_classes: int
    ) -> None:
        super().__init__(shared, private)
        names = shared.names
        self.pairs = list(combinations(names, 2)) if n_classes else []
        self.ordered = list(permutations(names, 2))
        self.irrelevant = nn.ModuleList(
            [NceClubPenalty(n_shared, n_shared, n_classes=n_classes) for _ in self.pairs]
        )
        whole = n_shared + n_private
        self.repeated = nn.ModuleList([NceClubPenalty(n_private, whole) for _ in self.ordered])
        self.given_class = nn.ModuleList(
            [NceClubPenalty(n_private, whole, n_classes=n_classes) for _ in self.ordered] if n_classes else []
        )
        self.overlap = Overlap(names, n_shared, n_private, "decorrelation")
        self.heads = nn.ModuleList([nn.Linear(n_private, n_classes) for _ in names] if n_classes else [])

    def parts(self, columns: Mapping[str, EncodedColumn]) -> Parts:
        """Both parts of the modalities given, of length 1; zeros where a row lacks one."""
        raw = super().parts(columns)
        return Parts(
            {name: unit(v) for name, v in raw.shared.items()},
            {name: unit(v) for name, v in raw.private.items()},
            raw.present,
        )

    def shared_terms(
        self, parts: Parts, codes: Mapping[str, Tensor], y: Tensor | None, weight: float
    ) -> Tensor:
        """Raise I(s_a; s_b); with labels, lower I(s_a; s_b | y)."""
        total = pairwise_info_nce(parts.shared, parts.present, temperature=TEMPERATURE, codes=codes)
        for critic, (a, b) in zip(self.irrelevant, self.pairs, strict=True):
            both = parts.present[a] & parts.present[b]
            found = critic(parts.shared[a][both], parts.shared[b][both], None if y is None else y[both])
            total = total + (weight * found.penalty + found.fit) / len(self.pairs)
        return total

    def private_terms(self, parts: Parts, y: Tensor | None, weight: float) -> Tensor:
        """Lower I(p_a; x_b); with labels, raise I(p_a; x_b | y). x_b is seen through both its parts, and does not move."""
        whole = {name: torch.cat([parts.shared[name], p], 1).detach() for name, p in parts.private.items()}
        total = next(iter(whole.values())).new_zeros(())
        for i, (a, b) in enumerate(self.ordered):
            both = parts.present[a] & parts.present[b]
            if not bool(both.any()):
                continue
            found = self.repeated[i](parts.private[a][both], whole[b][both])
            total = total + weight * found.penalty + found.fit
            if y is not None and len(self.given_class):
                critic = self.given_class[i]
                assert isinstance(critic, NceClubPenalty)
                p = parts.private[a][both]
                raised = critic.contrast(reverse_gradient(p, -weight), whole[b][both], y[both])
                total = total + raised  # the critic learns at full rate, the part at `weight`
        return total / len(self.ordered)

    def class_terms(self, parts: Parts, y: Tensor) -> Tensor:
        """Raise I(p_m; y): the cross-entropy of a linear head on each private part, averaged."""
        found = []
        for head, (name, p) in zip(self.heads, parts.private.items(), strict=True):
            rows = parts.present[name]
            loss = functional.cross_entropy(head(p[rows]) / TEMPERATURE, y[rows], reduction="sum")
            found.append(loss / rows.sum().clamp(min=1))
        return torch.stack(found).mean()


def masked(columns: Mapping[str, Column], share: float) -> dict[str, Column]:
    """Each number of each value put to 0 (the mean of its standardised column) with probability `share`, independently."""
    found = {}
    for name, column in columns.items():
        assert isinstance(column.values, Tensor)
        kept = torch.rand(column.values.shape, device=column.values.device) >= share
        found[name] = replace(column, values=column.values * kept)
    return found


class FactorisedContrastive(ContrastiveFission):
    r"""Task-relevant information that modalities share, and that each has alone, from above and below.

    With labels y, for every pair of modalities:

    $$ \text{shared: } \max\; I_{NCE}(s_a; s_b) - \lambda I_{CLUB}(s_a; s_b \mid y), \qquad
       \text{private: } \max\; I(p_a; y) - \lambda I_{CLUB}(p_a; x_b) + \lambda I_{NCE}(p_a; x_b \mid y) $$

    $I_{CLUB}$ is the published NCE-CLUB, with the critic that InfoNCE makes optimal (`NceClubPenalty`); given y, negatives are drawn from
    the row's own class. $I(p_a; y)$ is raised by the cross-entropy of a linear head. $x_b$ is seen through both its parts, which that term
    does not move.

    Without labels a view with numbers masked at random takes the place of y: what masking destroys counts as beside the task.
    Then $I_{NCE}(s_a'; s_b')$ is raised between masked views, and $I_{NCE}(p_a'; p_a'') - \lambda I_{CLUB}(p_a; x_b)$. The published terms
    conditioned on views are left out, since nothing can be drawn from a distribution given a continuous view; contrasting masked
    views already gives nothing for what masking destroys. Then all modalities must be vectors that an `MLPEncoder` reads.

    Private parts are also kept uncorrelated with shared ones (`difference`), which is not in the publication: on planted factors the
    bounds alone left much of the shared factors in the private parts. Parts have length 1; `"shared"` is the mean over the modalities
    that a row has. `score` is 1 - InfoNCE / log n of the shared parts, averaged over pairs of modalities: 1 when every row finds its
    partner, 0 for chance.

    What modalities share besides what the class needs neither gains nor loses in these objectives: it may stay in the shared part or
    not, from one seed to another. Spare dimensions of the shared part can fill with what one modality alone has, which lowers the
    bound given y as well: keep n_shared small with labels.

    Args:
        n_shared: Dimensions of the shared part: one more than the numbers it should tell, since its length is fixed.
        n_private: Dimensions of each private part.
        encoders: Name -> encoder recipe; modalities left out take `polymodal.encoders.default_encoder`. Both parts have their own.
        training: How to train.
        weight: lambda >= 0. Where it is large the parts outrun the critics, which are then blind.
        difference: How much the mean squared correlation of p_m and s_m costs, >= 0; 0 as published.
        mask: Share of numbers masked, in (0, 1); without labels only.
        random_state: Fixes weights, order of rows, masks and held-out rows.

    Attributes:
        n_classes_: Classes of y; 0 without labels.
        module_: `FactorisedModule` on the CPU.
        encoders_: Name -> recipe used.
        settings_: Name -> what the recipe learned from the training values.
        history_: Losses per epoch.

    Raises:
        ModalityError: a target that is not one of at least two classes per row, no target and a modality that cannot be masked, or a
            modality called "shared".
        ConfigError: a parameter out of range.

    Complexity:
        Two passes of each encoder a row (three without labels, of the private ones); critics are O(m^2 b^2) for batches of b rows.

    Relations:
        * transform of some modalities: their private parts as in transform of all.
        * other names of the classes, in the same order: the same parts.

    References: Liang et al. 2023, "Factorized contrastive learning: going beyond multi-view redundancy".
    """

    requires = Requirements(min_modalities=2, missing=True, target="optional")

    module_: FactorisedModule
    n_classes_: int

    def __init__(
        self,
        n_shared: int = 8,
        *,
        n_private: int = 8,
        encoders: Mapping[str, Encoder] | None = None,
        training: Training = DEFAULT_TRAINING,
        weight: float = 0.3,
        difference: float = 10.0,
        mask: float = 0.3,
        random_state: RandomState = None,
    ) -> None:
        self.n_shared = n_shared
        self.n_private = n_private
        self.encoders = encoders
        self.training = training
        self.weight = weight
        self.difference = difference
        self.mask = mask
        self.random_state = random_state

    @classmethod
    def _examples(cls) -> list[FactorisedContrastive]:
        training = Training(max_epochs=2, batch_size=16, device="cpu", progress=False)
        return [cls(3, n_private=2, training=training, random_state=0)]

    def _fit(self, data: Modalities, y: np.ndarray | None) -> None:
        self.n_classes_ = 0
        super()._fit(data, y)

    def _encode_target(self, y: np.ndarray) -> Tensor:
        flat = y.ravel()
        classes, codes = np.unique(flat, return_inverse=True)
        numbers = flat.dtype.kind == "f" and bool((flat != np.round(flat)).any())
        if len(flat) != len(y) or numbers or len(classes) < 2:
            raise ModalityError(
                f"FactorisedContrastive needs a target of one class per row, of two classes or more, or none; got {y.dtype} of shape "
                f"{y.shape} with {len(classes)} different values."
            )
        self.n_classes_ = len(classes)
        return torch.from_numpy(codes.reshape(-1))

    def _make_module(self, build: Callable[[int], Towers]) -> FactorisedModule:
        others = [name for name, recipe in self.encoders_.items() if not isinstance(recipe, MLPEncoder)]
        if not self.n_classes_ and others:
            raise ModalityError(
                f"FactorisedContrastive without labels masks vectors, got other modalities or encoders for {others}. Give labels y, or "
                "turn them into vectors first (polymodal.encoders.Vectorize)."
            )
        shared, private = build(self.n_shared), build(self.n_private)
        return FactorisedModule(shared, private, self.n_shared, self.n_private, self.n_classes_)

    def _make_loss(self, data: Modalities) -> Loss:
        codes_of, weight, difference, mask = row_codes(data), self.weight, self.difference, self.mask

        def labelled(module: nn.Module, batch: Batch) -> Tensor:
            assert isinstance(module, FactorisedModule)
            assert batch.target is not None
            parts, y = module.parts(batch.columns), batch.target
            shared = module.shared_terms(parts, codes_of(batch.rows), y, weight)
            private = module.private_terms(parts, y, weight) + module.class_terms(parts, y)
            overlap: Tensor = module.overlap(parts).penalty
            return shared + private + difference * overlap

        def unlabelled(module: nn.Module, batch: Batch) -> Tensor:
            assert isinstance(module, FactorisedModule)
            codes = codes_of(batch.rows)
            parts, again = (module.parts(masked(batch.columns, mask)) for _ in range(2))
            total = module.shared_terms(parts, codes, None, weight) + module.private_terms(
                parts, None, weight
            )
            for name, here in parts.present.items():
                views = parts.private[name][here], again.private[name][here]
                same = codes[name][here]
                own = info_nce(*views, temperature=TEMPERATURE, codes_a=same, codes_b=same)
                total = total + own / len(parts.present)
            overlap: Tensor = module.overlap(parts).penalty
            return total + difference * overlap

        return labelled if self.n_classes_ else unlabelled

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_weights(type(self).__name__, weight=self.weight, difference=self.difference)
        if not 0 < self.mask < 1:
            raise ConfigError(
                f"FactorisedContrastive needs mask to be a share in (0, 1), got {self.mask!r}. Try 0.3."
            )
