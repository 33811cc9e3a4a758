"""Numbers and names in words."""

import pytest

from polymodal.commands.diagnosis_words import listed, p_text, show, signed
from polymodal.evaluation.intervals import Interval


def test_words():
    found = Interval(0.1234, -0.05, 0.3, 0.95)
    assert show(found) == "0.123 [-0.050, 0.300]"
    assert signed(found) == "+0.123 [-0.050, +0.300]"
    assert (listed(["a"]), listed(["a", "b", "c"])) == ("a", "a, b and c")


@pytest.mark.parametrize(("p", "says"), [(float("nan"), "-"), (0.0001, "p < 0.001"), (0.25, "p = 0.250")])
def test_p_values(p, says):
    assert p_text(p) == says
