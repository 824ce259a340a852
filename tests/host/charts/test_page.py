"""The page and the drawing: well-formed, self-contained, and no text of ours or others runs."""

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from strongroom_host.charts.curve import curve_of
from strongroom_host.charts.drawing import svg_file
from strongroom_host.charts.page import Subject, page
from strongroom_host.charts.terminal import plot
from strongroom_host.metrics.measures import measure
from strongroom_host.metrics.sampling import Convention
from strongroom_host.metrics.series import HOUR_MS, Flag, Period, Series

from tests.host.metrics.made import MIDNIGHT, series_of

SVG = "{http://www.w3.org/2000/svg}"
VALUES = ["0.01", "-0.02", "0.03"] * 20 + [None] * 5 + ["-0.01", "0.02"] * 400
HOSTILE = '<script>alert(1)</script>"&\x1b[2J'


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        names = {name for name, _ in attrs}
        assert not names & {"src", "href", "style", "srcset"}
        assert not any(name.startswith("on") for name in names)
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def parsed(text: str) -> _Tags:
    tags = _Tags()
    tags.feed(text)
    assert tags.open == []
    return tags


def test_the_page_is_whole_loads_nothing_and_runs_nothing() -> None:
    series = series_of(VALUES)
    found = measure(series, Convention.HOURS)
    text = page(Subject(HOSTILE, series, found))
    tags = parsed(text)
    assert "script" not in tags.seen
    assert not {"img", "link", "iframe", "object", "base", "form"} & set(tags.seen)
    assert "default-src &#x27;none&#x27;" in text
    assert "\x1b" not in text
    assert "<script>alert(1)</script>" in tags.text
    assert re.findall(r"https?://\S+?(?=\")", text) == ["http://www.w3.org/2000/svg"]


def test_the_page_says_what_is_missing() -> None:
    series = series_of(VALUES)
    tags = parsed(page(Subject("t", series, measure(series, Convention.DAYS))))
    assert "865 hours in 865 periods; 5 of them without a return." in tags.text
    assert "Hatched: no return." in tags.text
    assert "missing mark" in tags.text
    assert "linked over 5 missing hours: not TWR" in tags.text
    whole = parsed(page(Subject("t", series_of(["0.1"] * 3))))
    assert "Hatched" not in whole.text
    assert "Metrics" not in whole.text
    assert "Gaps" not in whole.text


@pytest.mark.parametrize(
    "values",
    [
        ["0"],
        [None],
        ["-1", "0"],
        ["0.5"] * 40,
        ["0.1", None, "0.1", None, "-0.9"],
    ],
)
def test_every_series_can_be_drawn(values: list[str | None]) -> None:
    curve = curve_of(series_of(values))
    root = ElementTree.fromstring(svg_file(curve, "t"))  # noqa: S314  our own text
    numbers = re.findall(r"[-\d.]+", " ".join(each.get("d", "") for each in root.iter()))
    assert all(-1 <= float(number) <= 1001 for number in numbers)
    assert len(root.findall(f"{SVG}rect")) == 2 * len(curve.gaps)
    assert parsed(page(Subject("t", series_of(values)))).seen.count("svg") == 1
    assert plot(curve, width=60, height=5).plain.count("\n") >= 9


def test_a_gap_is_drawn_as_one_and_never_too_short_to_see() -> None:
    periods = [
        Period(MIDNIGHT + at * HOUR_MS, 1, None, Flag.GAP)
        if at == 5000
        else Period(MIDNIGHT + at * HOUR_MS, 1, series_of(["0.0001"]).periods[0].value)
        for at in range(20_000)
    ]
    curve = curve_of(Series.of(periods))
    root = ElementTree.fromstring(svg_file(curve, "t"))  # noqa: S314  our own text
    for rect in root.findall(f"{SVG}rect"):
        assert float(rect.get("width", "0")) >= 1.5
        assert [each.text for each in rect] == ["2026-07-28 08:00 to 2026-07-28 09:00: gap"]
    # Two strokes above and two filled ones below: no line crosses the gap.
    lines = [each for each in root.findall(f"{SVG}path") if each.get("stroke") == "#31449b"]
    assert len(lines) == 2
    assert "░" in plot(curve, width=80).plain


def test_growth_beyond_tenfold_is_drawn_logarithmically_and_says_so() -> None:
    assert "(logarithmic)" in svg_file(curve_of(series_of(["0.5"] * 40)), "t")
    assert "(logarithmic)" not in svg_file(curve_of(series_of(["0.5"] * 5)), "t")
    assert "(logarithmic)" not in svg_file(curve_of(series_of(["50", "-1"])), "t")


def test_the_terminal_plot_has_the_right_shape() -> None:
    up = plot(curve_of(series_of(["0.01"] * 200)), width=60, height=6).plain.splitlines()
    assert up[0].startswith("    +632 %")
    assert up[5].startswith("    0.00 %")
    # It rises: the last cell of the first row has dots, and the first one has none.
    assert up[0][-1] != "\u2800" == up[0][11]
    assert up[5][11] != "\u2800" == up[5][-1]
    assert {len(line) for line in up[:6]} == {60}
    falls = up[7:10]
    assert all(set(line[11:]) <= {"\u2800", "⠉", "⠁", "⠈"} for line in falls)
