"""Disclosed returns as a person looks at them: a plot, the newest of them as rows, and a page."""

from pathlib import Path
from typing import Final

from rich import box
from rich.table import Table

from strongroom_host.charts.curve import curve_of
from strongroom_host.charts.page import Subject, page
from strongroom_host.charts.picture import png
from strongroom_host.charts.terminal import listed, plot
from strongroom_host.demo.story import Story
from strongroom_host.metrics.measures import measure
from strongroom_host.metrics.sampling import Convention
from strongroom_host.metrics.series import Series
from strongroom_host.private_files import write_atomic

__all__ = ["show_plot", "show_rows", "write_charts"]

_COLUMNS: Final = ("from (UTC)", "length", "return", "so far", "equity", "flags")
"""Those of `listed`, in fewer words."""
_HEIGHT: Final = 8
_WIDEST: Final = 100


def show_plot(story: Story, series: Series) -> None:
    """Draws growth and drawdowns, as wide as the story is; not where dots cannot be shown."""
    if story.plain:
        story.note("this terminal shows ASCII only: the plot is in the page below")
        return
    story.show(plot(curve_of(series), width=min(story.width, _WIDEST), height=_HEIGHT))


def show_rows(story: Story, series: Series, count: int) -> None:
    """Lists the newest `count` periods, and says of how many."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in _COLUMNS:
        right = column in ("return", "so far", "equity")
        table.add_column(column, justify="right" if right else "left", no_wrap=True)
    for row in listed(series, count):
        table.add_row(*row)
    story.show(table)
    shown = min(count, len(series.periods))
    story.note(f"the newest {shown} of {len(series.periods)} periods, {series.hours} hours in all")


def write_charts(folder: Path, account: str, title: str, series: Series) -> tuple[Path, Path]:
    """Writes a page with metrics, and a picture; returns where they are."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    hourly = all(period.hours == 1 for period in series.periods)
    metrics = measure(series, Convention.HOURS if hourly else Convention.DAYS)
    written = folder / f"{account}.html", folder / f"{account}.png"
    write_atomic(written[0], page(Subject(title, series, metrics)).encode())
    write_atomic(written[1], png(curve_of(series), title))
    return written
