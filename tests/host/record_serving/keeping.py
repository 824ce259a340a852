"""A host that keeps a record's log, with its database, from the operator's chair."""

from dataclasses import dataclass, field
from pathlib import Path

from strongroom_host.errors import EnvironmentFault
from strongroom_host.log.keeper import Source
from strongroom_host.log.stored import StoredLog
from strongroom_host.record_serving.kept_log import KeptLog
from strongroom_host.record_store.connecting import Connection
from strongroom_host.record_store.leaves import get_leaves

from tests.host.record_serving.pages import RECORD_ORIGIN, source_of

__all__ = ["Host"]


@dataclass
class Host:
    """A host that keeps the log, and what it said to its operator."""

    folder: Path
    connection: Connection
    boot: int = 1
    down: bool = False
    said: list[str] = field(default_factory=list)
    asked: int = 0

    def vouched(self) -> Source:
        self.asked += 1
        if self.down:
            raise EnvironmentFault("the enclave does not answer")
        return source_of(self.boot)

    def start(self) -> KeptLog:
        return KeptLog(self.folder, RECORD_ORIGIN, self.vouched, self.said.append)

    def stored(self) -> list[bytes]:
        log = StoredLog(self.folder)
        return list(log.reader().entries()) if log.size else []

    def rows(self) -> list[bytes]:
        return get_leaves(self.connection, RECORD_ORIGIN, 0, 1000)
