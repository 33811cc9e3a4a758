"""The error tree. Every message says what was required, what arrived, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class PolymodalError(Exception):
    """Base of every error this package raises on purpose."""


class ModalityError(PolymodalError, ValueError):
    """The data do not fit: a wrong shape, an unknown modality, a value that is missing where it must not be."""


class DataError(PolymodalError, ValueError):
    """A file or folder of the user's could not be read as data."""


class NotFittedError(PolymodalError, ValueError, AttributeError):
    """The estimator has to be fitted first. (Bases as scikit-learn's class of the same name.)"""


class ConfigError(PolymodalError, ValueError):
    """A configuration names something that does not exist or cannot be built; lists every problem at once."""


class ModelFormatError(PolymodalError, ValueError):
    """A model folder is truncated, foreign, or of a format this version does not know."""


class StoreError(PolymodalError, OSError):
    """An index or a checkpoint on disk could not be read or written; what was there before is intact."""


class MissingDependencyError(PolymodalError, ImportError):
    """An optional library is not installed; the message holds the exact command that installs it."""


class ConvergenceWarning(UserWarning):
    """An iteration stopped at its limit; the result is usable but not final."""


def suggest(name: str, options: Iterable[str]) -> str:
    """` Did you mean 'x'?` for the nearest of `options`, or an empty string when nothing is near."""
    near = difflib.get_close_matches(name, list(options), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""
