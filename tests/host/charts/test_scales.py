"""Rules and labels of a chart's axes."""

from strongroom_host.charts.scales import told_apart


def test_rules_that_read_the_same_are_one() -> None:
    assert told_apart([-0.00004, -0.00002, 0.0], 0.0, 2) == [0.0]
    assert told_apart([-0.0002, -0.0001, 0.0], 0.0, 2) == [-0.0002, -0.0001, 0.0]
    assert told_apart([1.0, 1.1], 1.0, 0) == [1.0, 1.1]
