from polymodal.interactions._tables import markdown_table, number, p_text, with_interval


def test_numbers_as_people_write_them() -> None:
    assert [number(v) for v in (0, 0.5, 1.234, 123.456, 0.00123, 12345.6)] == [
        "0.00",
        "0.50",
        "1.23",
        "123.46",
        "0.00123",
        "1.23e+04",
    ]
    assert (p_text(0.02345), p_text(1e-9)) == ("p = 0.023", "p < 0.001")
    assert with_interval(0.68, 0.25, 1.11) == "0.68 [0.25, 1.11]"
    assert with_interval(-0.000556, -0.00222, 0.00111) == "-0.0006 [-0.0022, 0.0011]"
    assert with_interval(12345.6, 12000.0, 13000.0) == "1.23e+04 [1.2e+04, 1.3e+04]"
    assert with_interval(1.0, 1.0, 1.0) == "1.00 [1.00, 1.00]"


def test_a_table_is_markdown() -> None:
    assert markdown_table(["x", "y"], [["a", "1"]]) == "| x | y |\n|:--|--:|\n| a | 1 |"
