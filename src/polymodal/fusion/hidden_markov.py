"""Generative fusion of sequences: hidden Markov models of every class, whose chains look at each other or do not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np

from polymodal.alignment.coupled_hmm import CoupledHMM
from polymodal.alignment.emissions import Categorical, Emission, Gaussian
from polymodal.alignment.hidden_markov import HiddenMarkovModel
from polymodal.alignment.streams import Streams
from polymodal.core.errors import ConfigError, ModalityError
from polymodal.core.estimator import Estimator
from polymodal.core.modalities import Modalities
from polymodal.core.ragged import Ragged
from polymodal.core.random import RandomState, generator
from polymodal.core.requirements import Requirements
from polymodal.core.typing import Float
from polymodal.fusion._likelihood import LikelihoodFusion
from polymodal.fusion._row_sequences import STEPWISE, RowSequences, mean_and_scale, row_sequences

Coupling = Literal["coupled", "synchronous", "independent"]
Model = CoupledHMM | HiddenMarkovModel
LEAST = (
    -1e9
)  # nats: of a sequence that a class forbids, so that one which all classes forbid is left to the prior


class HiddenMarkovFusion(LikelihoodFusion):
    r"""One hidden Markov model of all modalities for each class; the class of a row is that under which its sequences are likeliest.

    $$ p(y \mid x) \propto p(y) \sum_{s} \prod_t p(s_t \mid s_{t-1}, y) \prod_m p(x_t^m \mid s_t, y) $$

    "coupled": a chain for each modality, whose next state depends on the last states of all: $p(s_t^m \mid s_{t-1}^1, \dots, s_{t-1}^M)$.
    "synchronous": one chain that emits all modalities. "independent": a chain for each modality that looks at itself alone.
    The modalities of a row go step by step together; a vector is a sequence of one step. A modality that a row lacks is integrated
    out: its steps emit nothing, its chain goes on.

    `transform` gives log p(y, x), one column a class (nats).

    Args:
        n_states: Hidden states of a chain; where chains are several, also modality -> states.
        coupling: How chains depend on each other.
        emissions: Modality -> emission (`polymodal.alignment.Gaussian`, `GaussianMixture`, `Categorical`); a diagonal Gaussian of
            standardised features for modalities not named.
        prior: Times that every start and transition is taken to have been seen before, >= 0.
        max_iter: Most steps of each fit.
        random_state: Of the starts.

    Attributes:
        models_: For each class, block -> fitted model; the block is "all" but for independent chains, which have a model a modality.
        history_: As `models_`: the objective before each step; it never falls.
        scales_: Modality without an emission of its own -> mean and standard deviation of each feature over all training steps.
        prior_: Share of each class.
        classes_: The classes in sorted order.

    Complexity:
        A step of the fit is O(all steps x J^2), J the states of a chain, or of all chains together where they are coupled.

    Relations:
        * independent: the sum of the log-likelihoods of one hidden Markov model per modality.
        * one modality: all couplings are the same.
        * one state, rows of one step: `GaussianMixtureFusion`.

    References:
        Brand, Oliver & Pentland 1997, Coupled hidden Markov models for complex action recognition; Nefian et al. 2002, Dynamic
        Bayesian networks for audio-visual speech recognition.
    """

    requires: ClassVar[Requirements] = Requirements(
        min_modalities=1, kinds=STEPWISE, unpaired=True, target="required"
    )

    models_: list[dict[str, Model]]
    history_: list[dict[str, list[float]]]
    scales_: dict[str, tuple[np.ndarray, np.ndarray]]

    def __init__(
        self,
        n_states: int | Mapping[str, int] = 2,
        *,
        coupling: Coupling = "coupled",
        emissions: Mapping[str, Emission] | None = None,
        prior: float = 1.0,
        max_iter: int = 50,
        random_state: RandomState = 0,
    ) -> None:
        self.n_states = n_states
        self.coupling = coupling
        self.emissions = emissions
        self.prior = prior
        self.max_iter = max_iter
        self.random_state = random_state

    @classmethod
    def _examples(cls) -> list[Estimator]:
        return [cls(max_iter=5), cls(3, coupling="synchronous", max_iter=5), cls(coupling="independent")]

    # --- learning ---------------------------------------------------------------------------------------------------

    def _fit(self, data: Modalities, y: np.ndarray | None) -> None:
        self._check_settings(data)
        self._check_some_present(data)
        codes = self._take_classes(y)
        for name, column in data.items():
            never = self.classes_[np.bincount(codes[column.present], minlength=len(self.classes_)) == 0]
            if len(never):
                raise ModalityError(
                    f"HiddenMarkovFusion needs every modality on some row of every class, but no row of {never.tolist()[:5]} has {name!r}."
                )
        sequences, rng = row_sequences(data, self.modalities_), generator(self.random_state)
        plain = [name for name in sequences.frames if name not in (self.emissions or {})]
        self.scales_ = {name: mean_and_scale(sequences.frames[name]) for name in plain}
        self.models_, self.history_ = [], []
        for k in range(len(self.classes_)):
            mine = self._blocks(sequences.some(np.flatnonzero(codes == k)))
            models = {block: self._model(block, rng).fit(given) for block, given in mine.items()}
            self.models_.append(models)
            self.history_.append({block: model.history_ for block, model in models.items()})

    def _check_settings(self, data: Modalities) -> None:
        known = ("coupled", "synchronous", "independent")
        if self.coupling not in known:
            raise ConfigError(f"coupling must be one of {known}, got {self.coupling!r}.")
        data.select(*(self.emissions or {}))
        if isinstance(self.n_states, Mapping):
            if self.coupling == "synchronous":
                raise ConfigError("A synchronous model has one chain: n_states must be one whole number.")
            if set(self.n_states) != set(data.names):
                raise ConfigError(
                    f"n_states must name every modality {list(data.names)}, got {list(self.n_states)}."
                )
        counts = list(self.n_states.values()) if isinstance(self.n_states, Mapping) else [self.n_states]
        if not all(isinstance(c, int | np.integer) and not isinstance(c, bool) and c >= 1 for c in counts):
            raise ConfigError(f"n_states must be whole numbers of at least 1, got {self.n_states!r}.")

    def _emission(self, name: str) -> Emission:
        return (self.emissions or {}).get(name, Gaussian(prior=1.0))

    def _model(self, block: str, rng: np.random.Generator) -> Model:
        settings: dict[str, Any] = {"prior": self.prior, "max_iter": self.max_iter, "random_state": rng}
        names = sorted(self.modalities_)
        if self.coupling == "independent":
            k = self.n_states[block] if isinstance(self.n_states, Mapping) else self.n_states
            return HiddenMarkovModel(k, emission=Streams({block: self._emission(block)}), **settings)
        emissions = {name: self._emission(name) for name in names}
        if self.coupling == "synchronous" and isinstance(self.n_states, int):
            return HiddenMarkovModel(self.n_states, emission=Streams(emissions), **settings)
        return CoupledHMM(emissions, n_states=self.n_states, **settings)

    def _blocks(self, sequences: RowSequences) -> dict[str, dict[str, Ragged]]:
        """What each model is given: block -> stream -> sequences."""
        streams: dict[str, Ragged] = {}
        for name, x in sequences.frames.items():
            values = x
            if name in self.scales_:
                mean, scale = self.scales_[name]
                values = (x - mean) / scale
            elif isinstance(self._emission(name), Categorical):
                values = np.where(np.isnan(x), -1, x).astype(np.int64)
            streams[name] = Ragged(values, sequences.offsets)
        if self.coupling == "independent":
            return {name: {name: stream} for name, stream in streams.items()}
        return {"all": streams}

    # --- using ------------------------------------------------------------------------------------------------------

    def _log_given_class(self, data: Modalities) -> Float[np.ndarray, "n k"]:
        sequences = row_sequences(data, self.modalities_)
        blocks, units = self._blocks(sequences), np.zeros(len(data))
        for name, (
            _,
            scale,
        ) in self.scales_.items():  # densities per unit of the data, not of the standardised features
            if name in data:
                units -= np.where(data[name].present, sequences.lengths, 0) * np.log(scale).sum()
        each = [
            sum((models[block].log_likelihood(given) for block, given in blocks.items()), units)
            for models in self.models_
        ]
        return np.asarray(np.maximum(np.stack(each, axis=1), LEAST))

    # --- saving -----------------------------------------------------------------------------------------------------

    def _get_state(self) -> dict[str, Any]:
        plain = [{block: _to_plain(model) for block, model in models.items()} for models in self.models_]
        return {**super()._get_state(), "models_": plain}

    def _set_state(self, state: dict[str, Any]) -> None:
        super()._set_state(state)
        self.models_ = [{block: _of_plain(p) for block, p in models.items()} for models in state["models_"]]


def _to_plain(model: Model) -> dict[str, Any]:
    if isinstance(model, CoupledHMM):
        return {"start": model.starts_, "transitions": model.tables_, "emission": model.emissions_}
    chain = model.chain_
    return {"start": chain.start, "transitions": chain.transitions, "emission": model.emission_}


def _of_plain(plain: dict[str, Any]) -> Model:
    kind = CoupledHMM if isinstance(plain["start"], dict) else HiddenMarkovModel
    return kind.of(plain["start"], plain["transitions"], plain["emission"])
