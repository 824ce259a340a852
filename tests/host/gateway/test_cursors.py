"""Cursors: opaque, for one listing, and pages that add up to the whole."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strongroom_host.gateway.cursors import MAX_CURSOR, Cursors
from strongroom_host.gateway.errors import CursorRefused

from tests.host.gateway.world import HOURS, World, hour_ms

CURSORS = Cursors(b"k" * 32)
LISTING = st.lists(st.text(max_size=8), max_size=4).map(tuple)
POSITION = st.text(max_size=64)


@given(LISTING, POSITION)
def test_what_was_written_is_read(listing: tuple[str, ...], position: str) -> None:
    text = CURSORS.write(listing, position)
    assert CURSORS.read(listing, text) == position
    assert len(text) <= MAX_CURSOR
    assert text.replace("-", "a").replace("_", "a").isalnum()


@given(LISTING, LISTING, POSITION)
def test_a_cursor_is_of_one_listing(
    one: tuple[str, ...], other: tuple[str, ...], position: str
) -> None:
    if one != other:
        with pytest.raises(CursorRefused):
            CURSORS.read(other, CURSORS.write(one, position))


@given(LISTING, POSITION, st.data())
def test_a_changed_cursor_is_none(
    listing: tuple[str, ...], position: str, data: st.DataObject
) -> None:
    text = CURSORS.write(listing, position)
    at = data.draw(st.integers(0, len(text) - 1))
    letter = data.draw(st.characters(max_codepoint=0x17F).filter(lambda c: c != text[at]))
    for changed in (text[:at] + letter + text[at + 1 :], text[:at], text + letter, text + "="):
        with pytest.raises(CursorRefused):
            CURSORS.read(listing, changed)


@given(st.text(max_size=60))
def test_no_text_is_anything_but_refused(text: str) -> None:
    with pytest.raises(CursorRefused):
        CURSORS.read(("returns",), text)


def test_another_gateways_cursor_is_none() -> None:
    with pytest.raises(CursorRefused):
        CURSORS.read(("a",), Cursors(b"l" * 32).write(("a",), "1"))


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    sizes=st.lists(st.integers(1, 25), min_size=1, max_size=70),
    what=st.sampled_from(["returns", "balances"]),
    first=st.integers(0, HOURS),
    last=st.integers(0, HOURS),
)
def test_pages_of_any_size_are_the_whole_once(
    world: World, sizes: list[int], what: str, first: int, last: int
) -> None:
    key, _ = world.key()
    path = f"/v1/accounts/ada-spot/{what}?from_ms={hour_ms(first)}&until_ms={hour_ms(last)}"
    whole = world.get(f"{path}&limit=1000", key).json()[what]
    rows: list[object] = []
    cursor = ""
    for size in [*sizes, *[1000] * 2]:
        page = world.get(f"{path}&limit={size}{cursor}", key)
        rows += page.json()[what]
        following = page.json()["next"]
        assert ('rel="next"' in page.headers["link"]) == (following is not None)
        if following is None:
            break
        assert len(page.json()[what]) == size
        cursor = f"&cursor={following}"
    assert rows == whole


def test_accounts_are_paged_by_name(world: World) -> None:
    key, _ = world.key()
    first = world.get("/v1/accounts?limit=1", key).json()
    second = world.get(f"/v1/accounts?limit=1&cursor={first['next']}", key).json()
    assert [row["account"] for row in (*first["accounts"], *second["accounts"])] == [
        "ada-spot",
        "bob-perp",
    ]
    assert second["next"] is None


def test_a_cursor_gives_nobody_what_the_key_does_not(world: World) -> None:
    everything, _ = world.key()
    ada, _ = world.key(users=("ada",))
    path = "/v1/accounts/bob-perp/returns?limit=1"
    cursor = world.get(path, everything).json()["next"]
    assert world.get(f"{path}&cursor={cursor}", everything).status_code == 200
    assert world.get(f"{path}&cursor={cursor}", ada).status_code == 404
    mixed = world.get(f"/v1/accounts/ada-spot/returns?limit=1&cursor={cursor}", everything)
    assert (mixed.status_code, mixed.json()["code"]) == (400, "cursor-refused")
