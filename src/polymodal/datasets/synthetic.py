"""Data whose truth is known: what each modality says about a label, hidden factors, alignments, missing patterns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from polymodal.core.errors import ModalityError
from polymodal.core.modalities import Modalities
from polymodal.core.ragged import Ragged
from polymodal.core.random import RandomState, generator
from polymodal.core.typing import Float, Int
from polymodal.datasets.dataset import Dataset

LICENCE = "Generated; no rights reserved."


# --- what each modality says about a label --------------------------------------------------------------------------


@dataclass(frozen=True)
class InformationTruth:
    """How many bits about the label stand in both modalities, in one alone, and only in the two together."""

    redundant_bits: float
    unique_bits: dict[str, float]
    synergistic_bits: float

    @property
    def total_bits(self) -> float:
        """What the modalities together say about the label: I(a, b; label)."""
        return self.redundant_bits + sum(self.unique_bits.values()) + self.synergistic_bits


def make_redundant_unique_synergistic(
    n_samples: int = 1000,
    *,
    redundant: int = 1,
    unique: Mapping[str, int] | None = None,
    synergistic: int = 1,
    distractors: int = 2,
    noise: float | int = 0.5,
    random_state: RandomState = None,
) -> tuple[Dataset, InformationTruth]:
    r"""Modalities `a` and `b` and a label made of fair coins, so that every kind of information is known in bits.

    A redundant coin stands in both modalities, a unique one in one of them, and a synergistic one is $s = p \oplus q$,
    with p in `a` and q in `b`: either alone says nothing. A column is $\pm 1$ for its coin plus noise that never
    hides it, so the label is a function of the data and

    $$ I(a; y) = R + U_a, \quad I(b; y) = R + U_b, \quad I(a, b; y) = R + U_a + U_b + S. $$

    Args:
        n_samples: Rows.
        redundant: Number of coins R that both modalities show.
        unique: Coins that one modality alone shows; `{"a": 1, "b": 1}` by default.
        synergistic: Number of exclusive-or pairs S.
        distractors: Columns of either modality that say nothing.
        noise: Half width of the uniform noise, in [0, 1): at 1 the coins would begin to overlap.
        random_state: Coins and noise.

    Returns:
        The data (metadata: `label`, the number the coins spell, and each coin by name) and the truth.

    Raises:
        ModalityError: a modality without a column, no coin at all, or noise out of range.

    Relations:
        * any coin is read off its column by the sign.
        * the columns of `a` alone leave a synergistic coin at one bit of entropy.

    References: Williams and Beer 2010, the decomposition and its exclusive-or example.
    """
    alone = {"a": 1, "b": 1} if unique is None else dict(unique)
    if not set(alone) <= {"a", "b"} or not 0 <= noise < 1:
        raise ModalityError(
            f"unique names modalities 'a' and 'b', and noise lies in [0, 1); got {alone} and {noise}."
        )
    alone = {"a": alone.get("a", 0), "b": alone.get("b", 0)}
    counts = {
        "redundant": redundant,
        "unique a": alone["a"],
        "unique b": alone["b"],
        "synergistic": synergistic,
    }
    width = {name: redundant + alone[name] + synergistic + distractors for name in "ab"}
    if (
        min([*counts.values(), distractors]) < 0
        or not 0 < sum(counts.values()) <= 20
        or min(width.values()) == 0
    ):
        raise ModalityError(
            "make_redundant_unique_synergistic needs 1 to 20 coins and a column in each modality; "
            f"got {counts}, distractors={distractors}. Raise one of them."
        )
    rng = generator(random_state)
    coins = {kind: rng.integers(0, 2, (n_samples, count)) for kind, count in counts.items()}
    half = rng.integers(0, 2, (n_samples, synergistic))
    shown = {
        "a": [coins["redundant"], coins["unique a"], half],
        "b": [coins["redundant"], coins["unique b"], half ^ coins["synergistic"]],
    }
    columns = {}
    for name, parts in shown.items():
        signs = (
            2.0 * np.concatenate(parts, axis=1)
            - 1
            + rng.uniform(-noise, noise, (n_samples, width[name] - distractors))
        )
        columns[name] = np.concatenate([signs, rng.uniform(-1, 1, (n_samples, distractors))], axis=1)
    bits = np.concatenate(list(coins.values()), axis=1)
    metadata = {"label": bits @ (1 << np.arange(bits.shape[1])[::-1])}
    metadata |= {
        f"{kind} {i}": values[:, i] for kind, values in coins.items() for i in range(values.shape[1])
    }
    truth = InformationTruth(float(redundant), {k: float(v) for k, v in alone.items()}, float(synergistic))
    described = "Coins shown by both modalities, by one, or only by the exclusive or of the two."
    return Dataset(Modalities(columns), metadata, "redundant, unique, synergistic", described, LICENCE), truth


# --- shared and private factors -------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class FactorTruth:
    """The factors behind each row, and how each modality was made from them (before any nonlinearity).

    Args:
        shared: Factors that all modalities see.
        private: Factors of one modality alone.
        shared_loadings: Name -> (n_shared, features).
        private_loadings: Name -> (n_private, features).
        noise: Standard deviation of what is added to every feature.
    """

    shared: Float[np.ndarray, "n k"]
    private: dict[str, Float[np.ndarray, "n p"]]
    shared_loadings: dict[str, Float[np.ndarray, "k d"]]
    private_loadings: dict[str, Float[np.ndarray, "p d"]]
    noise: float | int

    def covariance(self, a: str, b: str) -> Float[np.ndarray, "d e"]:
        r"""Covariance of two modalities in the population, for linear data.

        $W_a^T W_b$ between modalities, and $W_a^T W_a + V_a^T V_a + \sigma^2 I$ of one with itself.
        """
        covariance: np.ndarray = self.shared_loadings[a].T @ self.shared_loadings[b]
        if a == b:
            own = self.private_loadings[a].T @ self.private_loadings[a]
            covariance = covariance + own + self.noise**2 * np.eye(len(own))
        return covariance

    def canonical_correlations(self, a: str, b: str) -> Float[np.ndarray, " k"]:
        """The population's canonical correlations of two modalities, falling; n_shared of them, for linear data."""
        chol_a, chol_b = (np.linalg.cholesky(self.covariance(m, m)) for m in (a, b))
        whitened = np.linalg.solve(chol_b, np.linalg.solve(chol_a, self.covariance(a, b)).T)
        return np.linalg.svd(whitened, compute_uv=False)[: self.shared.shape[1]]


def make_shared_private(
    n_samples: int = 1000,
    *,
    n_shared: int = 2,
    n_private: int = 2,
    dims: Mapping[str, int] | None = None,
    noise: float | int = 0.1,
    nonlinearity: Literal["tanh"] | None = None,
    random_state: RandomState = None,
) -> tuple[Dataset, FactorTruth]:
    r"""Modalities made from common factors z and factors $u_m$ of their own, all standard normal and independent.

    $$ x_m = f(z W_m + u_m V_m) + \sigma \epsilon $$

    Args:
        n_samples: Rows.
        n_shared: Number of common factors.
        n_private: Number of factors of each modality alone.
        dims: Name -> number of features; `{"a": 10, "b": 12}` by default. Any number of modalities.
        noise: sigma > 0.
        nonlinearity: f; `None` is the identity.
        random_state: Loadings, factors and noise.

    Returns:
        The data, and the truth; `truth.shared` has a row per row of the data.

    Raises:
        ModalityError: no shared factor, fewer features than that, or no noise.

    Relations:
        * the sample covariance tends to `truth.covariance`, its canonical correlations to
          `truth.canonical_correlations`.
        * without private factors and as the noise falls, all canonical correlations tend to 1.
    """
    sizes = {"a": 10, "b": 12} if dims is None else dict(dims)
    if n_shared < 1 or n_private < 0 or not sizes or min(sizes.values()) < n_shared or noise <= 0:
        raise ModalityError(
            "make_shared_private needs n_shared >= 1, n_private >= 0, at least n_shared features in each modality and "
            f"noise > 0; got n_shared={n_shared}, n_private={n_private}, dims={sizes}, noise={noise}."
        )
    rng = generator(random_state)
    shared = rng.standard_normal((n_samples, n_shared))
    private, shared_loadings, private_loadings, columns = {}, {}, {}, {}
    for name, size in sizes.items():
        private[name] = rng.standard_normal((n_samples, n_private))
        shared_loadings[name] = rng.standard_normal((n_shared, size)) / np.sqrt(n_shared)
        private_loadings[name] = rng.standard_normal((n_private, size)) / np.sqrt(max(n_private, 1))
        mixed = shared @ shared_loadings[name] + private[name] @ private_loadings[name]
        bent = np.tanh(mixed) if nonlinearity == "tanh" else mixed
        columns[name] = bent + noise * rng.standard_normal(mixed.shape)
    described = "Common factors and factors of each modality alone, mixed at random."
    truth = FactorTruth(shared, private, shared_loadings, private_loadings, noise)
    return Dataset(Modalities(columns), {}, "shared and private factors", described, LICENCE), truth


# --- warped sequences -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class WarpTruth:
    """Which step goes with which: `paths[i]` are pairs (step of `a`, step of `b`) of row i, from (0, 0) to the ends.

    Args:
        paths: One path per row.
        times: Name -> per row, the step of the common sequence that each step shows.
    """

    paths: tuple[Int[np.ndarray, "_ 2"], ...]
    times: dict[str, tuple[Int[np.ndarray, " _"], ...]]


def make_warped(
    n_samples: int = 20,
    *,
    length: int = 40,
    n_features: int = 2,
    max_repeats: int = 3,
    noise: float | int = 0.0,
    random_state: RandomState = None,
) -> tuple[Dataset, WarpTruth]:
    """Pairs of sequences `a` and `b` that show the same smooth curve at different, changing speeds.

    Each modality dwells on every step of the curve for 1 to `max_repeats` steps of its own.

    Args:
        n_samples: Pairs.
        length: Steps of the common curve.
        n_features: Numbers a step.
        max_repeats: Slowest speed; 1 gives equal sequences.
        noise: Standard deviation added to every number; the curves are of unit variance.
        random_state: Curves, speeds and noise.

    Returns:
        The data, and the true paths.

    Raises:
        ModalityError: a length, a number of features or of repeats below 1.

    Relations:
        * without noise the two sequences are equal along the path, so any dynamic time warping of them costs 0.
        * a path moves by 0 or 1 in each sequence, and by 1 in at least one.
    """
    if min(length, n_features, max_repeats) < 1:
        raise ModalityError(
            "make_warped needs length, n_features and max_repeats of at least 1, "
            f"got {length}, {n_features} and {max_repeats}."
        )
    rng = generator(random_state)
    time = np.linspace(0, 1, length)[:, None, None]
    sequences: dict[str, list[np.ndarray]] = {"a": [], "b": []}
    times: dict[str, list[np.ndarray]] = {"a": [], "b": []}
    paths = []
    for _ in range(n_samples):
        waves, phases = rng.uniform(0.5, 3.0, (n_features, 4)), rng.uniform(0, 2 * np.pi, (n_features, 4))
        curve = np.sin(2 * np.pi * waves * time + phases).sum(axis=2) / np.sqrt(2)
        repeats = {name: rng.integers(1, max_repeats + 1, length) for name in "ab"}
        for name, counts in repeats.items():
            steps = np.repeat(np.arange(length), counts)
            times[name].append(steps)
            sequences[name].append(curve[steps] + noise * rng.standard_normal((len(steps), n_features)))
        paths.append(_path(repeats["a"], repeats["b"]))
    data = Modalities({name: Ragged.of(values) for name, values in sequences.items()})
    truth = WarpTruth(tuple(paths), {name: tuple(steps) for name, steps in times.items()})
    return Dataset(data, {}, "warped sequences", "One curve at two changing speeds.", LICENCE), truth


def _path(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Within a step of the curve both sequences move together, and then the one that dwells longer alone."""
    both = np.maximum(a, b)
    step = np.repeat(np.arange(len(both)), both)
    within = np.arange(len(step)) - np.repeat(np.cumsum(both) - both, both)
    begin = [(np.cumsum(counts) - counts)[step] for counts in (a, b)]
    return np.column_stack(
        [start + np.minimum(within, counts[step] - 1) for start, counts in zip(begin, (a, b), strict=True)]
    )


# --- missing modalities ---------------------------------------------------------------------------------------------


def drop_modalities(
    data: Modalities | Mapping[str, Any],
    rate: float | int,
    *,
    pattern: Literal["random", "modality", "unpaired"] = "random",
    modality: str | None = None,
    random_state: RandomState = None,
) -> Modalities:
    """The same rows with modalities taken away; every row keeps at least one.

    Args:
        data: Two modalities or more.
        rate: How much is lost, in [0, 1]; see `pattern`.
        pattern: `random`: each modality of each row with probability `rate`, independently. `modality`: one modality,
            on a share `rate` of the rows. `unpaired`: a share `rate` of the rows keep one modality each, chosen evenly.
        modality: Which one fails under `pattern="modality"`; by default one at random.
        random_state: Which are lost.

    Returns:
        Rows that would have lost everything keep one modality at random.

    Raises:
        ModalityError: fewer than two modalities, a rate out of range, an unknown modality, or one named under a
            pattern that has no use for it.

    Relations:
        * rate 0 changes nothing; rate 1 unpaired leaves one modality a row.

    Complexity:
        O(rows x modalities); no value is copied.
    """
    data = Modalities.of(data)
    if len(data.names) < 2 or not 0 <= rate <= 1:
        raise ModalityError(
            f"drop_modalities needs two modalities and a rate in [0, 1], got {list(data.names)}, {rate}."
        )
    if modality is not None and pattern != "modality":
        raise ModalityError(
            f"modality={modality!r} is for pattern='modality'; pattern={pattern!r} drops any of them."
        )
    names = sorted(data.names)  # so that the order of the modalities changes nothing
    rng = generator(random_state)
    n, m = len(data), len(names)
    present = np.column_stack([data[name].present for name in names])
    if pattern == "random":
        lost = rng.random((n, m)) < rate
    else:
        chosen = rng.permutation(n)[: round(rate * n)]
        lost = np.zeros((n, m), dtype=bool)
        if pattern == "modality":
            failing = names[rng.integers(m)] if modality is None else data.select(modality).names[0]
            lost[chosen, names.index(failing)] = True
        else:
            lost[chosen] = True
    empty = ~(present & ~lost).any(axis=1)
    keep = np.where(present, rng.random((n, m)), -1.0).argmax(axis=1)
    lost[empty, keep[empty]] = False
    for j, name in enumerate(names):
        data = data.without(name, lost[:, j])
    return data
