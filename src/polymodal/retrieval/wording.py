"""`WordingReport`: how much the answers of a zero-shot classifier move with the wording."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from polymodal.core.typing import Float, Int


@dataclass(frozen=True, eq=False)
class WordingReport:
    """Answers of each template alone, and of all together.

    Attributes:
        classes: Names of the classes.
        templates: The wordings compared.
        answers: Class number given with each template alone.
        ensemble: Class number given with all templates together.
        accuracies: Share of right answers of each template; NaN where the right answers were not given.
        ensemble_accuracy: That of all together.
        agreement: Share of rows on which two templates give the same answer; 1 on the diagonal.
        changed: Share of rows whose answer is not the same with every template.
        stability: Of the rows that the ensemble gives a class, the share whose answer is the same with every template; NaN
            where it gives none.
    """

    classes: tuple[str, ...]
    templates: tuple[str, ...]
    answers: Int[np.ndarray, "t n"]
    ensemble: Int[np.ndarray, " n"]
    accuracies: Float[np.ndarray, " t"]
    ensemble_accuracy: float
    agreement: Float[np.ndarray, "t t"]
    changed: float
    stability: Float[np.ndarray, " c"]

    @classmethod
    def of(
        cls,
        classes: tuple[str, ...],
        templates: tuple[str, ...],
        answers: Int[np.ndarray, "t n"],
        ensemble: Int[np.ndarray, " n"],
        truth: Int[np.ndarray, " n"] | None,
    ) -> WordingReport:
        """Count what changes; `truth` holds the right class numbers where they are known.

        Relations:
            * answers that never differ: changed 0, agreement 1, stability 1.
        """
        same = (answers == answers[0]).all(axis=0)
        given = np.bincount(ensemble, minlength=len(classes))
        steady = np.bincount(ensemble[same], minlength=len(classes))
        right = np.full(len(templates), np.nan) if truth is None else (answers == truth).mean(axis=1)
        agreement = np.array([[float((a == b).mean()) for b in answers] for a in answers])
        return cls(
            classes,
            templates,
            answers,
            ensemble,
            right,
            float("nan") if truth is None else float((ensemble == truth).mean()),
            agreement,
            float(1 - same.mean()),
            np.where(given > 0, steady / np.maximum(given, 1), np.nan),
        )

    @property
    def steadiest(self) -> str:
        """The class whose answers move least."""
        return self.classes[int(np.nanargmax(self.stability))]

    @property
    def shakiest(self) -> str:
        """The class whose answers move most."""
        return self.classes[int(np.nanargmin(self.stability))]

    @property
    def sentence(self) -> str:
        """The finding in words."""
        n = self.answers.shape[1]
        moves = (
            f"{self.changed:.0%} of {n} rows change their answer with the wording of {len(self.templates)} templates; two templates "
            f"agree on {self._mean_agreement:.0%} of the rows on average. The steadiest class is {self.steadiest!r} "
            f"({np.nanmax(self.stability):.0%} of its rows never change), the shakiest {self.shakiest!r} ({np.nanmin(self.stability):.0%})."
        )
        if np.isnan(self.ensemble_accuracy):
            return moves
        worst, best = int(self.accuracies.argmin()), int(self.accuracies.argmax())
        return (
            f"{moves} Accuracy is {self.accuracies[worst]:.1%} with {self.templates[worst]!r} and {self.accuracies[best]:.1%} with "
            f"{self.templates[best]!r}; all together give {self.ensemble_accuracy:.1%}."
        )

    @property
    def _mean_agreement(self) -> float:
        t = len(self.templates)
        return float((self.agreement.sum() - t) / (t * (t - 1)))

    def __str__(self) -> str:
        agree = (self.answers == self.ensemble).mean(axis=1)
        width = max(len(t) for t in self.templates)
        lines = [f"{'template':{width}}  accuracy  as the ensemble"]
        lines += [
            f"{t:{width}}  {a:8.3f}  {g:15.3f}"
            for t, a, g in zip(self.templates, self.accuracies, agree, strict=True)
        ]
        lines.append(f"{'all together':{width}}  {self.ensemble_accuracy:8.3f}  {1:15.3f}")
        return "\n".join([*lines, self.sentence])

    def plot(self, ax: Any = None) -> Any:
        """Draw the accuracy of each template (or how often it says what all say) on matplotlib axes, and return them."""
        import matplotlib.pyplot as plt

        known = not np.isnan(self.ensemble_accuracy)
        values = self.accuracies if known else (self.answers == self.ensemble).mean(axis=1)
        axes = plt.subplots(layout="constrained")[1] if ax is None else ax
        order = np.argsort(values, kind="stable")
        bars = axes.barh([self.templates[i] for i in order], values[order], color="#4c78a8")
        axes.bar_label(bars, fmt="{:.3f}", label_type="center", color="white")
        title = f"{self.changed:.0%} of {self.answers.shape[1]} answers depend on the wording"
        if known:
            axes.axvline(self.ensemble_accuracy, color="#e45756")
            title += f"\nline: all templates together, {self.ensemble_accuracy:.3f}"
        axes.set_xlim(0, 1)
        axes.set_xlabel("accuracy" if known else "share of rows answered as by all together")
        axes.set_title(title, fontsize="medium")
        return axes
