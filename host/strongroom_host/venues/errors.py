"""What the local venues refuse: a request, in the venue's own words, or their own configuration."""

from __future__ import annotations

from collections.abc import Mapping

from strongroom_host.errors import BadInput, HostError

__all__ = ["ConfigError", "Refused"]


class ConfigError(BadInput):
    """The configuration given to the local venues makes no sense."""


class Refused(HostError):
    """An answer that is a refusal: what the client gets as status, body and headers.

    Venues do not explain themselves; `expected` and `actual` stay in the process, for tests.
    """

    def __init__(
        self,
        what: str,
        *,
        body: object,
        status: int = 400,
        headers: Mapping[str, str] | None = None,
        expected: object = None,
        actual: object = None,
    ) -> None:
        super().__init__(what, expected=expected, actual=actual)
        self.status, self.body, self.headers = status, body, dict(headers or {})
