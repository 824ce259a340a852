"""A Debian mirror that behaves, or misbehaves, as a test asks."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

__all__ = ["Mirror", "serving"]


class Mirror:
    """What a server has and how it answers.

    Attributes:
        files: Content by path.
        status: Answered instead of 200, by path.
        declared: Content-Length that is claimed instead of the right one; None leaves it out.
        failures: Connections to drop before the first that is answered.
        asked: Paths that were asked for.
        url: Root.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.status: dict[str, int] = {}
        self.declared: dict[str, int | None] = {}
        self.failures = 0
        self.asked: list[str] = []
        self.url = ""


@contextmanager
def serving() -> Iterator[Mirror]:
    """Gives a mirror that listens on this machine."""
    mirror = Mirror()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.lstrip("/")
            mirror.asked.append(path)
            if mirror.failures:
                mirror.failures -= 1
                self.close_connection = True
                return
            status = mirror.status.get(path, 200 if path in mirror.files else 404)
            data = mirror.files.get(path, b"") if status == 200 else b""
            self.send_response(status)
            declared = mirror.declared.get(path, len(data))
            if declared is not None:
                self.send_header("Content-Length", str(declared))
            self.end_headers()
            # Whoever asked may have read enough.
            with suppress(ConnectionError):
                self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002 - its name there

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    mirror.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield mirror
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
