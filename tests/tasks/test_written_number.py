import math

import pytest

from peftsearch.tasks.written_number import write_number


@pytest.mark.parametrize(
    "value,digits,expected",
    [
        (125_330.4, 5, "125,330"),
        (13_878.0, 4, "13,878"),
        (-23_825.0, 5, "-23,825"),
        (3.14159, 4, "3.142"),
        (0.5, 5, "0.5"),
        (0.00012345, 4, "0.0001234"),
        (1e-7, 4, "1e-07"),
        (1.5e20, 4, "1.5e+20"),
        (0.0, 4, "0"),
        (100.0, 5, "100"),
        (math.nan, 4, "nan"),
        (math.inf, 4, "inf"),
    ],
)
def test_numbers_are_written_as_people_write_them(value, digits, expected):
    assert write_number(value, digits) == expected
