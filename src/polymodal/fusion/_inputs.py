"""What every fusion module does first: names checked, absent values replaced before any arithmetic."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from polymodal.core.errors import ModalityError, suggest


def fill_absent(
    inputs: Mapping[str, Tensor], present: Mapping[str, Tensor] | None, dims: Mapping[str, int]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Values with zeros wherever a modality is absent, and a Boolean mask for every name in `dims`.

    Zeros come in by `torch.where`, before anything is multiplied: 0 * NaN is NaN, and so is its gradient.

    Args:
        inputs: Name -> values (n, d_m). A name of `dims` that is not here is absent on every row.
        present: Name -> True where the row has it. A name that is not here is present where it has values.
        dims: Name -> d_m of every modality the module was built for.

    Raises:
        ModalityError: an unknown name, no modality at all, a wrong width, rows or mask.
    """
    check_names(inputs, dims)
    _check_shapes(inputs, present, dims)
    like = inputs[next(name for name in dims if name in inputs)]
    masks = present or {}
    values, has = {}, {}
    for name, dim in dims.items():
        if name not in inputs:
            values[name] = like.new_zeros(len(like), dim)
            has[name] = torch.zeros(len(like), dtype=torch.bool, device=like.device)
        elif name in masks:
            mask = masks[name]
            values[name] = torch.where(mask[:, None], inputs[name], torch.zeros_like(inputs[name]))
            has[name] = mask
        else:
            values[name] = inputs[name]
            has[name] = torch.ones(len(like), dtype=torch.bool, device=like.device)
    return values, has


def check_names(inputs: Mapping[str, Tensor], dims: Mapping[str, int]) -> None:
    """Refuse names that a module was not built for, and no modality at all."""
    unknown = sorted(set(inputs) - set(dims))
    if unknown:
        raise ModalityError(
            f"Unknown modalities {unknown}; built for {list(dims)}.{suggest(unknown[0], dims)}"
        )
    if not inputs:
        raise ModalityError(f"Fusion needs at least one of {list(dims)}, got no modality.")


def check_mask(argument: str, name: str, masks: Mapping[str, Tensor] | None, shape: tuple[int, ...]) -> None:
    """Refuse a mask of one modality, if there is one, that is not Boolean or has another shape."""
    mask = None if masks is None else masks.get(name)
    if mask is not None and (mask.dtype != torch.bool or mask.shape != shape):
        wanted = f"{shape[0]} Booleans" if len(shape) == 1 else f"Booleans of shape {shape}"
        raise ModalityError(
            f"{argument}[{name!r}] needs {wanted}, got {mask.dtype} of shape {tuple(mask.shape)}."
        )


def _check_shapes(
    inputs: Mapping[str, Tensor], present: Mapping[str, Tensor] | None, dims: Mapping[str, int]
) -> None:
    n = len(next(iter(inputs.values())))
    for name, value in inputs.items():
        if value.shape != (n, dims[name]):
            raise ModalityError(
                f"Modality {name!r} needs shape ({n}, {dims[name]}), got {tuple(value.shape)}. All modalities have the same rows."
            )
        check_mask("present", name, present, (n,))


def hide_at_random(present: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """Modality dropout: on about `share` of the rows a random, non-empty part of the modalities stays.

    Every present modality of a chosen row is hidden with probability 1/2; a row left with nothing gets one of
    its own back, drawn evenly. Draws come from torch's generator.

    Args:
        present: Name -> Boolean (n,).
        share: Share of rows, in [0, 1].
    """
    names = sorted(present)
    if share <= 0 or len(names) < 2:
        return dict(present)
    has = torch.stack([present[name] for name in names], dim=1)
    draws = torch.rand(has.shape, device=has.device)
    chosen = torch.rand(len(has), 1, device=has.device) < share
    kept = has & (draws < 0.5)
    best = torch.where(has, draws, torch.full_like(draws, 2.0)).argmin(dim=1, keepdim=True)
    # The smallest draw among a row's own modalities: kept already where anything is, given back otherwise.
    rescue = torch.zeros_like(has).scatter(1, best, True) & has
    result = torch.where(chosen, kept | rescue, has)
    return {name: result[:, i] for i, name in enumerate(names)}
