"""The executable contract: `check_estimator` runs on our estimators in our tests, and on yours in yours."""

from polymodal._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "check_estimator": "contract",
        "checks_for": "contract",
        "Check": "contract",
        "public_estimators": "discovery",
        "public_packages": "discovery",
        "example_data": "examples",
    },
)
