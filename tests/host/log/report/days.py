"""A log of a few boots in which about everything happens that a report has to tell."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec
from strongroom_host.log.report.people import People
from strongroom_host.log.report.reading import read
from strongroom_host.log.report.record import ALWAYS, BootFacts, Decision, Period, Record
from strongroom_wire.errors import Code, Rule
from strongroom_wire.frames import Reply
from strongroom_wire.leaves import Decision as DecisionRecord
from strongroom_wire.leaves import Kind, ModelDecision
from strongroom_wire.manifest import verify_manifest
from strongroom_wire.merkle import Frontier
from strongroom_wire.owners import Statement
from strongroom_wire.statements import Action, Budget

from tests.host.log.boots_made import Kept, Running, manifest
from tests.wire.samples import byte, public

__all__ = ["MODEL", "OTHER", "PEOPLE", "Day", "a_day", "people_file"]

MODEL, OTHER = byte(0xAA), byte(0xBB)


@dataclass
class Day:
    """A log that grows as an enclave's would: counters go on, replies carry what was told."""

    kept: Kept = field(default_factory=Kept)
    counters: dict[str, tuple[int, int]] = field(default_factory=dict)

    def boot(self, version: int = 7, **permit: object) -> Day:
        """Start a boot that continues the log under a permit."""
        running = Running(manifest(version))
        tree = Frontier(self.kept.tree.size, self.kept.tree.hashes)
        self.kept.start(running, running.permit(tree, **permit))
        self.counters = {}
        return self

    def decide(
        self,
        orders: int = 1,
        *,
        pusd: int = 5,
        rule: Rule = Rule.NONE,
        code: Code | None = None,
        context: bytes = b"",
        key: str = "main",
        client: str = "strategy",
        grown: tuple[int, int] | None = None,
        figures: tuple[int, int] = (0, 0),
    ) -> int:
        """Sign `orders` (0: a cancel) or refuse; return the leaf."""
        at = self.kept.tree.size
        code = code or (Code.DENIED if rule else Code.OK)
        approved = code is Code.OK
        if grown is None:
            grown = (pusd * 1_000_000 * bool(orders), orders) if approved else (0, 0)
        before = self.counters.get(key, (0, 0))
        self.counters[key] = before[0] + grown[0], before[1] + grown[1]
        hashes = tuple(byte((at + n) % 256) for n in range(orders)) if approved else ()
        reply = Reply(code, at, rule, 0, *figures, hashes)
        sent = byte(0x77) if approved else bytes(32)
        total = self.counters[key]
        record = DecisionRecord(key, client, byte(0x55), sent, *total, context, reply)
        kind, open_to_all = (Kind.SIGNED, b"") if approved else (Kind.DENIED, bytes([rule]))
        self.kept.add(kind, record.serialise(), open_to_all)
        return at

    def model(self, inputs: int, model: bytes = MODEL, client: str = "strategy") -> bytes:
        """Hand in a decision; return the context that its orders name."""
        record = ModelDecision(client, model, byte(inputs), byte(inputs ^ 0xFF))
        self.kept.add(Kind.MODEL, record.serialise())
        return model + byte(inputs)

    def stop(self, key: str = "", owner: int = 2) -> int:
        """Throw the kill switch; return the leaf."""
        at, order = self.kept.tree.size, self.kept.boot.order(Action.KILL, key, (owner,))
        self.kept.add(Kind.KILL, order.serialise())
        return at

    def event(self, action: Action, key: str = "main") -> Day:
        """An owner order about a key."""
        order = self.kept.boot.order(action, key)
        self.kept.add(Kind.KEY, order.serialise(), bytes([action]))
        return self

    def facts(self, image: str = "release 1.2.0") -> dict[bytes, BootFacts]:
        """What is known of the boots beside their leaves."""
        return {
            boot_id: BootFacts(verify_manifest(Statement.parse(boot.manifest)), image)
            for boot_id, boot in self.kept.boots.items()
        }

    def read(self, period: Period = ALWAYS) -> tuple[Record, tuple[Decision, ...]]:
        """Read it with all that there is."""
        kept = self.kept.sign()
        return read(kept.entries, kept.openings.get, self.facts(), period)


def a_day() -> Day:
    """Return a log of two boots: models, orders, denials, cancels, a stop that is tried."""
    day = Day().boot(7)
    day.event(Action.GENERATE).event(Action.ENROLL_DERIVE)
    first = day.model(1)
    day.decide(2, pusd=7, context=first)
    day.model(2)
    second = day.model(3, OTHER)
    day.decide(1, pusd=3, context=second)
    day.decide(rule=Rule.ORDER_NOTIONAL, figures=(250_000_000, 600_000_000), context=second)
    day.decide(1, pusd=1)
    day.decide(0)
    day.decide(code=Code.EXPIRED)
    day.stop("second", owner=1)
    day.stop(owner=2)
    day.decide(rule=Rule.KILL_SWITCH, figures=(0, 1), context=first)
    day.decide(0)
    day.boot(8, budgets=(Budget("main", 100_000_000, 10), Budget("session", 1, 1)))
    day.decide(1, pusd=4, context=day.model(4))
    return day


def people_file() -> bytes:
    """Return names of two of the three owners, of the client and of one model."""
    return msgspec.json.encode(
        {
            "format": "strongroom-people/1",
            "owners": [
                {"key": public(1).hex(), "name": "Ada Holder", "role": "head of trading"},
                {
                    "key": public(2).hex(),
                    "name": "=cmd|' /C calc'!A0",
                    "role": "<script>x</script>",
                },
            ],
            "clients": [{"client": "strategy", "name": "Bo Operator", "role": "runs the bot"}],
            "models": [{"digest": MODEL.hex(), "name": "momentum 3.1", "role": "quotes"}],
        }
    )


PEOPLE = People.parse(people_file())
