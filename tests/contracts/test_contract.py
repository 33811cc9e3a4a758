"""Every public estimator keeps every promise of the estimator contract."""

from __future__ import annotations

import pytest

from polymodal.testing import Check, checks_for, public_estimators


def _cases():
    for cls in public_estimators():
        for number, model in enumerate(cls._examples()):
            for check in checks_for(model):
                yield pytest.param(check, id=f"{cls.__name__}{number}:{check.name}")


@pytest.mark.parametrize("check", list(_cases()))
def test_contract(check: Check) -> None:
    if check.skip is not None:
        assert len(check.skip) > 10, "an exemption needs a reason"
        return
    check.run()


def test_every_family_has_an_estimator() -> None:
    families = {cls.family for cls in public_estimators()}
    assert families == {"fusion", "coordination", "fission"}
