from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from polymodal.core.errors import ConfigError, ModalityError
from polymodal.core.linalg import canonical_pairs
from polymodal.objectives import correlation_loss, generalised_correlation_loss
from polymodal.objectives.correlation import canonical_loss, joint_covariance, pencil_loss

Views = dict[str, torch.Tensor]


def pair(
    rng: np.random.Generator, n: int = 40, d_a: int = 4, d_b: int = 3
) -> tuple[torch.Tensor, torch.Tensor]:
    z = rng.normal(size=(n, 2))
    a = rng.normal(size=(n, d_a)) + z @ rng.normal(size=(2, d_a))
    b = rng.normal(size=(n, d_b)) + z @ rng.normal(size=(2, d_b)) + 5
    return torch.from_numpy(a).requires_grad_(), torch.from_numpy(b).requires_grad_()


def ridged_correlations(a: torch.Tensor, b: torch.Tensor, reg: float) -> np.ndarray:
    x, y = a.detach().numpy(), b.detach().numpy()
    S = np.cov(np.hstack([x, y]).T) + reg * np.eye(x.shape[1] + y.shape[1])
    k = x.shape[1]
    return canonical_pairs(S[:k, :k], S[k:, k:], S[:k, k:]).singular_values


def andrews_gradient(a: torch.Tensor, b: torch.Tensor, reg: float) -> np.ndarray:
    """Equations 11 to 13 of Andrew et al. 2013, with symmetric roots: the gradient of the sum of correlations in a's rows."""

    def root(S: np.ndarray) -> np.ndarray:
        values, vectors = np.linalg.eigh(S)
        return vectors / np.sqrt(values) @ vectors.T

    x, y = (t.detach().numpy() - t.detach().numpy().mean(axis=0) for t in (a, b))
    m = len(x)
    S_11 = x.T @ x / (m - 1) + reg * np.eye(x.shape[1])
    S_22 = y.T @ y / (m - 1) + reg * np.eye(y.shape[1])
    R_1, R_2 = root(S_11), root(S_22)
    U, D, Vt = np.linalg.svd(R_1 @ (x.T @ y / (m - 1)) @ R_2, full_matrices=False)
    D_12 = R_1 @ U @ Vt @ R_2
    D_11 = -0.5 * R_1 @ (U * D) @ U.T @ R_1
    return (2 * x @ D_11 + y @ D_12.T) / (m - 1)


# --- two modalities ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reg", [0.0, 0.1, 3.0])
def test_is_minus_the_sum_of_the_correlations_of_cca_with_the_same_ridge(
    rng: np.random.Generator, reg: float
) -> None:
    a, b = pair(rng)
    rho = ridged_correlations(a, b, reg)
    assert correlation_loss(a, b, reg=reg).item() == pytest.approx(-rho.sum(), abs=1e-10)
    assert correlation_loss(a, b, reg=reg, norm="frobenius").item() == pytest.approx(
        -(rho**2).sum(), abs=1e-10
    )
    assert correlation_loss(a, b, reg=reg, n_components=2).item() == pytest.approx(-rho[:2].sum(), abs=1e-10)
    top = correlation_loss(a, b, reg=reg, n_components=1, norm="frobenius").item()
    assert top == pytest.approx(-(rho[0] ** 2), abs=1e-10)


def test_one_feature_a_side_is_pearsons_correlation(rng: np.random.Generator) -> None:
    a, b = pair(rng, d_a=1, d_b=1)
    r = np.corrcoef(a.detach().numpy()[:, 0], b.detach().numpy()[:, 0])[0, 1]
    assert correlation_loss(a, b, reg=0.0).item() == pytest.approx(-abs(r), abs=1e-12)
    assert correlation_loss(a, b, reg=0.0, norm="frobenius").item() == pytest.approx(-(r**2), abs=1e-12)


@pytest.mark.parametrize("reg", [0.0, 0.5])
def test_gradient_is_andrews_closed_form(rng: np.random.Generator, reg: float) -> None:
    a, b = pair(rng)
    correlation_loss(a, b, reg=reg).backward()
    assert a.grad is not None
    np.testing.assert_allclose(a.grad.numpy(), -andrews_gradient(a, b, reg), atol=1e-10)


@pytest.mark.parametrize("norm", ["nuclear", "frobenius"])
@pytest.mark.parametrize("k", [None, 2])
def test_gradient_agrees_with_differences(rng: np.random.Generator, norm: str, k: int | None) -> None:
    a, b = pair(rng, n=12)
    present = torch.from_numpy(rng.random(12) < 0.8)

    def loss(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return correlation_loss(x, y, present, reg=0.01, norm=norm, n_components=k)  # type: ignore[arg-type]

    assert torch.autograd.gradcheck(loss, (a, b))


@given(st.integers(0, 1000), st.integers(1, 4), st.integers(1, 4))
def test_invertible_maps_and_shifts_change_nothing_and_sides_are_alike(seed: int, d_a: int, d_b: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = pair(rng, d_a=d_a, d_b=d_b)
    M = torch.from_numpy(rng.normal(size=(d_a, d_a)) + 3 * np.eye(d_a))
    plain = correlation_loss(a, b, reg=0.0).item()
    assert correlation_loss(a @ M - 7, b * 0.01, reg=0.0).item() == pytest.approx(plain, abs=1e-7)
    assert correlation_loss(b, a, reg=0.0).item() == pytest.approx(plain, abs=1e-10)


@pytest.mark.parametrize("norm", ["nuclear", "frobenius"])
def test_gradient_is_finite_where_singular_values_meet(rng: np.random.Generator, norm: str) -> None:
    """Equal, repeated and zero singular values; eigenvalue forms divide by their gaps and give NaN."""
    q = torch.from_numpy(np.linalg.qr(rng.normal(size=(64, 6)))[0])
    q = torch.linalg.qr(q - q.mean(dim=0))[0]
    cases = {
        "all correlations 1, all variances equal": (q, q.clone()),
        "all correlations 0": (q[:, :3], q[:, 3:]),
        "two 1, one 0": (q[:, :3], q[:, [0, 1, 4]]),
        "constant features": (torch.cat([q[:, :2], torch.ones(64, 2)], dim=1).double(), q),
        "repeated features": (q[:, [0, 0, 0, 1]], q[:, [0, 0, 1, 2]]),
        "all constant": (torch.ones(64, 3).double(), torch.zeros(64, 3).double()),
        "batch smaller than width": (q[:4], q.flip(0)[:4]),
    }
    for name, (x, y) in cases.items():
        for dtype in (torch.float64, torch.float32):
            a, b = x.detach().to(dtype).requires_grad_(), y.detach().to(dtype).requires_grad_()
            for k in (None, 1, 2):
                value = correlation_loss(a, b, norm=norm, n_components=k)  # type: ignore[arg-type]
                gradients = torch.autograd.grad(value, (a, b))
                assert torch.isfinite(value), name
                assert all(torch.isfinite(g).all() for g in gradients), name


def test_ties_at_the_last_component_share_it(rng: np.random.Generator) -> None:
    """The subgradient is the same whatever basis the decomposition picked among equal correlations."""
    q = torch.from_numpy(np.linalg.qr(rng.normal(size=(32, 6)))[0])
    q = torch.linalg.qr(q - q.mean(dim=0))[0]
    a = q[:, :3].clone().requires_grad_()
    b = (0.6 * q[:, :3] + 0.8 * q[:, 3:]).requires_grad_()  # three correlations of .6
    whole = torch.autograd.grad(correlation_loss(a, b, reg=0.0), a)[0]
    one = torch.autograd.grad(correlation_loss(a, b, reg=0.0, n_components=1), a)[0]
    torch.testing.assert_close(one, whole / 3)
    assert correlation_loss(a, b, reg=0.0, n_components=1).item() == pytest.approx(-0.6, abs=1e-10)


def test_singular_values_of_zero_get_the_subgradient_zero() -> None:
    x = torch.tensor([[1.0], [-1.0], [1.0], [-1.0]], dtype=torch.float64).requires_grad_()
    y = torch.tensor([[1.0], [1.0], [-1.0], [-1.0]], dtype=torch.float64).requires_grad_()
    gradients = torch.autograd.grad(correlation_loss(x, y, reg=0.0), (x, y))
    assert all((g == 0).all() for g in gradients)


def test_absent_rows_do_not_matter_and_get_no_gradient(rng: np.random.Generator) -> None:
    a, b = pair(rng)
    present = torch.from_numpy(rng.random(40) < 0.6)
    poisoned = a.detach().clone()
    poisoned[~present] = torch.nan
    poisoned.requires_grad_()
    value = correlation_loss(poisoned, b, present)
    assert value.item() == pytest.approx(correlation_loss(a[present], b[present]).item(), abs=1e-12)
    value.backward()
    assert poisoned.grad is not None
    assert (poisoned.grad[~present] == 0).all()
    assert torch.isfinite(poisoned.grad).all()


def test_one_row_costs_nothing_and_not_a_number_stays_so() -> None:
    a = torch.ones(1, 2, requires_grad=True)
    value = correlation_loss(a, torch.ones(1, 3))
    value.backward()
    assert value.item() == 0
    assert a.grad is not None
    assert (a.grad == 0).all()
    assert correlation_loss(torch.full((4, 2), torch.inf), torch.rand(4, 2)).isnan()
    assert generalised_correlation_loss({"a": torch.full((4, 2), torch.nan), "b": torch.rand(4, 2)}).isnan()


def test_half_precision_is_computed_in_single(rng: np.random.Generator) -> None:
    a, b = (t.detach().float() for t in pair(rng))
    with torch.autocast("cpu", torch.bfloat16):
        inside = correlation_loss(a, b)
    assert inside.dtype == torch.float32
    assert inside.item() == pytest.approx(correlation_loss(a, b).item(), abs=1e-6)
    assert correlation_loss(a.bfloat16(), b.bfloat16()).dtype == torch.float32
    S, _ = joint_covariance({"a": a, "b": b})
    with torch.autocast("cpu", torch.bfloat16):
        many, two = pencil_loss(S, [4, 3]), canonical_loss(S[:4, :4], S[4:, 4:], S[:4, 4:])
    assert many.item() == pytest.approx(pencil_loss(S, [4, 3]).item(), abs=1e-6)
    assert two.item() == pytest.approx(correlation_loss(a, b).item(), abs=1e-5)


def test_large_means_and_large_scales_are_survived_in_float32(rng: np.random.Generator) -> None:
    a, b = (t.detach().float() for t in pair(rng, n=200))
    plain = correlation_loss(a, b, reg=0.0).item()
    scaled = a * torch.tensor([1e-3, 1.0, 1e3, 1e-2])
    assert correlation_loss(scaled, b * 1e4, reg=0.0).item() == pytest.approx(plain, abs=1e-2)


@pytest.mark.parametrize("norm", ["nuclear", "frobenius"])
def test_float32_gradient_is_that_of_float64(rng: np.random.Generator, norm: str) -> None:
    """Many weak correlations: the smallest are about 1e-4 of the largest, and still count in the nuclear norm."""
    z = rng.normal(size=(600, 8))
    a, b = (torch.from_numpy(z @ rng.normal(size=(8, 96)) + rng.normal(size=(600, 96))) for _ in range(2))
    gradients = []
    for dtype in (torch.float64, torch.float32):
        leaf = a.to(dtype).requires_grad_()
        value = correlation_loss(leaf, b.to(dtype), norm=norm)  # type: ignore[arg-type]
        gradients.append(torch.autograd.grad(value, leaf)[0].double())
    assert (gradients[0] - gradients[1]).abs().max() < 1e-3 * gradients[0].abs().max()


def test_covariances_can_be_given(rng: np.random.Generator) -> None:
    a, b = (t.detach() for t in pair(rng))
    S, degrees = joint_covariance({"a": a, "b": b})
    np.testing.assert_allclose(S.numpy(), np.cov(torch.cat([a, b], dim=1).numpy().T), atol=1e-12)
    assert degrees.tolist() == [[39, 39], [39, 39]]
    loss = canonical_loss(S[:4, :4], S[4:, 4:], S[:4, 4:], reg=0.2)
    assert loss.item() == pytest.approx(correlation_loss(a, b, reg=0.2).item(), abs=1e-12)


def test_bad_arguments_are_refused_by_name(rng: np.random.Generator) -> None:
    a, b = pair(rng)
    with pytest.raises(ConfigError, match="reg >= 0"):
        correlation_loss(a, b, reg=-1.0)
    with pytest.raises(ConfigError, match="n_components >= 1"):
        correlation_loss(a, b, n_components=0)
    with pytest.raises(ModalityError, match="reg > 0"):
        correlation_loss(torch.ones(5, 2), torch.ones(5, 2), reg=0.0)
    with pytest.raises(ModalityError, match="at least two views"):
        generalised_correlation_loss({"a": a})
    with pytest.raises(ModalityError, match="8 components"):
        generalised_correlation_loss({"a": a, "b": b}, n_components=8)


# --- more modalities --------------------------------------------------------------------------------------------------


def three(rng: np.random.Generator, n: int = 40) -> Views:
    a, b = pair(rng, n)
    c = torch.from_numpy(rng.normal(size=(n, 3))) + a[:, :3].detach()
    return {"a": a, "b": b, "c": c.requires_grad_()}


@pytest.mark.parametrize("k", [1, 3])
def test_two_views_give_one_plus_the_correlations(rng: np.random.Generator, k: int) -> None:
    a, b = pair(rng)
    rho = ridged_correlations(a, b, 0.0)
    value = generalised_correlation_loss({"a": a, "b": b}, reg=0.0, n_components=k)
    assert value.item() == pytest.approx(-(k + rho[:k].sum()), abs=1e-10)
    by_pair = torch.autograd.grad(correlation_loss(a, b, reg=0.0, n_components=k), (a, b))
    for mine, theirs in zip(torch.autograd.grad(value, (a, b)), by_pair, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_is_the_definition_by_projections(rng: np.random.Generator) -> None:
    views = three(rng)
    total = np.zeros((40, 40))
    for x in views.values():
        h = x.detach().numpy() - x.detach().numpy().mean(axis=0)
        total += h @ np.linalg.solve(h.T @ h + 39 * 0.3 * np.eye(h.shape[1]), h.T)
    expected = -np.sort(np.linalg.eigvalsh(total))[::-1][:2].sum()
    assert generalised_correlation_loss(views, reg=0.3, n_components=2).item() == pytest.approx(expected)


def test_views_that_agree_give_k_times_their_number(rng: np.random.Generator) -> None:
    x = torch.from_numpy(rng.normal(size=(50, 3)))
    maps = [torch.from_numpy(rng.normal(size=(3, 3))) for _ in range(4)]
    views = {f"v{i}": x @ M for i, M in enumerate(maps)}
    assert generalised_correlation_loss(views, reg=0.0).item() == pytest.approx(-12.0, abs=1e-8)


@pytest.mark.parametrize("missing", [False, True])
def test_gradient_of_many_agrees_with_differences(rng: np.random.Generator, missing: bool) -> None:
    views = three(rng, 14)
    present = {name: torch.from_numpy(rng.random(14) < 0.8) for name in views} if missing else None

    def loss(*tensors: torch.Tensor) -> torch.Tensor:
        return generalised_correlation_loss(
            dict(zip(views, tensors, strict=True)), present, reg=0.05, n_components=2
        )

    assert torch.autograd.gradcheck(loss, tuple(views.values()))


def test_order_of_names_and_absent_values_do_not_matter(rng: np.random.Generator) -> None:
    views = three(rng)
    present = {name: torch.from_numpy(rng.random(40) < 0.7) for name in views}
    plain = generalised_correlation_loss(views, present).item()
    backwards = {name: views[name] for name in reversed(views)}
    assert generalised_correlation_loss(backwards, present).item() == pytest.approx(plain, abs=1e-12)
    poisoned = {name: x.detach().masked_fill(~present[name][:, None], torch.nan) for name, x in views.items()}
    assert generalised_correlation_loss(poisoned, present).item() == pytest.approx(plain, abs=1e-12)


def test_views_that_never_meet_are_uncorrelated(rng: np.random.Generator) -> None:
    a, b = pair(rng)
    first = torch.arange(40) < 20
    S, degrees = joint_covariance({"a": a, "b": b}, {"a": first, "b": ~first})
    assert (S[:4, 4:] == 0).all()
    assert degrees.tolist() == [[19, 0], [0, 19]]
    value = pencil_loss(S, [4, 3], reg=0.0)
    assert value.item() == pytest.approx(-3.0, abs=1e-9)
    assert all(torch.isfinite(g).all() for g in torch.autograd.grad(value, (a, b)))


def test_gradient_of_many_is_finite_where_eigenvalues_meet(rng: np.random.Generator) -> None:
    x = torch.from_numpy(np.linalg.qr(rng.normal(size=(30, 3)))[0])
    for views in (
        {"a": x, "b": x.clone(), "c": x.clone()},
        {"a": x, "b": torch.ones(30, 3).double(), "c": torch.zeros(30, 2).double()},
        {name: part[:2] for name, part in {"a": x, "b": x.flip(0), "c": x}.items()},
    ):
        leaves = {name: v.detach().clone().requires_grad_() for name, v in views.items()}
        value = generalised_correlation_loss(leaves, n_components=2)
        assert all(torch.isfinite(g).all() for g in torch.autograd.grad(value, tuple(leaves.values())))


# --- another implementation -------------------------------------------------------------------------------------------


def test_cca_zoo_gives_the_same_numbers(rng: np.random.Generator) -> None:
    """Values of cca_zoo 4.0.1's CCALoss and GCCALoss(reg_covar=0.01) on the same seeded features."""
    generator = np.random.default_rng(7)
    z = generator.normal(size=(50, 2))
    a, b, c = (torch.from_numpy(generator.normal(size=(50, 4)) + np.hstack([z, z**2])) for _ in range(3))
    assert correlation_loss(a, b, reg=0.01, norm="frobenius").item() == pytest.approx(ZOO_CCA, abs=1e-9)
    value = generalised_correlation_loss({"a": a, "b": b, "c": c}, reg=0.01).item()
    assert value == pytest.approx(ZOO_GCCA, abs=1e-9)


ZOO_CCA = -1.1789246077113016
ZOO_GCCA = -7.947231536747244
