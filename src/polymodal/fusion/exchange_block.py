r"""Channel exchange between normalised maps: a channel whose scale is near 0 takes the other modalities' values.

$$ x'_{mc} = \frac{1}{|O|} \sum_{o \in O} x_{oc} \ \text{ where } |\gamma_{mc}| < \theta, \qquad x'_{mc} = x_{mc} \text{ elsewhere} $$
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm
from torch.nn.modules.lazy import LazyModuleMixin

from polymodal.core.errors import ConfigError, ModalityError
from polymodal.core.typing import Bool, Float
from polymodal.fusion._inputs import check_mask

THRESHOLD = 0.02


def exchange_channels(
    features: Mapping[str, Float[Tensor, "n c ..."]],
    gammas: Mapping[str, Float[Tensor, " c"]],
    *,
    threshold: float = THRESHOLD,
    present: Mapping[str, Bool[Tensor, " n"]] | None = None,
    parts: Mapping[str, Bool[Tensor, " c"]] | None = None,
) -> dict[str, Float[Tensor, "n c ..."]]:
    r"""Replace the channels whose scale is near 0 by the mean of the other modalities that the row has.

    Args:
        features: Name -> normalised maps. Every modality needs the same shape.
        gammas: Name -> scale of each channel in the modality's own normalisation.
        threshold: A channel with $|\gamma|$ below it is replaced.
        present: Name -> True where the row has the modality; a name that is not here is present on every row.
        parts: Name -> the channels that may be replaced; all of them where a name is not here.

    Returns:
        Name -> maps; zeros on rows that lack the modality.

    Raises:
        ModalityError: maps of different shapes.

    Relations:
        * threshold 0: nothing changes
        * two modalities, both scales 0: the maps change places
        * a row without any other modality keeps its own channels
    """
    check_equal_shapes(features)
    has = row_masks(features, present)
    clean = {name: where_present(x, has[name]) for name, x in features.items()}
    exchanged = {}
    for name, x in clean.items():
        others = [other for other in clean if other != name]
        dead = gammas[name].detach().abs() < threshold
        if parts is not None and name in parts:
            dead = dead & parts[name]
        if not others:
            exchanged[name] = x
            continue
        count = torch.stack([has[other] for other in others]).sum(0)
        total = torch.stack([clean[other] for other in others]).sum(0)
        mean = total / along_rows(count.clamp(min=1), x).to(x.dtype)
        replaced = (count > 0)[:, None] & dead[None] & has[name][:, None]
        exchanged[name] = torch.where(replaced.reshape(*replaced.shape, *[1] * (x.ndim - 2)), mean, x)
    return exchanged


class ExchangeBlock(nn.Module):
    r"""A normalisation of its own for each modality, then the exchange of channels. Takes the place of a batch norm.

    The channels are cut into M disjoint parts $P_m$, one per modality in the order of names. `penalty()` is the sum of
    $|\gamma_{mc}|$ over $c \in P_m$ only, and only those channels may be replaced: two modalities that give up the same
    channel would only swap what neither needs. While training, means and variances are those of the rows that have
    the modality.

    Args:
        norms: Name -> a batch norm with scales (`affine=True`); copied.
        threshold: A channel with $|\gamma|$ below it is replaced.
        exchanges: False: private normalisations only.

    Relations:
        * all $|\gamma| \ge$ `threshold`: equals one batch norm per modality

    References: Wang et al. 2020, Deep multimodal fusion by channel exchanging.
    """

    def __init__(
        self, norms: Mapping[str, nn.Module], *, threshold: float = THRESHOLD, exchanges: bool = True
    ) -> None:
        super().__init__()
        if not threshold >= 0:
            raise ConfigError(f"threshold must be at least 0, got {threshold!r}.")
        self.names = tuple(sorted(norms))
        self.threshold, self.exchanges = threshold, exchanges
        channels = {name: _channels(name, norm) for name, norm in norms.items()}
        if len(channels) < 2 or len(set(channels.values())) > 1:
            raise ConfigError(
                f"Channel exchange needs batch norms of equally many channels for at least two modalities, got {channels}."
            )
        self.norms = nn.ModuleList([copy.deepcopy(norms[name]) for name in self.names])
        count = channels[self.names[0]]
        self.register_buffer("owner", torch.arange(count) * len(self.names) // count, persistent=False)

    def forward(
        self,
        features: Mapping[str, Float[Tensor, "n c ..."]],
        present: Mapping[str, Bool[Tensor, " n"]] | None = None,
    ) -> dict[str, Float[Tensor, "n c ..."]]:
        """Normalise and exchange the modalities given; zeros on rows that lack one."""
        has = row_masks(features, present)
        normal = {name: self._normalise(name, x, has[name]) for name, x in features.items()}
        if not self.exchanges:
            return normal
        gammas, parts = self.gammas(), self.parts()
        return exchange_channels(normal, gammas, threshold=self.threshold, present=has, parts=parts)

    def gammas(self) -> dict[str, Float[Tensor, " c"]]:
        """Name -> scale of each channel."""
        return {name: norm.weight for name, norm in zip(self.names, self.norms, strict=True)}

    def parts(self) -> dict[str, Bool[Tensor, " c"]]:
        """Name -> the channels of its part: penalised, and open to exchange."""
        owner: Tensor = self.owner  # type: ignore[assignment]
        return {name: owner == m for m, name in enumerate(self.names)}

    def penalty(self) -> Float[Tensor, ""]:
        r"""$\sum_m \sum_{c \in P_m} |\gamma_{mc}|$; 0 where the block exchanges nothing."""
        gammas, parts = self.gammas(), self.parts()
        total = torch.stack([gammas[name][parts[name]].abs().sum() for name in self.names]).sum()
        return total if self.exchanges else torch.zeros_like(total)

    def exchange_rate(self) -> Float[Tensor, " m"]:
        """Share of all channels that are replaced, of each modality in the order of names; at most 1 / M."""
        gammas, parts = self.gammas(), self.parts()
        dead = [(gammas[name].detach().abs() < self.threshold) & parts[name] for name in self.names]
        rates = torch.stack(dead).float().mean(dim=1)
        return rates if self.exchanges else torch.zeros_like(rates)

    def _normalise(self, name: str, x: Tensor, has: Tensor) -> Tensor:
        norm = cast(BatchNorm, self.norms[self.names.index(name)])
        if not norm.training or bool(has.all()):
            return where_present(_normalise_all(norm, where_present(x, has)), has)
        rows = has.nonzero()[:, 0]
        if not len(rows):
            return torch.zeros_like(x)
        some = _normalise_all(norm, x[rows])
        return torch.zeros_like(x, dtype=some.dtype).index_copy(0, rows, some)


def _channels(name: str, norm: nn.Module) -> int:
    """Channels of a batch norm that has scales."""
    if (
        not isinstance(norm, BatchNorm)
        or isinstance(norm, nn.SyncBatchNorm | LazyModuleMixin)
        or not (norm.affine and norm.track_running_stats)
    ):
        raise ConfigError(
            f"Channel exchange needs a BatchNorm with affine=True and running statistics for {name!r}, got {norm}."
        )
    return norm.num_features


def _normalise_all(norm: BatchNorm, x: Tensor) -> Tensor:
    """`norm(x)`; with the running statistics where a single value per channel has no variance."""
    if norm.training and x.numel() <= x.shape[1]:
        return nn.functional.batch_norm(
            x, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps
        )
    result: Tensor = norm(x)
    return result


def row_masks(values: Mapping[str, Tensor], present: Mapping[str, Tensor] | None) -> dict[str, Tensor]:
    """Name -> Boolean (n,), True where nothing is said."""
    masks: dict[str, Tensor] = {}
    for name, value in values.items():
        check_mask("present", name, present, (len(value),))
        everywhere = torch.ones(len(value), dtype=torch.bool, device=value.device)
        masks[name] = everywhere if present is None else present.get(name, everywhere)
    return masks


def check_equal_shapes(values: Mapping[str, Tensor]) -> None:
    """Raise a ModalityError unless all values have one shape."""
    shapes = {name: tuple(value.shape) for name, value in values.items()}
    if len(set(shapes.values())) > 1:
        raise ModalityError(
            f"Channel exchange needs values of one shape in all modalities, got {shapes}. Resize or crop them first."
        )


def along_rows(mask: Tensor, x: Tensor) -> Tensor:
    """One value per row, against all other axes of `x`."""
    return mask.reshape(-1, *[1] * (x.ndim - 1))


def where_present(x: Tensor, has: Tensor) -> Tensor:
    """Zeros on the rows that lack the modality, before any arithmetic: 0 * NaN is NaN."""
    return torch.where(along_rows(has, x), x, torch.zeros_like(x))
