"""The picture: a PNG that others read, with the lines where they have to be and gaps left out."""

import struct
import zlib
from pathlib import Path

from strongroom_host.charts.curve import curve_of
from strongroom_host.charts.letters import ADVANCE, HEIGHT, dots
from strongroom_host.charts.picture import png
from strongroom_host.metrics.files import to_csv

from tests.e2e.commands import run
from tests.host.metrics.made import series_of

WIDTH, HEIGHT_PX, LEFT, RIGHT, TOP, BOTTOM = 1600, 900, 150, 30, 90, 590
INK, LINE, FALL, BELOW, HATCH = 1, 4, 5, 6, 7
VALUES: list[str | None] = [*["0.01"] * 10, *[None] * 10, *["-0.01"] * 20]


def pixels(data: bytes) -> list[bytes]:
    """The rows of an indexed picture, read chunk by chunk."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, kinds, packed = 8, [], b""
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        content = data[at + 8 : at + 8 + size]
        (check,) = struct.unpack(">I", data[at + 8 + size : at + 12 + size])
        assert check == zlib.crc32(kind + content)
        kinds.append(kind)
        if kind == b"IHDR":
            assert struct.unpack(">IIBBBBB", content) == (WIDTH, HEIGHT_PX, 8, 3, 0, 0, 0)
        if kind == b"PLTE":
            assert len(content) == 24
        if kind == b"IDAT":
            packed += content
        at += 12 + size
    assert kinds == [b"IHDR", b"PLTE", b"IDAT", b"IEND"]
    raw = zlib.decompress(packed)
    rows = [raw[start : start + WIDTH + 1] for start in range(0, len(raw), WIDTH + 1)]
    assert len(rows) == HEIGHT_PX
    assert {row[0] for row in rows} == {0}, "no filter"
    return [row[1:] for row in rows]


def column(
    rows: list[bytes], x: int, colour: int, top: int = TOP, bottom: int = BOTTOM
) -> list[int]:
    return [y for y in range(top, bottom + 2) if rows[y][x] == colour]


def test_the_line_is_where_the_level_is_and_nowhere_in_a_gap() -> None:
    rows = pixels(png(curve_of(series_of(VALUES)), "test"))
    width = WIDTH - LEFT - RIGHT - 1
    start, peak, end = LEFT, LEFT + width // 4, LEFT + width
    assert column(rows, start, LINE)[-1] > column(rows, start + 60, LINE)[-1], "it goes up"
    assert min(column(rows, peak, LINE)) <= TOP + 2, "the highest level is the top"
    assert max(column(rows, end, LINE)) >= BOTTOM - 2, "the lowest is the bottom"
    inside = range(peak + 8, LEFT + width // 2 - 8)
    assert not any(column(rows, x, LINE) for x in inside)
    assert not any(column(rows, x, FALL, 660, 820) for x in inside)
    assert all(column(rows, x, HATCH) for x in inside)
    assert all(column(rows, x, LINE) for x in range(LEFT + width // 2 + 4, end))


def test_a_gap_of_an_hour_among_a_year_is_seen() -> None:
    values: list[str | None] = ["0.0001"] * 8760
    assert not any(HATCH in row[LEFT:] for row in pixels(png(curve_of(series_of(values)), "")))
    values[4000] = None
    rows = pixels(png(curve_of(series_of(values)), ""))
    hatched = {x for x in range(LEFT, WIDTH) for y in range(TOP, BOTTOM) if rows[y][x] == HATCH}
    assert len(hatched) == 4


def test_falls_are_filled_and_flat_series_have_a_line() -> None:
    rows = pixels(png(curve_of(series_of(VALUES)), "test"))
    assert any(BELOW in row for row in rows)
    flat = pixels(png(curve_of(series_of(["0"] * 5)), "flat"))
    assert any(LINE in row for row in flat)
    nothing = pixels(png(curve_of(series_of([None] * 5)), "nothing"))
    assert not any(LINE in row or FALL in row for row in nothing)


def test_nothing_of_a_title_is_more_than_dots() -> None:
    curve = curve_of(series_of(VALUES))
    hostile = png(curve, "\x1b[2J<script>" + "w" * 5000)
    assert b"script" not in hostile
    assert INK in pixels(hostile)[30]
    assert png(curve, "same") == png(curve, "same")


def test_letters_stay_in_their_boxes_and_differ() -> None:
    letters = "0123456789+-.,:%/()" + "".join(
        chr(c) for a in "Aa" for c in range(ord(a), ord(a) + 26)
    )
    shapes = [tuple(dots(letter)) for letter in letters]
    assert len(set(shapes)) == len(letters)
    assert all(0 <= x < ADVANCE - 1 and 0 <= y < HEIGHT for shape in shapes for x, y in shape)
    assert dots(" ") == []
    assert dots("\x1b") == dots("é") != []


def test_the_command_writes_one(tmp_path: Path) -> None:
    (tmp_path / "returns.csv").write_text(to_csv(series_of(VALUES)))
    done = run("record", "chart", "returns.csv", "--out", "returns.png", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(pixels((tmp_path / "returns.png").read_bytes())) == HEIGHT_PX
