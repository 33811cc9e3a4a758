"""Deep multimodal clustering: parts of one modality and parts of another meet in shared clusters, many correspondences a row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from polymodal.core.errors import ConfigError, ModalityError
from polymodal.core.modalities import Modalities
from polymodal.core.random import RandomState
from polymodal.core.requirements import Requirements
from polymodal.core.typing import Bool, Float, Kind, Shaped
from polymodal.encoders.base import Encoder, EncoderModule
from polymodal.encoders.defaults import choose_encoders
from polymodal.encoders.parts import PartsEncoder
from polymodal.encoders.text import BagOfTokensEncoder
from polymodal.fission._learned import FissionModule, LearnedFission, Loss, mean_of_present
from polymodal.nn.towers import EncodedColumn, Towers
from polymodal.objectives.margin import margin_loss
from polymodal.objectives.pairwise import pairwise_loss
from polymodal.training.batches import Batch, make_batch
from polymodal.training.options import Training


def route_parts(
    projected: Float[Tensor, "u t k d"], mask: Bool[Tensor, "u t"], *, n_routings: int = 3
) -> tuple[Float[Tensor, "u k d"], Float[Tensor, "u t k"]]:
    r"""Cluster centres of the parts of each item, and the share of each part in each cluster.

    From agreements $b_{ik} = 0$, `n_routings` times:

    $$ s_{ik} = \frac{e^{b_{ik}}}{\sum_l e^{b_{il}}}, \qquad o_k = \frac{\sum_i s_{ik} u_{ik}}{|\sum_i s_{ik} u_{ik}|}, \qquad
       b_{ik} \mathrel{+}= o_k \cdot u_{ik} $$

    Args:
        projected: $u_{ik} = W_k u_i$: each part as each cluster sees it.
        mask: False where there is no part.
        n_routings: At least 1.

    Returns:
        Centres of length 1 (zeros for an item without parts), and shares that add up to 1 for each part (zeros where there is none).

    Complexity:
        O(n_routings u t k d).

    Relations:
        * one routing: every share is 1 / k, every centre the direction of the mean part.
        * blind to the order of parts, and to padding.

    References:
        Hu, Nie and Li 2019, "Deep multimodal clustering for unsupervised audiovisual learning", algorithm 1.
    """
    seen = projected.masked_fill(~mask[:, :, None, None], 0.0)
    agreement = torch.zeros(seen.shape[:3], dtype=seen.dtype, device=seen.device)
    for step in range(n_routings):
        shares = agreement.softmax(dim=2).masked_fill(~mask[:, :, None], 0.0)
        centres = functional.normalize(torch.einsum("utk,utkd->ukd", shares, seen), dim=2)
        if step + 1 < n_routings:
            agreement = agreement + torch.einsum("ukd,utkd->utk", centres, seen)
    return centres, shares


class ClusteringModule(FissionModule):
    """Encoders of the parts of each modality, and one projection a cluster that all modalities share."""

    def __init__(self, towers: Towers, width: int, n_clusters: int, dim: int, n_routings: int) -> None:
        super().__init__()
        self.towers, self.n_routings = towers, n_routings
        for encoder in towers.encoders:
            assert isinstance(encoder, EncoderModule)
            encoder.keep_tokens()
        self.projections = nn.Parameter(torch.randn(n_clusters, width, dim) / width**0.5)

    def route(self, name: str, batch: Any) -> tuple[Tensor, Tensor, Tensor]:
        """Centres (u, k, d), shares (u, t, k) and which parts there are (u, t), of collated values of one modality."""
        tower = self.towers[name]
        assert isinstance(tower, EncoderModule)
        tokens, mask = tower.tokens(batch)
        projected = torch.einsum(
            "utw,kwd->utkd", functional.normalize(tokens.float(), dim=2), self.projections
        )
        return *route_parts(projected, mask, n_routings=self.n_routings), mask

    def centres(
        self, columns: Mapping[str, EncodedColumn]
    ) -> tuple[dict[str, Float[Tensor, "n kd"]], dict[str, Bool[Tensor, " n"]]]:
        """Name -> centres side by side (zeros where a row lacks the modality), name -> presence."""
        found, present = {}, {}
        for name in self.towers.names:
            if name not in columns:
                continue
            column = columns[name]
            present[name] = column.present
            if bool(column.present.any()):
                centres = self.route(name, column.values)[0].flatten(1)
                rows = centres.index_select(0, column.index.clamp_min(0))
            else:
                k, _, d = self.projections.shape
                rows = torch.zeros(len(column.index), k * d, device=column.index.device)
            found[name] = rows.masked_fill(~column.present[:, None], 0.0)
        return found, present

    def forward(
        self, columns: Mapping[str, EncodedColumn]
    ) -> tuple[Float[Tensor, "n kd"], dict[str, Float[Tensor, "n kd"]]]:
        """Mean centres over the modalities of a row, and each modality's own."""
        found, present = self.centres(columns)
        return mean_of_present(found, present), found


class MultimodalClustering(LearnedFission):
    r"""Several correspondences a row: parts of every modality are routed to clusters, and equal clusters of two modalities meet.

    $$ S(x_a, x_b) = \sum_k \cos(o_k^a, o_k^b), \qquad L = \sum_i \sum_{j \ne i} \max(0, K - S_{ii} + S_{ij}) + (a \leftrightarrow b) $$

    divided by K and by the rows. The centres $o_k$ come from `route_parts`, with projections $W_k$ that the modalities share, so
    that a cluster means the same in each. A picture is cut into 4 x 4 patches in reading order, a sound into frames, a text into
    words (those of `polymodal.encoders.words_of`); the steps of a sequence are parts, in any order, and a plain vector is one.
    `transform` gives the K centres of each modality side by side under its name (K n_components numbers), and their mean as
    `"shared"`; `assign` gives the share of each part in each cluster. `score` is the mean reciprocal rank of partners by S.

    Args:
        n_clusters: K, at least 1.
        n_components: Dimensions of a centre.
        n_routings: At least 1; 3 in the paper.
        width: Features of a part before projection, and of the hidden layer.
        margin: In units of S / K.
        encoders: Name -> encoder whose tokens are the parts (`EncoderModule.tokens`). Left out: `PartsEncoder` for pictures,
            sequences and vectors, `SoundEncoder` for sounds, and `BagOfTokensEncoder`, whose words do not see each other, for texts.
        training: How to train.
        random_state: Fixes weights and the order of rows.

    Attributes:
        module_: Layers and projections on the CPU.
        encoders_: Name -> recipe used.
        settings_: Name -> mean and scale of the features of a part.
        history_: Losses per epoch.

    Raises:
        ModalityError: an encoder of another kind of value, or a modality called "shared".
        ConfigError: a parameter out of range.

    Complexity:
        O(b^2 K d + b t K d) a batch of b rows of t parts.

    Relations:
        * the order of parts changes nothing but the order of shares.
        * n_routings = 1: shares are 1 / K, and a row is K projections of its mean part.

    References:
        Hu, Nie and Li 2019, "Deep multimodal clustering for unsupervised audiovisual learning".
    """

    requires = Requirements(min_modalities=2, missing=True)

    module_: ClusteringModule

    def __init__(
        self,
        n_clusters: int = 4,
        *,
        n_components: int = 16,
        n_routings: int = 3,
        width: int = 64,
        margin: float = 1.0,
        encoders: Mapping[str, Encoder] | None = None,
        training: Training = Training(max_epochs=30, batch_size=64),  # noqa: B008  # frozen
        random_state: RandomState = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.n_components = n_components
        self.n_routings = n_routings
        self.width = width
        self.margin = margin
        self.encoders = encoders
        self.training = training
        self.random_state = random_state

    @classmethod
    def _examples(cls) -> list[MultimodalClustering]:
        training = Training(max_epochs=2, batch_size=16, device="cpu", progress=False)
        return [cls(2, n_components=3, width=8, training=training, random_state=0)]

    @property
    def n_shared(self) -> int:  # type: ignore[override]
        """Numbers of the shared part."""
        return self.n_clusters * self.n_components

    @property
    def n_private(self) -> int:  # type: ignore[override]
        """Numbers of the part of each modality."""
        return self.n_clusters * self.n_components

    def assign(self, data: Modalities | Mapping[str, Any]) -> dict[str, list[Float[np.ndarray, "_ k"]]]:
        """Name -> for each row, the share of each of its parts in each cluster; an array without rows where it lacks the modality."""
        frame = self._check_known(data)
        module = self.module_.eval()
        device = next(module.parameters()).device
        found: dict[str, list[np.ndarray]] = {}
        for name, column in frame.items():
            found[name] = [np.zeros((0, self.n_clusters), dtype=np.float32) for _ in range(len(frame))]
            rows = np.flatnonzero(column.present)
            for block in np.array_split(rows, max(1, -(-len(rows) // 256))) if len(rows) else ():
                batch = make_batch(frame.select(name), block, module.towers.collates).to(device)
                held = batch.columns[name]
                with torch.inference_mode():
                    _, shares, mask = module.route(name, held.values)
                for row, value in zip(block, held.index.tolist(), strict=True):
                    found[name][row] = shares[value][mask[value]].cpu().numpy()
        return found

    def _score(self, data: Modalities, y: np.ndarray | None) -> float:
        del y
        parts, found = self._transform(data), []
        for a, b in combinations(sorted(data.names), 2):
            rows = np.flatnonzero(data[a].present & data[b].present)
            if len(rows):
                similarity = parts[a][rows].values() @ parts[b][rows].values().T
                for scores in (similarity, similarity.T):
                    own = np.diag(scores)[:, None]
                    above, equal = (scores > own).sum(axis=1), (scores == own).sum(axis=1)
                    found.append(np.mean(1 / (1 + above + (equal - 1) / 2)))
        if not found:
            raise ModalityError(
                f"MultimodalClustering.score needs rows that have two of {list(self.modalities_)}, got none in {data!r}."
            )
        return float(np.mean(found))

    def _recipes(self, data: Modalities) -> dict[str, Encoder]:
        usual: dict[Kind, Encoder] = {
            "sequence": PartsEncoder(width=self.width),
            "vector": PartsEncoder(width=self.width),
            "grid": PartsEncoder(width=self.width),
            "text": BagOfTokensEncoder(),
        }
        parts = {name: usual[column.kind] for name, column in data.items() if column.kind in usual}
        return choose_encoders({**parts, **(self.encoders or {})}, data)

    def _make_module(self, build: Callable[[int], Towers]) -> ClusteringModule:
        return ClusteringModule(
            build(self.width), self.width, self.n_clusters, self.n_components, self.n_routings
        )

    def _make_loss(self, data: Modalities) -> Loss:
        codes = {name: torch.from_numpy(column.identity) for name, column in data.items()}

        def hinge(a: Tensor, b: Tensor, codes_a: Tensor | None, codes_b: Tensor | None) -> Tensor:
            return margin_loss(a, b, margin=self.margin, codes_a=codes_a, codes_b=codes_b, reduction="mean")

        def loss(module: nn.Module, batch: Batch) -> Tensor:
            assert isinstance(module, ClusteringModule)
            found, present = module.centres(batch.columns)
            held = {name: code.to(batch.rows.device)[batch.rows] for name, code in codes.items()}
            # a batch whose rows have one modality each has a gradient too: of zeros
            return pairwise_loss(hinge, found, present, codes=held) + module.projections.sum() * 0

        return loss

    def _check_parameters(self) -> None:
        for name in ("n_clusters", "n_components", "n_routings", "width"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
                raise ConfigError(
                    f"MultimodalClustering needs {name} to be a whole number of at least 1, got {value!r}."
                )
        if not self.margin >= 0:
            raise ConfigError(f"MultimodalClustering needs margin >= 0, got {self.margin!r}.")


def draw_assignment(
    shares: Sequence[Float[np.ndarray, "_ k"]], names: Sequence[str], axes: Any = None
) -> Any:
    """Draw the shares of parts (rows) in clusters (columns) of some modalities of one row side by side; returns the matplotlib axes."""
    import matplotlib.pyplot as plt

    drawn = plt.subplots(1, len(shares), layout="constrained", squeeze=False)[1][0] if axes is None else axes
    for axis, share, name in zip(drawn, shares, names, strict=True):
        axis.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        axis.set_title(name)
        axis.set_xticks(range(share.shape[1]))
        axis.set_xlabel("cluster")
        axis.set_ylabel("part")
    return drawn


def draw_patches(
    picture: Shaped[np.ndarray, "h w ..."],
    shares: Float[np.ndarray, "t k"],
    axes: Any = None,
    *,
    columns: int | None = None,
) -> Any:
    """Draw a picture once for each cluster, as bright as its patches have a share in it; returns the matplotlib axes.

    Args:
        picture: Pixels, in bytes or in [0, 1].
        shares: Of the patches in reading order, as `MultimodalClustering.assign` gives them.
        axes: One per cluster; made where none are given.
        columns: Patches in a row; by default as many as there are rows.

    Raises:
        ConfigError: patches that fill no rectangle.
    """
    import matplotlib.pyplot as plt

    t, k = shares.shape
    across = round(t**0.5) if columns is None else columns
    if across < 1 or t % across:
        raise ConfigError(f"{t} patches do not fill rows of {across}. Pass columns=.")
    drawn = plt.subplots(1, k, layout="constrained", squeeze=False)[1][0] if axes is None else axes
    side = max(-(-picture.shape[0] // (t // across)), -(-picture.shape[1] // across))
    for cluster, axis in enumerate(drawn):
        light = np.kron(shares[:, cluster].reshape(-1, across), np.ones((side, side)))
        axis.imshow(picture, cmap="gray")
        axis.imshow(
            np.zeros(picture.shape[:2]),
            cmap="gray",
            alpha=0.85 * (1 - light[: len(picture), : picture.shape[1]]),
        )
        axis.set_title(f"cluster {cluster}")
        axis.set_axis_off()
    return drawn
