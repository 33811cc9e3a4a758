"""`History`: what a training did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class History:
    """What happened in each epoch.

    Attributes:
        loss: Mean training loss of each epoch.
        validation_loss: Loss on the held-out rows after each epoch; empty without validation.
        learning_rate: Learning rate at the end of each epoch.
        best_epoch: The epoch (from 1) whose weights were kept where there was early stopping; otherwise the one of least loss.
        stopped_early: Whether patience ran out before `max_epochs`.
        seconds: Wall time of all epochs, also those before a resume.
        device: Where the training ran.
    """

    loss: tuple[float, ...]
    validation_loss: tuple[float, ...]
    learning_rate: tuple[float, ...]
    best_epoch: int
    stopped_early: bool
    seconds: float
    device: str

    @property
    def epochs(self) -> int:
        """Epochs trained."""
        return len(self.loss)

    def plot(self, ax: Any = None) -> Any:
        """Draw the losses over the epochs on matplotlib axes, and return them."""
        import matplotlib.pyplot as plt

        axes = plt.subplots()[1] if ax is None else ax
        epochs = range(1, self.epochs + 1)
        axes.plot(epochs, self.loss, label="training")
        if self.validation_loss:
            axes.plot(epochs, self.validation_loss, label="validation")
            axes.axvline(self.best_epoch, linestyle=":", color="grey")
        axes.set_xlabel("epoch")
        axes.set_ylabel("loss")
        axes.legend()
        return axes
