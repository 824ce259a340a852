"""An enclave that is gone is told with its console's last words."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from strongroom_host.enclave_client.errors import ChannelClosed, Halted, Unreachable
from strongroom_host.runners.console import explain, quoted, tail
from strongroom_host.runners.errors import EnclaveHalted

__all__ = ["explained"]


@contextmanager
def explained(console: Path) -> Iterator[None]:
    """Puts the enclave's last words to a failure that only says that it is gone."""
    try:
        yield
    except (Halted, Unreachable, ChannelClosed) as error:
        lines = tail(console)
        raise EnclaveHalted(
            f"the enclave gave up: {error.what}",
            expected="a running enclave",
            actual=quoted("its console", lines),
            remedy=explain(lines) or "`strongroom host doctor` looks at this machine",
        ) from error
