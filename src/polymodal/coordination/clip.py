"""CLIP: one encoder per modality, trained so that what belongs together lies together in one space."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from polymodal.core.errors import ConfigError, ModalityError, suggest
from polymodal.core.estimator import Coordination
from polymodal.core.links import linked_rows
from polymodal.core.modalities import Modalities, Modality
from polymodal.core.random import RandomState
from polymodal.core.requirements import Requirements
from polymodal.core.typing import Bool, Float, Int
from polymodal.encoders.base import Encoder
from polymodal.encoders.defaults import build_encoders, choose_encoders, prepare_encoders
from polymodal.evaluation.ranking import rank_embeddings
from polymodal.evaluation.retrieval import inverse_place
from polymodal.nn.towers import EncodedColumn, Towers
from polymodal.objectives.infonce import pairwise_info_nce
from polymodal.training.batches import Batch
from polymodal.training.distributed import all_gather_rows
from polymodal.training.history import History
from polymodal.training.inference import infer
from polymodal.training.loop import train
from polymodal.training.options import Training
from polymodal.training.seeding import seeded

MAX_SCALE = 100.0
"""Largest inverse temperature (Radford et al. 2021): beyond it training becomes unstable."""

Pair = tuple[str, str]


def chosen_pairs(names: Sequence[str], pairs: str) -> list[Pair]:
    """Which pairs of modalities are brought together: "all", or each with the one named.

    Raises:
        ModalityError: a name that is no modality.
    """
    if pairs == "all":
        return list(combinations(sorted(names), 2))
    if pairs not in names:
        raise ModalityError(
            f'pairs is "all" or the name of one modality of {sorted(names)}, got {pairs!r}.{suggest(pairs, names)}'
        )
    return [(pairs, other) for other in sorted(names) if other != pairs]


def retrieval_score(
    a: Float[np.ndarray, "n d"],
    b: Float[np.ndarray, "n d"],
    codes_a: Int[np.ndarray, " n"],
    codes_b: Int[np.ndarray, " n"],
) -> float:
    """Mean reciprocal rank of the first right answer, averaged over both directions.

    Each distinct value asks once and answers once; every value that some row pairs with it is a right answer.

    Complexity:
        O(u v (d + log v)) time for u and v distinct values, without a matrix of all scores.

    Relations:
        * all answers first: 1. One pair: 1.
        * symmetric in the two sides.
    """
    from scipy.sparse import coo_matrix

    _, first_a, code_a = np.unique(codes_a, return_index=True, return_inverse=True)
    _, first_b, code_b = np.unique(codes_b, return_index=True, return_inverse=True)
    seen = coo_matrix((np.ones(len(code_a)), (code_a, code_b)), shape=(len(first_a), len(first_b))).tocsr()
    there = inverse_place(rank_embeddings(a[first_a], b[first_b], seen)).mean()
    back = inverse_place(rank_embeddings(b[first_b], a[first_a], seen.T.tocsr())).mean()
    return float((there + back) / 2)


class CLIPModule(nn.Module):
    """Towers whose vectors have length 1, and one learned temperature.

    Args:
        towers: One encoder per modality, all of one `dim`.
        temperature: Where the learned temperature starts, > 0.

    Attributes:
        log_scale: Log of the inverse temperature, kept at most log 100 while training.
    """

    def __init__(self, towers: Towers, temperature: float = 0.07) -> None:
        super().__init__()
        self.towers = towers
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / temperature)))

    @property
    def temperature(self) -> Float[Tensor, ""]:
        """exp(-log_scale): at least 1 / 100."""
        return (-self.log_scale).exp()

    def clamp_temperature(self) -> None:
        """Bring a runaway scale back; in place, so that the next gradient still arrives (a clamp in the graph would block it)."""
        with torch.no_grad():
            self.log_scale.clamp_(max=math.log(MAX_SCALE))

    def forward(
        self, columns: Mapping[str, EncodedColumn]
    ) -> tuple[dict[str, Float[Tensor, "n dim"]], dict[str, Bool[Tensor, " n"]]]:
        """Name -> unit vectors (zeros where absent), and name -> presence."""
        vectors, present = self.towers(columns)
        return {name: functional.normalize(v.float(), dim=1) for name, v in vectors.items()}, present


def clip_loss(
    module: CLIPModule, batch: Batch, codes: Mapping[str, Int[Tensor, " rows"]], pairs: Sequence[Pair]
) -> Float[Tensor, ""]:
    """`pairwise_info_nce` of a batch, over the rows of all processes.

    Args:
        module: Gives vectors and the temperature.
        batch: This process's rows.
        codes: Name -> identity codes of all rows of the data (`Modality.identity`).
        pairs: Which modalities to bring together.

    Relations:
        * two processes with half a batch each: the loss and the gradients of one with the whole batch.
    """
    module.clamp_temperature()
    vectors, present = module(batch.columns)
    rows = all_gather_rows(batch.rows)
    loss = pairwise_info_nce(
        {name: all_gather_rows(v) for name, v in vectors.items()},
        {name: all_gather_rows(p) for name, p in present.items()},
        temperature=module.temperature,
        codes={name: codes[name].to(rows.device)[rows] for name in vectors},
        pairs=pairs,
    )
    return loss + 0 * module.log_scale  # a batch without any pair has a gradient too: zero


class CLIP(Coordination):
    r"""Contrastive encoders of two or more modalities: what belongs together lies together, everything else apart.

    $$ L = \operatorname{mean}_{(m, m')} \tfrac12\big[CE(S/\tau) + CE(S^\top/\tau)\big], \qquad
       S_{ij} = \cos(f_m(x_i^m), f_{m'}(x_j^{m'})) $$

    Rows may lack modalities: each pair of modalities learns from the rows that have both. Rows that hold equal values
    (five captions of a picture, one caption of two pictures) are each other's positives, never negatives. `transform`
    gives unit vectors of float32, so that a dot product is the cosine. `score` is the mean reciprocal rank of retrieval
    over pairs of modalities and both directions, in (0, 1].

    Args:
        n_components: Dimensions of the shared space.
        encoders: Name -> encoder recipe; modalities left out take `polymodal.encoders.default_encoder`.
        training: How to train. A held-out share (`validation`) never holds values that training sees.
        temperature: Where the learned temperature starts, > 0; it stays at or above 0.01.
        pairs: "all", or the name of one modality that each other is paired with (all that is needed where others
            never meet).
        random_state: Fixes weights, order of rows, augmentation and held-out rows.

    Attributes:
        module_: `CLIPModule` on the CPU.
        encoders_: Name -> recipe used.
        settings_: Name -> what the recipe learned from the training values.
        temperature_: Learned temperature.
        history_: Losses per epoch.

    Raises:
        ModalityError: no two modalities meet on two rows, a modality has one value only, or an encoder does not fit.
        ConfigError: `n_components` or `temperature` out of range.

    Complexity:
        Of an epoch: one pass of every encoder over the rows, and 8 B n_components operations a row and pair for batches
        of B. The loss's memory is linear in B.

    Relations:
        * transform of some modalities equals the same columns of transform of all.
        * a picture stored once with five captions equals the same picture stored five times, up to rounding.

    References:
        Radford et al. 2021, "Learning transferable visual models from natural language supervision" (figure 3).
        Girdhar et al. 2023 (one modality that binds the others).

    Examples:
        >>> x = np.random.default_rng(0).normal(size=(60, 3))
        >>> clip = CLIP(4, training=Training(max_epochs=30, batch_size=30), random_state=0)
        >>> data = Modalities({"a": x, "b": x[:, ::-1] ** 3})
        >>> clip.fit(data).score(data) > 0.5
        True
    """

    requires = Requirements(min_modalities=2, missing=True, unpaired=True)
    exempt: ClassVar[Mapping[str, str]] = {}

    module_: CLIPModule
    encoders_: dict[str, Encoder]
    settings_: dict[str, dict[str, Any]]
    temperature_: float
    history_: History

    def __init__(
        self,
        n_components: int = 64,
        *,
        encoders: Mapping[str, Encoder] | None = None,
        training: Training = Training(),  # noqa: B008  # frozen
        temperature: float = 0.07,
        pairs: Literal["all"] | str = "all",
        random_state: RandomState = None,
    ) -> None:
        self.n_components = n_components
        self.encoders = encoders
        self.training = training
        self.temperature = temperature
        self.pairs = pairs
        self.random_state = random_state

    @classmethod
    def _examples(cls) -> list[CLIP]:
        training = Training(max_epochs=2, batch_size=16, device="cpu", progress=False)
        return [cls(4, training=training, random_state=0)]

    # --- fitting ----------------------------------------------------------------------------------------------------

    def _fit(self, data: Modalities, y: np.ndarray | None) -> None:
        del y
        self._check_parameters()
        pairs = chosen_pairs(data.names, self.pairs)
        paired = _paired_rows(data.select(*sorted(data.names)), pairs)
        codes = {name: column.identity for name, column in paired.items()}
        _check_variety(codes)
        self.encoders_ = choose_encoders(self.encoders, paired)
        self.settings_ = prepare_encoders(self.encoders_, paired)
        with seeded(self.random_state) as seed:
            module = self._build()
        tensors = {name: torch.from_numpy(code) for name, code in codes.items()}
        self.history_ = train(
            module,
            _loss_of(tensors, pairs),
            paired,
            collates=module.towers.collates,
            options=self.training,
            random_state=None if self.random_state is None else seed,
            groups=_groups(paired, codes, self.training.validation),
        )
        module.clamp_temperature()
        self.module_ = module
        self.temperature_ = float(module.temperature.detach())

    def _build(self) -> CLIPModule:
        encoders = build_encoders(self.encoders_, self.settings_, self.n_components)
        return CLIPModule(Towers(encoders), self.temperature)

    def _check_parameters(self) -> None:
        if not isinstance(self.n_components, int | np.integer) or self.n_components < 1:
            raise ConfigError(f"CLIP needs n_components of at least 1, got {self.n_components!r}. Try 64.")
        if not 0 < self.temperature < math.inf:
            raise ConfigError(f"CLIP needs a temperature above 0, got {self.temperature!r}. Try 0.07.")

    # --- using ------------------------------------------------------------------------------------------------------

    def _transform(self, data: Modalities) -> Modalities:
        return Modalities({name: self._embed(name, column) for name, column in data.items()}, ids=data.ids)

    def _embed(self, name: str, column: Modality) -> Modality:
        """Each distinct stored value is encoded once; rows keep pointing at what they share."""
        used, inverse = np.unique(column.index[column.present], return_inverse=True)
        index = np.full(len(column), -1, dtype=np.int64)
        index[column.present] = inverse
        if not len(used):
            return Modality(np.empty((0, self.n_components), dtype=np.float32), index)
        vectors = infer(
            self.module_,
            lambda module, batch: module(batch.columns)[0],
            Modalities({name: Modality(column.store, used)}),
            collates={name: self.module_.towers.collates[name]},
            device=self.training.device,
        )[name]
        return Modality(vectors, index)

    def _score(self, data: Modalities, y: np.ndarray | None) -> float:
        del y
        found = []
        embedded = self._transform(data)
        for a, b in chosen_pairs(list(self.modalities_), self.pairs):
            if a not in data or b not in data:
                continue
            rows = np.flatnonzero(data[a].present & data[b].present)
            if len(rows):
                vectors = embedded[a][rows].values(), embedded[b][rows].values()
                found.append(retrieval_score(*vectors, data[a].identity[rows], data[b].identity[rows]))
        if not found:
            raise ModalityError(
                f"CLIP.score needs rows that have two of {list(self.modalities_)}, got none in {data!r}."
            )
        return float(np.mean(found))

    # --- saving -----------------------------------------------------------------------------------------------------

    def _get_state(self) -> dict[str, Any]:
        kept = {k: v for k, v in super()._get_state().items() if k != "module_"}
        return {**kept, "weights": dict(self.module_.state_dict())}

    def _set_state(self, state: dict[str, Any]) -> None:
        weights = state["weights"]
        super()._set_state({k: v for k, v in state.items() if k != "weights"})
        with seeded(0):
            self.module_ = self._build()
        self.module_.load_state_dict({k: torch.as_tensor(v) for k, v in weights.items()})
        self.module_.eval()


def _loss_of(codes: Mapping[str, Tensor], pairs: Sequence[Pair]) -> Callable[[nn.Module, Batch], Tensor]:
    def loss(module: nn.Module, batch: Batch) -> Tensor:
        assert isinstance(module, CLIPModule)
        return clip_loss(module, batch, codes, pairs)

    return loss


def _paired_rows(data: Modalities, pairs: Sequence[Pair]) -> Modalities:
    """The rows that take part in some pair; every modality must meet another on two rows."""
    present = data.present
    together = {pair: present[pair[0]] & present[pair[1]] for pair in pairs}
    meets = {
        name: max(int(rows.sum()) for pair, rows in together.items() if name in pair) for name in data.names
    }
    lonely = {name: count for name, count in meets.items() if count < 2}
    if lonely:
        raise ModalityError(
            f"CLIP needs at least two rows on which each modality meets another, got {lonely} of {len(data)} rows. "
            "Pair rows with Modalities.join(..., on=ids), or drop the modality."
        )
    some: np.ndarray = np.logical_or.reduce(list(together.values()))
    return data[some]


def _check_variety(codes: Mapping[str, np.ndarray]) -> None:
    for name, code in codes.items():
        if len(np.unique(code[code >= 0])) < 2:
            raise ModalityError(
                f"CLIP learns to tell things apart, but all rows hold one and the same {name!r}. "
                f"Give rows with different values of {name!r}, or drop it."
            )


def _groups(data: Modalities, codes: Mapping[str, np.ndarray], share: float) -> np.ndarray | None:
    """Rows joined by a chain of equal values or equal ids have one label, so that no value is trained on and held out.

    None where that would tie more rows together than may be held out (texts that are class names): the training loop
    then falls back to stored values, or single rows.
    """
    if not share:
        return None
    known = {str(key): i for i, key in enumerate(dict.fromkeys(data.ids.tolist()))}
    ids = np.array([known[str(key)] for key in data.ids.tolist()])
    labels = linked_rows([ids, *codes.values()])
    return labels if np.bincount(labels).max() <= max(1, share * len(data)) else None
