"""Keys, events and states to keep."""

from decimal import Decimal

from hypothesis import strategies as st
from strongroom_enclave.datakeys import DataKey
from strongroom_enclave.record.connectors.rules import Cursor
from strongroom_enclave.record.events import Event, Flow, FlowKind, Kind, Market, Side, Trade
from strongroom_enclave.record.returns import Doubt, Flag
from strongroom_enclave.record.state import AccountState
from strongroom_wire.record import UNCHAINED, Credentials, SyncReceipt

__all__ = ["EVENTS", "KEY", "KEYS", "OTHER", "VENUE", "flow", "sealed", "state", "trade"]
__all__ += ["texts"]

VENUE = "binance"
KEY = DataKey("ada", b"k" * 32)
OTHER = DataKey("bob", b"o" * 32)
KEYS = {KEY.id: KEY}


def texts() -> st.SearchStrategy[str]:
    return st.text(min_size=1, max_size=12).filter(lambda text: not text.isspace())


def _decimals(low: int) -> st.SearchStrategy[Decimal]:
    return st.builds(
        lambda digits, places: Decimal(digits).scaleb(-places),
        st.integers(low, 10**29),
        st.integers(0, 30),
    )


_TIMES = st.integers(0, 2**53)
_TRADES = st.builds(
    Trade,
    _TIMES,
    texts(),
    texts(),
    st.sampled_from(Side),
    _decimals(1),
    _decimals(0),
    _decimals(-(10**29)),
    texts(),
)
_FLOWS = st.builds(
    Flow, _TIMES, texts(), texts(), _decimals(1), st.sampled_from(list(FlowKind)[2:])
)
EVENTS: dict[str, st.SearchStrategy[Event]] = {"trades": _TRADES, "cash_flows": _FLOWS}
"""Events of each table, by its name."""


def trade(number: int) -> Trade:
    price = Decimal("60000.10") + number
    return Trade(1000 + number, f"t{number}", "BTC/USDT", Side.BUY, Decimal("0.5"), price)


def flow(number: int) -> Flow:
    return Flow(1000 + number, f"f{number}", "USDT", Decimal(-1), FlowKind.FEE)


def state(account: str = "ada", number: int = 0, until_ms: int = 0) -> AccountState:
    tip = 0, UNCHAINED
    receipt = SyncReceipt(account, VENUE, "test", number, UNCHAINED, tip, tip, 0, until_ms, 0, 0)
    return AccountState(
        Credentials(account, VENUE, "the key", "the secret", ""),
        receipt,
        None,
        {"trades BTC/USDT": Cursor(5, 3, "k"), "deposits ": Cursor(1)},
        {"BTC/USDT": Market("BTC/USDT", "BTC", "USDT", "USDT", Kind.SPOT)},
        [Flow(0, "opening 0", "USDT", Decimal(5), FlowKind.OPENING), trade(1)],
        [Doubt(3, 7, Flag.GAP)],
        "the holder",
        {"trades": [(0, KEY.id)], "cash_flows": [(0, KEY.id)]},
    )


def sealed(account: str = "ada", number: int = 0) -> bytes:
    return state(account, number).seal(KEY)
