import dataclasses

import pytest

from polymodal.core.errors import ConfigError
from polymodal.training import Training


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("max_epochs", 0),
        ("batch_size", -1),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("weight_decay", -1.0),
        ("warmup", 1.0),
        ("clip_norm", 0.0),
        ("validation", 1.0),
        ("checkpoint_every", 0),
        ("patience", 3),
    ],
)
def test_an_option_out_of_range_is_named(option: str, value: float) -> None:
    with pytest.raises(ConfigError, match=option):
        Training(**{option: value})  # type: ignore[arg-type]


def test_every_problem_is_listed_and_options_are_frozen() -> None:
    with pytest.raises(ConfigError, match="batch_size.*learning_rate"):
        Training(batch_size=0, learning_rate=-1.0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        Training().max_epochs = 3  # type: ignore[misc]
    assert Training(validation=0.2, patience=2, clip_norm=None) == Training(
        validation=0.2, patience=2, clip_norm=None
    )
