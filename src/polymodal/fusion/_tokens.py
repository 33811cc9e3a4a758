"""What fusions of tokens share: several vectors per row and modality, with masks, from encoders of any kind of data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from polymodal.core.errors import ModalityError
from polymodal.core.typing import Bool, Float
from polymodal.encoders.base import EncoderModule
from polymodal.fusion._inputs import check_mask, check_names, hide_at_random
from polymodal.fusion._layer import FusionLayer
from polymodal.fusion._supervised import FusionNetwork, SupervisedFusion
from polymodal.nn.towers import EncodedColumn, Towers
from polymodal.training.batches import Batch

Tokens = dict[str, Tensor]


class TokenTowers(Towers):
    """Encoders side by side that keep their tokens: words, steps, patches; of a vector one.

    Each distinct value is encoded once, then spread to the rows that use it. What the encoders only need to give one vector is
    dropped (`EncoderModule.keep_tokens`), so they are for tokens from here on.

    Args:
        encoders: Name -> encoder with fresh or trained weights, all of them of one width unless a layer takes several.
    """

    def __init__(self, encoders: Mapping[str, EncoderModule]) -> None:
        super().__init__(encoders)
        for encoder in encoders.values():
            encoder.keep_tokens()

    def forward(self, columns: Mapping[str, EncodedColumn]) -> tuple[Tokens, Tokens, Tokens]:  # type: ignore[override]
        """Tokens (n, T_m, dim), which of them are there (n, T_m), and which rows have the modality (n,), each by name.

        T_m is the longest of the batch. A row that lacks the modality has no token; so has a row whose value is empty.
        """
        tokens, masks, present = {}, {}, {}
        for name in self.names:
            if name in columns:
                tokens[name], masks[name] = self._spread(self[name], columns[name])
                present[name] = columns[name].present
        return tokens, masks, present

    @staticmethod
    def _spread(encoder: nn.Module, column: EncodedColumn) -> tuple[Tensor, Tensor]:
        assert isinstance(encoder, EncoderModule)
        if not bool(column.present.any()):
            n, device = len(column.index), column.index.device
            return torch.zeros(n, 1, encoder.dim, device=device), torch.zeros(
                n, 1, dtype=torch.bool, device=device
            )
        tokens, mask = encoder.tokens(column.values)
        rows = column.index.clamp(min=0)
        here = mask.index_select(0, rows) & column.present[:, None]
        return tokens.index_select(0, rows).masked_fill(~here[..., None], 0.0), here


def fill_absent_tokens(
    inputs: Mapping[str, Tensor],
    present: Mapping[str, Tensor] | None,
    masks: Mapping[str, Tensor] | None,
    dims: Mapping[str, int],
) -> tuple[Tokens, Tokens]:
    """Tokens with zeros wherever there is none, and a mask (n, T_m) for every name in `dims`; at least one place each.

    Args:
        inputs: Name -> (n, T_m, d_m). A name of `dims` that is not here is absent on every row.
        present: Name -> True where the row has it (n,). A name that is not here is present where it has values.
        masks: Name -> True where there is a token (n, T_m). A name that is not here has them all.
        dims: Name -> d_m of every modality the module was built for.

    Raises:
        ModalityError: an unknown name, no modality at all, a wrong width, rows or mask.
    """
    check_names(inputs, dims)
    like = inputs[next(name for name in dims if name in inputs)]
    n = len(like)
    values, has = {}, {}
    for name, dim in dims.items():
        given = inputs.get(name)
        if given is None:
            given = like.new_zeros(n, 0, dim)
        if given.ndim != 3 or len(given) != n or given.shape[2] != dim:
            raise ModalityError(
                f"Modality {name!r} needs tokens of shape ({n}, tokens, {dim}), got {tuple(given.shape)}. All modalities have the "
                "same rows; one vector per row is x[:, None]."
            )
        check_mask("present", name, present, (n,))
        check_mask("masks", name, masks, tuple(given.shape[:2]))
        here = torch.ones(given.shape[:2], dtype=torch.bool, device=like.device)
        if masks is not None and name in masks:
            here = here & masks[name]
        if present is not None and name in present:
            here = here & present[name][:, None]
        if not given.shape[1]:
            given, here = like.new_zeros(n, 1, dim), here.new_zeros(n, 1)
        values[name], has[name] = given.masked_fill(~here[..., None], 0.0), here
    return values, has


class TokenLayer(FusionLayer):
    """Base of layers that fuse tokens: a method writes `_fuse`, which gets tokens (zeros where none) and masks of every modality.

    Args:
        dims: Name -> d_m of each modality's tokens. They are kept in the order of their names.
        n_components: Size of z.
    """

    def forward(
        self,
        inputs: Mapping[str, Float[Tensor, "n _ _"]],
        present: Mapping[str, Bool[Tensor, " n"]] | None = None,
        masks: Mapping[str, Bool[Tensor, "n _"]] | None = None,
    ) -> Float[Tensor, "n k"]:
        """Fuse tokens (n, T_m, d_m). What is not in `inputs`, or False in `present` or `masks`, counts as absent.

        A modality whose row has no token at all counts as absent, too.

        Raises:
            ModalityError: an unknown name, no modality, a wrong width, rows or mask.
        """
        return self._fuse(*fill_absent_tokens(inputs, present, masks, self.dims))


class TokenNetwork(FusionNetwork):
    """Encoders that keep tokens, a `TokenLayer`, and a linear head."""

    towers: TokenTowers
    layer: TokenLayer

    towers_type: ClassVar[type[Towers]] = TokenTowers

    def fuse(self, batch: Batch, *, hide: float = 0.0) -> Float[Tensor, "n k"]:
        """The representation of each row; while training, `hide` is the share of rows under modality dropout."""
        tokens, masks, present = self.towers(batch.columns)
        if self.training:
            present = hide_at_random(present, hide)
        fused: Tensor = self.layer(tokens, present, masks)
        return fused


class TokenFusion(SupervisedFusion):
    """Base of learned fusions of tokens. A method stores the parameters of `SupervisedFusion` and writes `_make_layer`.

    Pictures come as patches or fields, texts as words, sequences and sounds as (groups of) steps, vectors as one token: what the
    encoder of the modality gives by `EncoderModule.tokens`.
    """

    exempt: ClassVar[Mapping[str, str]] = {
        "every_parameter_gets_a_gradient": "the checks give vectors, of which there is one token: whatever its score, all of the "
        "attention goes to it, so the scores get no gradient; with several tokens they do",
    }
    _network: ClassVar[type[FusionNetwork]] = TokenNetwork

    module_: TokenNetwork
