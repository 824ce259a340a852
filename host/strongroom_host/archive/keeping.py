"""Keeping an archive longer, and legal holds: changes of protection, each with an event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from strongroom_host.archive.contents import look
from strongroom_host.archive.errors import RetentionTooShort
from strongroom_host.archive.manifest import EVENT_FORMAT, Event
from strongroom_host.archive.store import DAY_MS, Protection, Store, day, to_second

__all__ = ["hold", "retain"]


def retain(store: Store, until_ms: int, *, now_ms: int, by: str, why: str) -> int:
    """Keeps every object of the archive until then, or longer where it is; returns how many gained.

    Raises:
        RetentionTooShort: the newest manifest is kept longer already; nothing was changed.
        AccessRefused: the store does not do it.
    """
    store.prepare(now_ms)
    contents, until_ms = look(store), to_second(until_ms)
    manifest = contents.required(store.place)
    newest = store.protection(manifest.key)
    if until_ms < newest.until_ms:
        raise RetentionTooShort(
            "the archive is kept longer already, and nothing shortens that",
            expected=f"{day(newest.until_ms)} or later",
            actual=day(until_ms),
            remedy="ask for a longer period, or leave it",
        )
    longer = 0
    for key in contents.objects:
        kept = store.protection(key)
        if kept.until_ms < until_ms or kept.mode != store.mode:
            wanted = Protection(store.mode, max(until_ms, kept.until_ms), kept.hold)
            store.protect(key, wanted)
            longer += 1
    event = Event(EVENT_FORMAT, now_ms, by, "retain", why, manifest.key, until_ms)
    store.put(event.key, event.serialise(), Protection(store.mode, until_ms, newest.hold))
    return longer


def hold(store: Store, *, on: bool, now_ms: int, by: str, why: str) -> int:
    """Puts a legal hold on every object of the archive, or lifts it; returns for how many.

    What is exported under a hold is held as well: the newest manifest says whether there is one.
    """
    store.prepare(now_ms)
    contents = look(store)
    manifest = contents.required(store.place)
    until, changed = store.protection(manifest.key).until_ms, 0
    # The newest manifest last when lifting, first when holding: cut short, the hold is still on.
    keys: Sequence[str] = sorted(contents.objects, key=lambda key: (key == manifest.key) != on)
    for key in keys:
        kept = store.protection(key)
        if kept.hold != on:
            store.protect(key, replace(kept, hold=on))
            changed += 1
    if changed:
        event = Event(
            EVENT_FORMAT, now_ms, by, "hold on" if on else "hold off", why, manifest.key, 0
        )
        store.put(
            event.key,
            event.serialise(),
            Protection(store.mode, max(until, to_second(now_ms + DAY_MS)), on),
        )
    return changed
