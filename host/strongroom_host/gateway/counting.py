"""What the operator's Prometheus is told: counts and times by route, never who or about whom."""

import threading
from bisect import bisect_left
from collections import Counter, defaultdict
from typing import Final

__all__ = ["CONTENT_TYPE", "Counts"]

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_BOUNDS_MS: Final = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 10_000)


class Counts:
    """Requests by route, method and status, and how long they took. Labels are the interface's own
    words (a route's template, not its path), so that there are few and none is anybody's name."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests = Counter[tuple[str, str, int]]()
        self._refused = Counter[str]()
        self._times: dict[str, list[int]] = defaultdict(lambda: [0] * (len(_BOUNDS_MS) + 1))
        self._sums = Counter[str]()

    def request(self, route: str, method: str, status: int, took_ms: int) -> None:
        """Counts an answer."""
        with self._lock:
            self._requests[route, method if method in ("GET", "POST") else "other", status] += 1
            self._times[route][bisect_left(_BOUNDS_MS, took_ms)] += 1
            self._sums[route] += took_ms

    def refusal(self, code: str) -> None:
        """Counts a problem by its code."""
        with self._lock:
            self._refused[code] += 1

    def text(self, *, database_ready: bool, active_keys: int) -> str:
        """Returns everything in Prometheus' text format."""
        with self._lock:
            lines = ["# TYPE strongroom_gateway_requests_total counter"]
            lines += [
                f'strongroom_gateway_requests_total{{route="{route}",method="{method}",'
                f'status="{status}"}} {count}'
                for (route, method, status), count in sorted(self._requests.items())
            ]
            lines += ["# TYPE strongroom_gateway_refused_total counter"]
            lines += [
                f'strongroom_gateway_refused_total{{code="{code}"}} {count}'
                for code, count in sorted(self._refused.items())
            ]
            lines += ["# TYPE strongroom_gateway_request_seconds histogram"]
            for route, counts in sorted(self._times.items()):
                lines += self._histogram(route, counts)
        lines += [
            "# TYPE strongroom_gateway_database_ready gauge",
            f"strongroom_gateway_database_ready {int(database_ready)}",
            "# TYPE strongroom_gateway_keys_active gauge",
            f"strongroom_gateway_keys_active {active_keys}",
        ]
        return "\n".join(lines) + "\n"

    def _histogram(self, route: str, counts: list[int]) -> list[str]:
        name, lines, total = "strongroom_gateway_request_seconds", [], 0
        for bound, count in zip((*_BOUNDS_MS, None), counts, strict=True):
            total += count
            le = "+Inf" if bound is None else f"{bound / 1000:g}"
            lines.append(f'{name}_bucket{{route="{route}",le="{le}"}} {total}')
        lines.append(f'{name}_sum{{route="{route}"}} {self._sums[route] / 1000:g}')
        return [*lines, f'{name}_count{{route="{route}"}} {total}']
