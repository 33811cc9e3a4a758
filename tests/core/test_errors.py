"""The error tree is caught as people catch it."""

from __future__ import annotations

import pytest

from polymodal.core import errors


def test_suggestions() -> None:
    assert errors.suggest("txt", ["image", "text"]) == " Did you mean 'text'?"
    assert errors.suggest("zebra", ["image", "text"]) == ""


@pytest.mark.parametrize(
    ("error", "base"),
    [
        ("ModalityError", ValueError),
        ("NotFittedError", AttributeError),
        ("StoreError", OSError),
        ("MissingDependencyError", ImportError),
    ],
)
def test_bases(error: str, base: type) -> None:
    assert issubclass(getattr(errors, error), (base, errors.PolymodalError))
    assert issubclass(getattr(errors, error), errors.PolymodalError)
