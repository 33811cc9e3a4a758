r"""Entropies and mutual information of given probabilities: exact, no estimation.

Beware of three things that circulate: I(.) is written both for the content of one event and for the mutual information of two
variables (here `information_content` and `mutual_information_of_table`); an entropy is the logarithm of the number of outcomes
only when they are equally probable; and H(X|Y) >= 0 holds for discrete variables only.
"""

from __future__ import annotations

import numpy as np

from polymodal.core.errors import ModalityError
from polymodal.core.typing import Float, Num
from polymodal.information.answer import Information, Unit, per_unit

_SUM_TOLERANCE = 1e-6


def information_content(probability: float, *, unit: Unit = "nats") -> Information:
    r"""How much the occurrence of one event says: $-\log p$.

    Args:
        probability: In (0, 1].
        unit: "nats" or "bits".

    Raises:
        ModalityError: a probability outside (0, 1].

    Relations:
        * adds up over independent events: content(p q) = content(p) + content(q).
        * its mean over outcomes is the entropy.
    """
    if not 0 < probability <= 1:
        raise ModalityError(f"information_content needs a probability in (0, 1], got {probability}.")
    return _exact(-float(np.log(probability)), "information content", unit)


def entropy_of_table(table: Num[np.ndarray, "..."], *, unit: Unit = "nats") -> Information:
    r"""Entropy of all variables of a table together: $H = -\sum p \log p$, with $0 \log 0 = 0$.

    Args:
        table: Joint probabilities, one axis a variable; they add up to one.
        unit: "nats" or "bits".

    Raises:
        ModalityError: negative probabilities, or a sum that is not one.

    Relations:
        * at most log(number of outcomes); equal when they are equiprobable.
        * at most the sum of the variables' own entropies (subadditivity); equal when they are independent.
    """
    return _exact(joint_entropy(checked(table)), "entropy", unit)


def conditional_entropy_of_table(table: Num[np.ndarray, "x y"], *, unit: Unit = "nats") -> Information:
    r"""What remains unknown of the first variable when the second is known: $H(X|Y) = H(X, Y) - H(Y) \ge 0$.

    Args:
        table: p(x, y).
        unit: "nats" or "bits".

    Raises:
        ModalityError: negative probabilities, or a sum that is not one.

    Relations:
        * chain rule: H(X, Y) = H(Y) + H(X|Y).
        * at most H(X); equal when X and Y are independent.
        * 0 when Y determines X.
    """
    p = checked(table)
    return _exact(max(joint_entropy(p) - joint_entropy(p.sum(0)), 0.0), "conditional entropy", unit)


def mutual_information_of_table(table: Num[np.ndarray, "x y"], *, unit: Unit = "nats") -> Information:
    r"""What the one variable says of the other: $I(X; Y) = \sum p(x, y) \log \frac{p(x, y)}{p(x)\, p(y)}$.

    Args:
        table: p(x, y).
        unit: "nats" or "bits".

    Raises:
        ModalityError: negative probabilities, or a sum that is not one.

    Relations:
        * equals H(X) - H(X|Y) = H(X) + H(Y) - H(X, Y).
        * equals `kl_divergence` of p(x, y) from p(x) p(y).
        * symmetric; 0 when independent; at most the smaller entropy.
        * never larger after a channel Y -> Z that does not see X (data processing).
    """
    p = checked(table)
    limit = min(joint_entropy(p.sum(1)), joint_entropy(p.sum(0)))
    return _exact(mutual(p), "mutual information", unit, limit)


def conditional_mutual_information_of_table(
    table: Num[np.ndarray, "x y z"], *, unit: Unit = "nats"
) -> Information:
    r"""What X says of Y to one who knows Z: $I(X; Y | Z) = H(X, Z) + H(Y, Z) - H(X, Y, Z) - H(Z)$.

    Args:
        table: p(x, y, z).
        unit: "nats" or "bits".

    Raises:
        ModalityError: negative probabilities, or a sum that is not one.

    Relations:
        * chain rule: I(X; Y, Z) = I(X; Z) + I(X; Y|Z).
        * may be larger or smaller than I(X; Y).
    """
    p = checked(table)
    found = (
        joint_entropy(p.sum(1)) + joint_entropy(p.sum(0)) - joint_entropy(p) - joint_entropy(p.sum((0, 1)))
    )
    return _exact(max(found, 0.0), "conditional mutual information", unit)


def kl_divergence(
    p: Num[np.ndarray, "..."], q: Num[np.ndarray, "..."], *, unit: Unit = "nats"
) -> Information:
    r"""Extra length of a code made for q when p is true: $KL(p\,\|\,q) = \sum p \log (p / q)$.

    Args:
        p: Probabilities.
        q: Probabilities of the same outcomes. Where q = 0 and p > 0 the divergence is infinite.
        unit: "nats" or "bits".

    Raises:
        ModalityError: other shapes, negative probabilities, or a sum that is not one.

    Relations:
        * >= 0; 0 only where p = q. Not symmetric.
    """
    a, b = checked(p, "p"), checked(q, "q")
    if a.shape != b.shape:
        raise ModalityError(
            f"kl_divergence needs p and q over the same outcomes, got shapes {a.shape} and {b.shape}."
        )
    inside = a > 0
    with np.errstate(divide="ignore"):
        found = float((a[inside] * (np.log(a[inside]) - np.log(b[inside]))).sum())
    return _exact(max(found, 0.0), "divergence", unit)


def checked(table: Num[np.ndarray, "..."], name: str = "table") -> Float[np.ndarray, "..."]:
    """The table in float64, if it holds probabilities; a sum off by rounding is put right.

    Raises:
        ModalityError: nothing in it, negative or infinite probabilities, or a sum that is not one.
    """
    p = np.asarray(table, dtype=np.float64)
    if p.size == 0 or not np.isfinite(p).all() or (p < 0).any():
        raise ModalityError(f"{name} needs probabilities >= 0, got {_trouble(p)}.")
    total = float(p.sum())
    if abs(total - 1) > _SUM_TOLERANCE:
        raise ModalityError(
            f"{name} needs probabilities that add up to 1, got {total:.6g}. If these are counts, divide them by their sum."
        )
    return p / total


def joint_entropy(p: Float[np.ndarray, "..."]) -> float:
    """-sum p log p in nats, of checked probabilities."""
    inside = p[p > 0]
    return float(-(inside * np.log(inside)).sum())


def mutual(p: Float[np.ndarray, "x y"]) -> float:
    """Mutual information of a checked table in nats, as a divergence: not negative but for rounding, which is cut."""
    inside = p > 0
    product = p.sum(1)[:, None] * p.sum(0)[None, :]
    return max(float((p[inside] * np.log(p[inside] / product[inside])).sum()), 0.0)


def _trouble(p: np.ndarray) -> str:
    return "an empty table" if p.size == 0 else f"values from {np.min(p):.6g} to {np.max(p):.6g}"


def _exact(nats: float, quantity: str, unit: Unit, limit: float = np.inf) -> Information:
    value = nats / per_unit(unit)
    return Information(
        value, unit, quantity, "given probabilities", "exact", value, value, limit=limit / per_unit(unit)
    )
