"""Any good value of each type of the wire contract, as hypothesis strategies."""

from hypothesis import strategies as st
from strongroom_wire.bundle import EMPTY_LOG, Bundle, LogHead, Role, RoleKeys
from strongroom_wire.errors import Code, Rule
from strongroom_wire.frames import (
    MAX_FRAME,
    ChannelOpen,
    ChannelOpened,
    Intent,
    Kind,
    OrderIntent,
    Reply,
)
from strongroom_wire.merkle import Frontier
from strongroom_wire.owners import Signature, Statement
from strongroom_wire.statements import Action, Budget, OwnerOrder, Permit

__all__ = [
    "BUNDLES",
    "INTENTS",
    "OPENED",
    "OPENINGS",
    "OWNER_ORDERS",
    "PERMITS",
    "REPLIES",
    "SHAPES",
    "STATEMENTS",
]

SHAPES: dict[Kind, tuple[set[int], set[int], set[int]]] = {
    # kind: orders it may carry, argument lengths that are fine, lengths that are not
    Kind.ORDERS: (set(range(1, 16)), {0, 64}, {1, 32, 63, 65, 128}),
    Kind.TEMPLATE: ({1}, {9, 1000, MAX_FRAME - 1}, {0, 8, MAX_FRAME}),
    Kind.CANCEL: ({0}, {32, 64, 32_000}, {0, 31, 33, 32_032}),
    Kind.CANCEL_ALL: ({0}, {0}, {1, 32}),
    Kind.CANCEL_MARKET: ({0}, {64}, {0, 32, 63, 65, 128}),
    Kind.HEARTBEAT: ({0}, {0, 36, 256}, {257}),
    Kind.QUERY_ORDER: ({0}, {32}, {0, 31, 33, 64}),
    Kind.QUERY_OPEN: ({0}, {0, 8, 256}, {257}),
    Kind.QUERY_TRADES: ({0}, {0, 8, 256}, {257}),
    Kind.READ_LOG: ({0}, {8}, {0, 7, 9, 16}),
    Kind.MODEL: ({0}, {96}, {0, 64, 95, 97}),
}

U8, U16, U32, U64 = (st.integers(0, 2**bits - 1) for bits in (8, 16, 32, 64))
B32, B64, B80 = (st.binary(min_size=size, max_size=size) for size in (32, 64, 80))
NAMES = st.text(st.characters(max_codepoint=127), max_size=40)
HEADS = st.builds(LogHead, U64, B32)

ROLES = st.lists(
    st.builds(RoleKeys, st.sampled_from(Role), B32, B32, HEADS),
    max_size=3,
    unique_by=lambda keys: keys.role,
).map(lambda found: tuple(sorted(found, key=lambda keys: keys.role)))
BUNDLES = st.builds(Bundle, B32, B32, B32, st.binary(max_size=600), ROLES, st.binary(max_size=64))


def _frontier(size: int) -> st.SearchStrategy[bytes]:
    count = size.bit_count()
    hashes = st.lists(B32, min_size=count, max_size=count).map(tuple)
    return hashes.map(lambda found: Frontier(size, found).serialise())


FRONTIERS = U64.flatmap(_frontier)
BUDGETS = st.lists(st.builds(Budget, NAMES, U64, U32), max_size=5, unique_by=lambda b: b.key)
ABANDONED = st.just(EMPTY_LOG) | st.builds(LogHead, st.integers(1, 2**64 - 1), B32)
SHARES = st.binary(max_size=100)
PERMITS = st.builds(
    Permit, B32, B32, B32, U32, U64, U64, FRONTIERS, ABANDONED, SHARES, BUDGETS.map(tuple),
    FRONTIERS, ABANDONED, B32,
)  # fmt: skip
BODIES = st.binary(max_size=200)
OWNER_ORDERS = st.builds(OwnerOrder, st.sampled_from(Action), B32, B32, NAMES, BODIES)

SIGNATURES = st.lists(st.builds(Signature, B32, B64), max_size=4).map(tuple)
STATEMENTS = st.builds(Statement, st.binary(min_size=1, max_size=300), SIGNATURES)

OPENINGS = st.builds(ChannelOpen, B32, B80, B64)
OPENED = st.builds(ChannelOpened, U64, B32, B64)

SIDES, TYPES, TICKS, FLAGS = (st.integers(0, most) for most in (1, 3, 5, 7))
TOKENS = st.integers(0, 2**256 - 1)
ORDERS = st.builds(OrderIntent, TOKENS, SIDES, TYPES, TICKS, FLAGS, U64, U64, U64, U64, U64)


def _intents(kind: Kind) -> st.SearchStrategy[Intent]:
    counts, sizes, _ = SHAPES[kind]
    orders = st.lists(ORDERS, min_size=min(counts), max_size=max(counts)).map(tuple)
    size = st.sampled_from(sorted(size for size in sizes if size < 2000))
    argument = size.flatmap(lambda size: st.binary(min_size=size, max_size=size))
    return st.builds(Intent, st.just(kind), U16, U64, U64, orders, argument)


INTENTS = st.sampled_from(Kind).flatmap(_intents)
REPLIES = st.builds(
    Reply,
    st.sampled_from(Code),
    U64,
    st.sampled_from(Rule),
    U8,
    U64,
    U64,
    st.lists(B32, max_size=15).map(tuple),
    st.binary(max_size=1200),
    st.binary(max_size=120),
    st.binary(max_size=300),
)
