r"""Correlation of two or more sets of features, to be maximised by gradient: deep CCA, deep generalised CCA.

Both losses are functions of covariances, and their gradients are the closed forms: with A and B the canonical directions,
$\partial \sum_k \rho_k / \partial S_{12} = A B'$ and $\partial / \partial S_{11} = -\tfrac12 A D A'$. Nothing is divided by the gap
between two singular values or eigenvalues, as it is in the derivative of their vectors: the gradient stays finite where they meet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from polymodal.core.errors import ConfigError, ModalityError
from polymodal.core.typing import Bool, Float

Norm = Literal["nuclear", "frobenius"]

_TIED = 100
"""Singular values that differ by no more than this many roundings of the largest count as equal."""

_ZERO = 4
"""Singular values of no more than this many roundings of the largest count as 0."""

_JITTERS = (4.0, 64.0, 1024.0, 16384.0)
"""Roundings of each variance that are added to it until a factorisation succeeds; the first always (a share of 5e-7 in float32)."""


def correlation_loss(
    a: Float[Tensor, "n d_a"],
    b: Float[Tensor, "n d_b"],
    present: Bool[Tensor, " n"] | None = None,
    *,
    reg: float = 1e-4,
    norm: Norm = "nuclear",
    n_components: int | None = None,
) -> Float[Tensor, ""]:
    r"""Minus the sum of the canonical correlations of two sets of features: the loss of deep CCA.

    $$ L = -\|T\|, \qquad T = S_{11}^{-1/2} S_{12} S_{22}^{-1/2}, \qquad S_{ii} \leftarrow S_{ii} + r I $$

    Args:
        a: One row of features per sample.
        b: The same samples.
        present: True on the rows that have both; values elsewhere never enter. None: all.
        reg: r >= 0, added to each variance, in the squared units of the features. More features than rows - 1 need it: without,
            every correlation is 1 whatever the features are.
        norm: "nuclear" adds up the correlations (Andrew et al. 2013), "frobenius" their squares (cheaper: no singular values;
            strong correlations count for more).
        n_components: Only the largest so many correlations count; None: all. Where the last one ties with others, each of
            them counts an equal part, so the gradient depends on no arbitrary choice of vectors.

    Returns:
        Between -min(d_a, d_b) and 0; 0, with a gradient of 0, for fewer than two rows. NaN where a feature is not finite.
        Singular values of 0 get the subgradient 0.

    Raises:
        ModalityError: different numbers of rows; or `reg` = 0 and nothing but constant features.
        ConfigError: a negative `reg`, another `norm`, or less than one component.

    Complexity:
        14 n d^2 + about 30 d^3 operations forward and backward for d features a side; memory 2 n d and ten d x d.

    Relations:
        * minus the sum of CCA's singular values for the ridge r I.
        * unchanged by invertible linear maps of a or b (reg = 0), and by shifts.
        * symmetric: correlation_loss(a, b) = correlation_loss(b, a).
        * gradient: the closed form of Andrew et al. 2013, equations 11 to 13.
        * norm="frobenius": cca_zoo's CCALoss.
        * one feature a side, reg = 0: minus the absolute Pearson correlation (minus its square).

    References:
        Andrew, Arora, Bilmes and Livescu 2013, "Deep canonical correlation analysis".
    """
    if len(a) != len(b):
        raise ModalityError(
            f"A correlation needs row-paired features, got {tuple(a.shape)} and {tuple(b.shape)}."
        )
    a, b = _single(a), _single(b)
    if present is not None:
        a, b = a[present], b[present]
    if len(a) < 2:
        _check(reg, n_components, norm)
        return (a.sum() + b.sum()) * 0
    with torch.autocast(a.device.type, enabled=False):
        a, b = a - a.mean(dim=0), b - b.mean(dim=0)
        n = len(a) - 1
        return canonical_loss(
            _gram(a) / n, _gram(b) / n, a.T @ b / n, reg=reg, norm=norm, n_components=n_components
        )


def generalised_correlation_loss(
    views: Mapping[str, Float[Tensor, "n _"]],
    present: Mapping[str, Bool[Tensor, " n"]] | None = None,
    *,
    reg: float = 1e-4,
    n_components: int | None = None,
) -> Float[Tensor, ""]:
    r"""Minus the largest eigenvalues of the sum of projections onto each view's features: the loss of deep generalised CCA.

    $$ L = -\sum_{i \le k} \lambda_i\Big(\sum_m P_m\Big), \qquad P_m = X_m (X_m'X_m + (n - 1) r I)^{-1} X_m' $$

    Computed from covariances, as the eigenvalues of S against its diagonal blocks (ridged). Missing values: each covariance is that of
    the rows that have both views, so a row counts in every pair that it has.

    Args:
        views: Name -> features of the same samples.
        present: Name -> True on the rows that have it; values elsewhere never enter. None: all have all.
        reg: r >= 0, added to each variance.
        n_components: k; None: the smallest number of features of a view.

    Returns:
        Between -k M for M views that agree, and -k where none is related to another. NaN where a feature is not finite.

    Raises:
        ModalityError: fewer than two views, different numbers of rows, no two rows of some view, or more components than features.
        ConfigError: a negative `reg`, or less than one component.

    Complexity:
        O(n D^2 + D^3) for D features in all.

    Relations:
        * two views, reg = 0: -(k + the k largest canonical correlations).
        * nothing missing: cca_zoo's GCCALoss, which forms n x n matrices.
        * unchanged by invertible linear maps of a view (reg = 0).
        * the order of names does not matter; values on absent rows do not matter.

    References:
        Benton et al. 2019, "Deep generalized canonical correlation analysis".
    """
    S, _ = joint_covariance(views, present)
    sizes = [views[name].shape[1] for name in sorted(views)]
    return pencil_loss(S, sizes, reg=reg, n_components=n_components)


def canonical_loss(
    S_aa: Float[Tensor, "d_a d_a"],
    S_bb: Float[Tensor, "d_b d_b"],
    S_ab: Float[Tensor, "d_a d_b"],
    *,
    reg: float = 1e-4,
    norm: Norm = "nuclear",
    n_components: int | None = None,
) -> Float[Tensor, ""]:
    """`correlation_loss` of given covariances, with its gradient with respect to them."""
    _check(reg, n_components, norm)
    with torch.autocast(S_ab.device.type, enabled=False):
        loss: Tensor = _Canonical.apply(S_aa, S_bb, S_ab, reg, norm, n_components)  # type: ignore[no-untyped-call]
    return loss


def pencil_loss(
    S: Float[Tensor, "D D"], sizes: Sequence[int], *, reg: float = 1e-4, n_components: int | None = None
) -> Float[Tensor, ""]:
    """`generalised_correlation_loss` of a joint covariance; `sizes` are the numbers of features of each view, in order."""
    _check(reg, n_components, "nuclear")
    k = min(sizes) if n_components is None else n_components
    if k > sum(sizes):
        raise ModalityError(f"{k} components need as many features, got views of {list(sizes)} features.")
    with torch.autocast(S.device.type, enabled=False):
        loss: Tensor = _Pencil.apply(S, tuple(sizes), reg, k)  # type: ignore[no-untyped-call]
    return loss


def joint_covariance(
    views: Mapping[str, Float[Tensor, "n _"]], present: Mapping[str, Bool[Tensor, " n"]] | None = None
) -> tuple[Float[Tensor, "D D"], Float[Tensor, "M M"]]:
    """Covariance of all views side by side (in sorted order of names), pairwise complete; and for each pair of views the rows less one.

    Two views that fewer than two rows have together: covariance 0, rows less one 0.

    Raises:
        ModalityError: fewer than two views, or different numbers of rows.
    """
    names = sorted(views)
    shapes = {name: tuple(views[name].shape) for name in names}
    if len(names) < 2 or len({shape[0] for shape in shapes.values()}) != 1:
        raise ModalityError(
            f"A correlation needs at least two views of one set of rows, got {shapes}. Give each name a matrix of as many rows."
        )
    features = [_single(views[name]) for name in names]
    with torch.autocast(features[0].device.type, enabled=False):
        if present is None or all(bool(present[name].all()) for name in names):
            joint = torch.cat(features, dim=1)
            n = len(joint) - 1
            degrees = joint.new_full((len(names), len(names)), max(n, 0))
            if n < 1:
                return _gram(joint) * 0, degrees
            return _gram(joint - joint.mean(dim=0)) / n, degrees
        return _pairwise_covariance(features, [present[name] for name in names])


def _pairwise_covariance(features: list[Tensor], present: list[Tensor]) -> tuple[Tensor, Tensor]:
    blocks: dict[tuple[int, int], Tensor] = {}
    degrees = features[0].new_zeros(len(features), len(features))
    for i, x in enumerate(features):
        for j, y in enumerate(features[: i + 1]):
            both = present[i] & present[j]
            a = x[both]
            n = len(a) - 1
            degrees[i, j] = degrees[j, i] = max(n, 0)
            b = a if i == j else y[both]
            if n < 1:
                block = (a.sum() + b.sum()) * 0 + x.new_zeros(x.shape[1], y.shape[1])
            elif i == j:
                block = _gram(a - a.mean(dim=0)) / n
            else:
                block = (a - a.mean(dim=0)).T @ (b - b.mean(dim=0)) / n
            blocks[i, j], blocks[j, i] = block, block.T
    places = range(len(features))
    return torch.cat([torch.cat([blocks[i, j] for j in places], dim=1) for i in places]), degrees


# --- values and gradients ---------------------------------------------------------------------------------------------


class _Gram(torch.autograd.Function):
    """x'x, whose gradient is one product instead of two."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        product: Tensor = x.T @ x
        return product

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        product: Tensor = x @ (gradient + gradient.T)
        return product


class _Canonical(torch.autograd.Function):
    """The loss of covariances; what the gradient needs is found on the way forward."""

    @staticmethod
    def forward(
        ctx: Any, S_aa: Tensor, S_bb: Tensor, S_ab: Tensor, reg: float, norm: Norm, k: int | None
    ) -> Tensor:
        if not _finite(S_aa, S_bb, S_ab):
            ctx.save_for_backward(*(torch.full_like(S, torch.nan) for S in (S_aa, S_bb, S_ab)))
            return S_ab.new_tensor(torch.nan)
        L_a, L_b = _factor(S_aa, reg), _factor(S_bb, reg)
        T = torch.linalg.solve_triangular(L_a, S_ab, upper=False)
        T = torch.linalg.solve_triangular(L_b.T, T, upper=True, left=False)
        if norm == "frobenius" and (k is None or k >= min(T.shape)):
            P = torch.linalg.solve_triangular(L_a.T, T, upper=True)
            Q = torch.linalg.solve_triangular(L_b.T, T.T, upper=True)
            cross = torch.linalg.solve_triangular(L_b, P, upper=False, left=False)
            ctx.save_for_backward(P @ P.T, Q @ Q.T, -2 * cross)
            squares: Tensor = (T * T).sum()
            return squares.neg()
        U, s, Vt = torch.linalg.svd(T, full_matrices=False)
        weights = _share_ties(s, k)
        A = torch.linalg.solve_triangular(L_a.T, U, upper=True)
        B = torch.linalg.solve_triangular(L_b.T, Vt.T, upper=True)
        if norm == "nuclear":
            slope = weights * (s > _ZERO * _resolution(s))  # a singular value of 0 has no slope of its own
            value = weights @ s
        else:
            slope = weights * 2 * s
            value = weights @ s.square()
        ctx.save_for_backward(A * (slope * s / 2) @ A.T, B * (slope * s / 2) @ B.T, -(A * slope) @ B.T)
        loss: Tensor = value.neg()
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        aa, bb, ab = ctx.saved_tensors
        return gradient * aa, gradient * bb, gradient * ab, None, None, None


class _Pencil(torch.autograd.Function):
    """Minus the k largest eigenvalues of S v = lambda B v, B the ridged diagonal blocks: d lambda = v' dS v - lambda v' dB v."""

    @staticmethod
    def forward(ctx: Any, S: Tensor, sizes: tuple[int, ...], reg: float, k: int) -> Tensor:
        if not _finite(S):
            ctx.save_for_backward(torch.full_like(S, torch.nan))
            return S.new_tensor(torch.nan)
        ends = torch.tensor(sizes).cumsum(0).tolist()
        parts = [slice(end - size, end) for size, end in zip(sizes, ends, strict=True)]
        factors = [_factor(S[part, part], reg) for part in parts]
        R = S.clone()
        for part, L in zip(parts, factors, strict=True):
            R[part] = torch.linalg.solve_triangular(L, R[part], upper=False)
            R[:, part] = torch.linalg.solve_triangular(L.T, R[:, part], upper=True, left=False)
        values, vectors = torch.linalg.eigh((R + R.T) / 2)
        values, vectors = values.flip(0), vectors.flip(1)
        weights = _share_ties(values, k)
        for part, L in zip(parts, factors, strict=True):
            vectors[part] = torch.linalg.solve_triangular(L.T, vectors[part], upper=True)
        slope = (vectors * weights) @ vectors.T
        for part in parts:
            own = vectors[part]
            slope[part, part] -= (own * (weights * values)) @ own.T
        ctx.save_for_backward(-slope)
        loss: Tensor = (weights @ values).neg()
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (slope,) = ctx.saved_tensors
        return gradient * slope, None, None, None


def _gram(x: Tensor) -> Tensor:
    product: Tensor = _Gram.apply(x)  # type: ignore[no-untyped-call]
    return product


def _single(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


def _finite(*matrices: Tensor) -> bool:
    return all(bool(torch.isfinite(S.sum())) for S in matrices)


def _resolution(values: Tensor) -> Tensor:
    """One rounding of the largest of some values, in size."""
    return torch.finfo(values.dtype).eps * values.abs().amax()


def _share_ties(values: Tensor, k: int | None) -> Tensor:
    """How much each of some falling values counts among the k largest; those that tie with the last share what is left equally."""
    weights = torch.ones_like(values)
    if k is None or k >= len(values):
        return weights
    last, tolerance = values[k - 1], _TIED * _resolution(values)
    above, tied = values > last + tolerance, (values - last).abs() <= tolerance
    left = (k - above.sum()) / tied.sum().to(values.dtype)
    shared: Tensor = above * weights + tied * left
    return shared


def _factor(S: Tensor, reg: float) -> Tensor:
    """Cholesky's L of S + reg I, plus as few roundings of the variances as it takes: S may be singular.

    Raises:
        ModalityError: all features are constant, and there is no ridge.
    """
    variances = S.diagonal()
    unit = torch.finfo(S.dtype).eps * torch.where(variances > 0, variances, variances.amax())
    for jitter in _JITTERS:
        ridged = S.clone()
        ridged.diagonal().add_(reg + jitter * unit)
        L, failed = torch.linalg.cholesky_ex(ridged)
        if not failed:
            factor: Tensor = L
            return factor
    raise ModalityError(
        f"A correlation needs features that vary, got {len(S)} features of variance {float(S.diagonal().amax()):.3g} and reg={reg}. "
        "Give reg > 0, such as 1e-4."
    )


def _check(reg: float, n_components: int | None, norm: str) -> None:
    problems = []
    if not reg >= 0:
        problems.append(f"reg >= 0 (added to each variance), got {reg!r}")
    if n_components is not None and n_components < 1:
        problems.append(f"n_components >= 1, or None for all, got {n_components!r}")
    if norm not in ("nuclear", "frobenius"):
        problems.append(f'norm to be "nuclear" or "frobenius", got {norm!r}')
    if problems:
        raise ConfigError("A correlation loss needs " + "; and ".join(problems) + ".")
