"""The record's side of the store port, written out a second time."""

from io import BufferedRWPair

from strongroom_wire.encoding import pack, u32, u64, uint, unpack

__all__ = [
    "ASK",
    "CONFLICT",
    "DONE",
    "GAP",
    "LOST",
    "MALFORMED",
    "REFUSED",
    "TOLD",
    "UNAVAILABLE",
    "UNFIT",
    "UNKNOWN",
    "Record",
]

ASK, TOLD = b"strongroom/store/ask/v2", b"strongroom/store/told/v2"
DONE, CONFLICT, GAP, UNKNOWN, UNAVAILABLE, REFUSED, MALFORMED, LOST, UNFIT = range(9)


class Record:
    """A connection of the record process."""

    def __init__(self, stream: BufferedRWPair) -> None:
        self.stream = stream

    def ask(self, verb: bytes, *fields: bytes) -> tuple[int, list[bytes]]:
        self.send(verb, *fields)
        return self.answer()

    def send(self, verb: bytes, *fields: bytes) -> None:
        request = pack(ASK, verb, *fields)
        self.stream.write(u32(len(request)) + request)
        self.stream.flush()

    def answer(self) -> tuple[int, list[bytes]]:
        outcome, *found = unpack(
            TOLD, self.stream.read(uint(self.stream.read(4), 4)), limit=64 << 20
        )
        return outcome[0], found

    def done(self, verb: bytes, *fields: bytes) -> list[bytes]:
        outcome, found = self.ask(verb, *fields)
        assert outcome == DONE, outcome
        return found

    def job(self, *accounts: bytes) -> list[bytes]:
        outcome, found = self.ask(b"job", *accounts)
        assert outcome == DONE
        return found

    def ended(self, account: bytes, code: int = 0, reason: int = 0) -> int:
        return self.ask(b"ended", account, u64(code), u64(reason))[0]
