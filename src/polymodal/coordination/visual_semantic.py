"""Visual-semantic embedding: pictures (or anything) mapped into a space of vectors that is given and stays, such as word vectors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from polymodal.coordination._learned import CoordinationModule, LearnedCoordination, Loss, embed_stored
from polymodal.coordination._pairs import check_variety, chosen_pairs, paired_rows
from polymodal.core.errors import ConfigError, ModalityError, suggest
from polymodal.core.modalities import Modalities, Modality
from polymodal.core.random import RandomState
from polymodal.core.requirements import Requirements
from polymodal.core.typing import Float, Int
from polymodal.encoders.base import Encoder
from polymodal.encoders.defaults import build_encoders
from polymodal.nn.towers import Towers
from polymodal.training.batches import Batch
from polymodal.training.distributed import all_gather_rows
from polymodal.training.options import Training

Objective = Literal["hinge", "cosine", "squared"]


def semantic_loss(
    vectors: Float[Tensor, "n d"],
    own: Int[Tensor, " n"],
    words: Float[Tensor, "u d"],
    *,
    objective: Objective = "hinge",
    margin: float = 0.1,
) -> Float[Tensor, ""]:
    r"""Mean over rows of how far a mapped value lies from its own given vector.

    "hinge": $\sum_{j \ne y_i} \max(0, m - \cos(f_i, w_{y_i}) + \cos(f_i, w_j))$, every other word a stranger (DeViSE);
    "cosine": $1 - \cos(f_i, w_{y_i})$; "squared": $|f_i - w_{y_i}|^2$ (Socher et al. 2013).

    Args:
        vectors: Mapped values.
        own: For each its word's row in `words`.
        words: Given vectors, each once.
        objective: Which.
        margin: m >= 0, in units of cosine; of "hinge".

    Relations:
        * 0 at the given vectors themselves for "cosine" and "squared"; for "hinge" where words lie further apart than the margin.
        * "hinge", one word: 0.
    """
    if not len(vectors):
        return vectors.sum() * 0
    if objective == "squared":
        return (vectors - words[own]).square().sum(dim=1).mean()
    with torch.autocast(vectors.device.type, enabled=False):  # bfloat16 cosines err by a hundredth
        scores = functional.normalize(vectors, dim=1) @ functional.normalize(words, dim=1).T
    right = scores.gather(1, own[:, None])
    if objective == "cosine":
        return (1 - right).mean()
    hinges = (margin - right + scores).clamp_min(0)
    return hinges.scatter(1, own[:, None], 0.0).sum(dim=1).mean()


class VisualSemanticEmbedding(LearnedCoordination):
    r"""Encoders into the space of one modality whose vectors are given and never change: word vectors, attributes, labels.

    $$ L = \operatorname{mean}_i \sum_{j \ne y_i} \max\big(0,\; m - \cos(f(x_i), w_{y_i}) + \cos(f(x_i), w_j)\big) $$

    Because the space is given, a value can be recognised as a word that no training row had: compare its vector with those of
    words unseen (zero-shot). `transform` leaves the space's vectors as they are and gives the others as mapped, as float32;
    rows that lack the space, or everything else, are left out of the fit. `score` is the mean reciprocal rank of retrieval by cosine
    over pairs of modalities and both directions, in (0, 1].

    Args:
        space: Name of the modality that holds the given vectors.
        encoders: Name -> encoder recipe of the others; those left out take `polymodal.encoders.default_encoder`.
        objective: "hinge" (each row nearer to its own word than to any other in the batch, by `margin`), "cosine" (the same
            direction), or "squared" (the same vector).
        margin: m >= 0, in units of cosine; of "hinge".
        training: How to train.
        random_state: Fixes weights, order of rows and held-out rows.

    Attributes:
        module_: Encoders on the CPU.
        encoders_: Name -> recipe used.
        settings_: Name -> what the recipe learned from the training values.
        history_: Losses per epoch.

    Raises:
        ModalityError: a `space` that is no modality or holds no vectors, an encoder for it, a modality that meets it on fewer than two
            rows or has one value only, or an encoder that does not fit.
        ConfigError: a parameter out of range.

    Complexity:
        Of an epoch: one pass of the encoders, and 2 B d operations a row for batches of B rows and vectors of d.

    Relations:
        * transform of the space: the vectors given.
        * objective "squared", a linear encoder (`MLPEncoder(depth=0)`): least squares regression.

    References:
        Frome et al. 2013, "DeViSE: a deep visual-semantic embedding model" (equation 1, all words of the batch as strangers).
        Socher et al. 2013, "Zero-shot learning through cross-modal transfer" (equation 1).

    Examples:
        >>> x = np.random.default_rng(0).normal(size=(60, 3))
        >>> words = np.eye(3)[x.argmax(axis=1)]
        >>> model = VisualSemanticEmbedding("word", training=Training(max_epochs=30, batch_size=30), random_state=0)
        >>> found = model.fit({"word": words, "x": x}).transform({"x": x})["x"].values()
        >>> bool((found.argmax(axis=1) == x.argmax(axis=1)).mean() > 0.9)
        True
    """

    requires = Requirements(min_modalities=2, missing=True, unpaired=True)

    module_: CoordinationModule

    def __init__(
        self,
        space: str,
        *,
        encoders: Mapping[str, Encoder] | None = None,
        objective: Objective = "hinge",
        margin: float = 0.1,
        training: Training = Training(max_epochs=50),  # noqa: B008  # frozen
        random_state: RandomState = None,
    ) -> None:
        self.space = space
        self.encoders = encoders
        self.objective = objective
        self.margin = margin
        self.training = training
        self.random_state = random_state

    @classmethod
    def _examples(cls) -> list[VisualSemanticEmbedding]:
        training = Training(max_epochs=2, batch_size=16, device="cpu", progress=False)
        return [
            cls("alpha", training=training, random_state=0),
            cls("alpha", objective="squared", training=training, random_state=0),
        ]

    # --- fitting ----------------------------------------------------------------------------------------------------

    def _select(self, data: Modalities) -> Modalities:
        method = type(self).__name__
        if self.space not in data:
            raise ModalityError(
                f"{method} needs space to be a modality of {list(data.names)}, got {self.space!r}.{suggest(self.space, data.names)}"
            )
        if data[self.space].kind != "vector":
            raise ModalityError(
                f"{method} needs given vectors in {self.space!r}, got {data[self.space].kind}. "
                "Give word vectors, or make some (polymodal.encoders.Vectorize)."
            )
        if self.encoders and self.space in self.encoders:
            raise ModalityError(
                f"{method} leaves {self.space!r} as it is, but encoders= has one for it. Leave it out."
            )
        ordered = data.select(*sorted(data.names))
        paired = paired_rows(ordered, chosen_pairs(data.names, self.space), method=method)
        check_variety({name: column.identity for name, column in paired.items()}, method=method)
        return paired

    def _build(self) -> CoordinationModule:
        mapped = {name: recipe for name, recipe in self.encoders_.items() if name != self.space}
        return self._make_module(Towers(build_encoders(mapped, self.settings_, self._width())))

    def _make_module(self, towers: Towers) -> CoordinationModule:
        return CoordinationModule(towers)

    def _make_loss(self, data: Modalities) -> Loss:
        column = data[self.space]
        codes = torch.from_numpy(column.identity)
        _, first = np.unique(column.identity[column.present], return_index=True)
        places = column.index[column.present][first]
        words = torch.from_numpy(np.asarray(column.store[places], dtype=np.float32))

        def loss(module: nn.Module, batch: Batch) -> Tensor:
            own = codes[batch.rows.cpu()].to(batch.rows.device)
            everywhere = all_gather_rows(own)
            shown = torch.unique(everywhere[everywhere >= 0])
            local = torch.searchsorted(shown, own)
            vectors, present = module(batch.columns)
            total: Tensor = sum(
                (v.sum() * 0 for v in vectors.values()), start=torch.zeros((), device=own.device)
            )
            candidates = words[shown.cpu()].to(own.device)
            for name in sorted(vectors):
                both = present[name] & (own >= 0)
                total = total + semantic_loss(
                    vectors[name][both], local[both], candidates, objective=self.objective, margin=self.margin
                )
            return total / len(vectors)

        return loss

    def _settle(self, data: Modalities) -> None:
        self.encoders_ = {name: recipe for name, recipe in self.encoders_.items() if name != self.space}
        self.settings_ = {name: found for name, found in self.settings_.items() if name != self.space}

    def _check_parameters(self) -> None:
        problems = []
        if not self.margin >= 0:
            problems.append(f"margin >= 0, got {self.margin!r}")
        if self.objective not in ("hinge", "cosine", "squared"):
            problems.append(f'objective "hinge", "cosine" or "squared", got {self.objective!r}')
        if problems:
            raise ConfigError("VisualSemanticEmbedding needs " + "; and ".join(problems) + ".")

    def _width(self) -> int:
        return int(self.modalities_[self.space].shape[0])

    # --- using ------------------------------------------------------------------------------------------------------

    def _embed(self, name: str, column: Modality) -> Modality:
        return embed_stored(column, lambda values: self._vectors(name, values), self._width())

    def _vectors(self, name: str, values: Modality) -> Float[np.ndarray, "u k"]:
        if name == self.space:
            return np.asarray(values.values(), dtype=np.float32)
        return super()._vectors(name, values)
