"""IBKR's Flex service in the place of a client of ccxt: what its statements tell, as rows.

A statement is ordered, made, and fetched. The owner's query has to break it out by day, so that
each day says what was held at its end and at what price. It tells days that are over, and no more.
"""

import pyexpat as expat  # xml.parsers, in which it is, is not in the image
from contextlib import suppress
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any, Final

from ccxt.base import errors as said
from ccxt.base.exchange import Exchange

Row = dict[str, str]
Rows = dict[str, list[Row]]
_URL: Final = "https://{}.interactivebrokers.com/AccountManagement/FlexWebService/{}?t={}&q={}&v=3"
_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001  no zone: days and clocks of New York
_HOUR_MS: Final = 3_600_000
_PATIENCE, _PAUSE_S = 60, 5


def rows(body: bytes) -> Rows:
    """Returns the attributes of all elements by name, with what is written in them as `text`.

    Raises:
        ValueError: it is no XML, or declares a document type: then it could have entities.
    """
    found, inside, parser = Rows(), list[Row](), expat.ParserCreate()

    def begins(name: str, attributes: Row) -> None:
        found.setdefault(name, []).append(attributes)
        inside.append(attributes)

    def written(text: str) -> None:
        inside[-1]["text"] = inside[-1].get("text", "") + text

    def declared(*_: object) -> None:
        raise ValueError("a document type")

    parser.StartElementHandler, parser.EndElementHandler = begins, lambda _: inside.pop()
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = written, declared
    try:
        parser.Parse(body, True)
    except (expat.ExpatError, LookupError) as error:
        raise ValueError("no XML") from error
    return found


def utc_ms(row: Row, close: str = "") -> int:
    """Returns when a row was, in ms since the epoch; a day is when that began, or closed.

    Summer in New York is from the second Sunday of March to the first of November, since 2007.
    """
    dates = ("dateTime", "tradeDate", "date", "reportDate", "toDate")
    when = next(row[name] for name in dates if row.get(name)) + row.get("tradeTime", close)
    digits = "".join(filter(str.isdigit, when))[:14].ljust(14, "0")
    local = datetime.strptime(digits, "%Y%m%d%H%M%S")  # noqa: DTZ007  as above
    march, november = datetime(local.year, 3, 8, 2), datetime(local.year, 11, 1, 2)  # noqa: DTZ001
    begins, ends = (day + timedelta(6 - day.weekday()) for day in (march, november))
    behind = 4 if begins <= local < ends else 5
    return (local - _EPOCH) // timedelta(milliseconds=1) + behind * _HOUR_MS


class ibkr(Exchange):  # type: ignore[misc]  # noqa: N801  ccxt has no types, and such names
    """A client whose key is the token, and whose secret is the query's number. It lists no markets:
    they are met where they are traded in."""

    def __init__(self, config: Any = None) -> None:
        super().__init__({**(config or {}), "id": "ibkr", "rateLimit": 1000, "markets": {}})
        self._told = dict[str, Rows]()

    def fetch_time(self) -> int:
        """Returns the end of the newest day that is told of."""
        return utc_ms(self.statement()["FlexStatement"][-1], "235959") + 999

    def between(self, given: dict[str, int]) -> Rows:
        """Returns all rows of times from `since` to `until`, in ms, in order; asked for by years,
        so that nothing is asked for twice."""
        end, found = self.statement()["FlexStatement"][-1]["toDate"].replace("-", ""), Rows()
        first, last = (timedelta(0, 0, 0, given[name]) + _EPOCH for name in ("since", "until"))
        for year in range((first - timedelta(1)).year, min(last.year, int(end[:4])) + 1):
            span = f"&fd={year}0101&td={min(f'{year}1231', end)}"
            for name, every in self.statement(span).items():
                found.setdefault(name, []).extend(every)
        there = range(given["since"], given["until"] + 1)
        for name, every in found.items():
            mine = [row for row in every if int(row["time"]) in there]
            found[name] = sorted(mine, key=itemgetter("time"))  # of as many digits, all of them
        return found

    def fetch_ohlcv(self, symbol: str, interval: str, since: int, *given: Any) -> list[object]:
        """Returns candles of which only the close is known: what the account paid last in their
        time, and what the service says that a share was worth when exchanges closed."""
        told = self.between({"since": since + 1, "until": given[1]["until"] + 1})
        step, closes = 60_000 if interval == "1m" else _HOUR_MS, dict[int, str]()
        for name, price in (("Trade", "tradePrice"), ("OpenPosition", "markPrice")):
            for row in told.get(name, []):
                if row["market"] == symbol:
                    closes[(int(row["time"]) - 1) // step * step] = row[price]
        return [[opened, "", "", "", price] for opened, price in closes.items()]

    def handle_errors(self, *given: Any) -> None:
        """Raises what the service says in the place of a statement, as ccxt's errors; any code
        that is not listed says that it is being made, or that the service is busy."""
        for row in (given[6] or {}).get("ErrorCode", []):
            kinds = [kind for kind, codes in self.options["errors"].items() if row["text"] in codes]
            raise getattr(said, kinds[0] if kinds else "ExchangeNotAvailable")("flex")

    def statement(self, span: Any = "") -> Rows:
        """Returns the statement of the newest day; or of a span, as it is asked for."""
        if (span := span or "") not in self._told:
            self.throttle(1)
            order = self._asked("ndcdyn", "SendRequest", self.secret + span)["ReferenceCode"][0]
            for _ in range(_PATIENCE):
                self.throttle(_PAUSE_S)
                with suppress(said.ExchangeNotAvailable):
                    # Not from where the answer says: the token would go there.
                    made = self._asked("gdcdyn", "GetStatement", order["text"])
                    self._told[span] = self._checked(made)
                    break
            else:
                raise said.RequestTimeout("flex")
        return self._told[span]

    def _asked(self, host: str, what: str, query: str) -> Any:
        url = _URL.format(host, what, self.apiKey, query)
        return self.fetch(url, "GET", {"User-Agent": "strongroom"})

    def _checked(self, found: Rows) -> Rows:
        """Returns what counts of a statement's rows, once it is of one account, by the day, each
        once, and has all parts; with their `time`, and what is traded or held by its names."""
        days = found.get("FlexStatement", [])
        told = [day["toDate"] for day in days if day["fromDate"] == day["toDate"]]
        whole = len(told) == len(days) and told == sorted({*told})
        lost = {*self.options["parts"]} - found.keys() if days else "FlexStatements" not in found
        those = [*days, *(day for one in self._told.values() for day in one["FlexStatement"])]
        if lost or not whole or len({day["accountId"] for day in those}) > 1:
            raise said.BadResponse("flex")
        kept = Rows()
        for name, *levels in self.options["parts"].values():
            counted = (row for row in found.get(name, []) if row.get("levelOfDetail", "") in levels)
            kept[name] = [row for row in counted if row.get("currency") != "BASE_SUMMARY"]
            for row in kept[name]:
                symbol, kind = row.get("symbol", ""), row.get("assetCategory", "")
                pair = symbol.replace(".", "/") if kind == "CASH" else ""
                row["asset"], row["size"] = f"{symbol} {kind}", row.get("quantity", "").strip("-")
                row["market"] = f"{symbol} STK/{row['currency']}" if kind == "STK" else pair
                # What is held is priced when exchanges in New York close.
                row["time"] = str(utc_ms(row, "160000" if name == "OpenPosition" else ""))
        return kept
