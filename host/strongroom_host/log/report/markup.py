"""HTML put together so that text cannot become markup: strings are escaped, `Html` is not.

What is rendered comes from a log, a manifest and a file of names, so any of it may try to be a
script. The page carries none itself, and a content security policy that would let none run.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from hashlib import sha256
from html import escape
from typing import Final

__all__ = ["Child", "Html", "document", "joined", "tag"]

_EMPTY: Final = frozenset({"br", "hr", "meta", "col"})


class Html(str):
    """Markup that was made here, and is not escaped again."""

    __slots__ = ()


Child = str | Html | None
"""Text, markup, or nothing."""


def tag(name: str, *children: Child, **attributes: str | None) -> Html:
    """Returns an element; attributes are named as in HTML, `class_` and `for_` with an underscore,
    and left out where they are None."""
    given = ((key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items())
    shown = "".join(f' {key}="{_visible(value)}"' for key, value in given if value is not None)
    if name in _EMPTY:
        return Html(f"<{name}{shown}>")
    return Html(f"<{name}{shown}>{joined(children)}</{name}>")


def joined(children: Iterable[Child]) -> Html:
    """Returns several children as one."""
    parts = (each if isinstance(each, Html) else _visible(each or "") for each in children)
    return Html("".join(parts))


def document(title: str, style: str, *body: Child) -> Html:
    """Returns a whole page: one file, which loads nothing and in which nothing runs."""
    digest = b64encode(sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name_="referrer", content="no-referrer"),
        tag("title", title),
        Html(f"<style>{style}</style>"),
    )
    page = tag("html", head, "\n", tag("body", *body), lang="en")
    return Html(f"<!doctype html>\n{page}\n")


def _visible(text: str) -> str:
    """Escapes markup, and shows what a browser would not: control and direction characters, with
    which a name could make the text around it read otherwise."""
    shown = (c if c.isprintable() or c == "\n" else f"\\u{ord(c):04x}" for c in text)
    return escape("".join(shown), quote=True)
