"""What each numeric code and policy rule means to a person: one table, used by every message.

Only numbers leave the enclave, because text would be a channel for secrets; this is where they get
their words. The README's troubleshooting section is generated from here.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from strongroom_wire.errors import Code, Rule

__all__ = ["CODES", "RULES", "Explanation", "figures", "markdown_table", "rows"]

_TABLE: Final = (
    "| code | what was wrong | what is expected | what to do |",
    "| - | - | - | - |",
)


@dataclass(frozen=True, slots=True)
class Explanation:
    """What was wrong, what was expected, and what to do. `unit` is that of a denial's figures."""

    wrong: str
    expected: str
    remedy: str
    unit: str = ""


CODES: Final[dict[Code, Explanation]] = {
    Code.OK: Explanation("nothing", "-", "nothing"),
    Code.MALFORMED: Explanation(
        "the request does not have the documented layout",
        "the encodings of strongroom_wire, of this version",
        "use the same release on both sides; if it is, report it with the request",
    ),
    Code.TOO_LARGE: Explanation(
        "a size limit was exceeded before anything was read",
        "manifests up to 256 KiB, frames up to 128 KiB, statements up to 1 MiB",
        "send less at once: fewer markets in a manifest, fewer orders in a batch",
    ),
    Code.UNKNOWN_REQUEST: Explanation(
        "the enclave does not know this kind of request",
        "a request of this version's contract",
        "compare the releases of client and enclave",
    ),
    Code.CALL_NOT_PERMITTED: Explanation(
        "the manifest does not let this client make this call",
        "a client whose `calls` name it: `owner` for permits and provisioning, `order` to trade,"
        " `log` to read the log",
        "use that client's identity, or give this one the call in the next manifest version",
    ),
    Code.WRONG_PHASE: Explanation(
        "the boot is not in a phase that serves this request",
        "load a manifest once per boot; permits and keys after that; enrolment, export and restore"
        " after the first permit",
        "look at `strongroom enclave status`; a second manifest needs a new boot",
    ),
    Code.EXPIRED: Explanation(
        "the deadline had passed when the enclave looked at the intent",
        "a deadline after the enclave's authenticated time",
        "check this machine's clock, and allow more time between decision and signature",
    ),
    Code.BAD_SEQUENCE: Explanation(
        "a frame was replayed, reordered or lost",
        "each frame of a channel exactly once, in order",
        "open another channel; if it happens again, somebody on the way interferes",
    ),
    Code.UNKNOWN_CHANNEL: Explanation(
        "the enclave has no such channel any more",
        "a channel opened in this boot and not yet displaced or closed",
        "open another channel",
    ),
    Code.UNKNOWN_CLIENT: Explanation(
        "the frame key is not one of the manifest's clients",
        "the identity whose card.json is in the manifest in force",
        "use that identity folder, or add this card in the next manifest version",
    ),
    Code.UNKNOWN_KEY: Explanation(
        "there is no such trading key, or it has no secret yet in this boot",
        "a key named in the manifest, generated, imported or restored since the start",
        "run `strongroom provision generate KEY` (or `import`), or correct the name",
    ),
    Code.NO_CREDENTIAL: Explanation(
        "the key has no API credential in this boot",
        "an enrolled key",
        "run `strongroom provision enroll KEY`",
    ),
    Code.BAD_AMOUNT: Explanation(
        "price or size do not fit the market's tick and lot, or the amounts come out as zero",
        "a price on the tick, between one tick and 1 minus one tick, and at least 0.01 shares",
        "round price and size as the market demands, and check --tick",
    ),
    Code.TEMPLATE_MISMATCH: Explanation(
        "outside its holes the template is not what the enclave itself would have written",
        "the bytes of the enclave's own serialisation of the approved order",
        "build templates from a request the enclave returned for the same kind of order",
    ),
    Code.BUSY: Explanation(
        "the enclave has as much of this in hand as it takes at once, often leaves of its log that"
        " nobody reads",
        "a log that is kept (`strongroom log keep`), and one enrolment at a time",
        "start the keeper, or pull the log (`strongroom log pull`), then try again",
    ),
    Code.MANIFEST_INVALID: Explanation(
        "the manifest breaks its schema, is not canonical, or names hosts that the image forbids",
        "a manifest that `strongroom manifest lint` finds no error in",
        "run `strongroom manifest lint --fix FILE`, then have the owners sign the result",
    ),
    Code.BAD_SIGNATURE: Explanation(
        "a signature or a sealed message does not verify",
        "bytes exactly as they were signed, sealed to this boot",
        "sign or seal again for the current evidence; do not edit a signed file",
    ),
    Code.QUORUM_MISSING: Explanation(
        "too few owners signed",
        "distinct signatures of as many owners as the manifest's quorum",
        "have the others sign the file too (`manifest sign`, `permit sign`, `provision sign`)",
    ),
    Code.WRONG_BOOT: Explanation(
        "the document is for another boot: the enclave was restarted, or there are two",
        "a permit or order made from the current evidence",
        "verify the enclave again and draft a new one",
    ),
    Code.WRONG_MANIFEST: Explanation(
        "the document is for another manifest",
        "the digest of the manifest in force",
        "draft it again with that manifest, or restart the enclave with the one you mean",
    ),
    Code.WRONG_OWNER: Explanation(
        "the document is for another owner lineage",
        "the owner root of the manifest in force",
        "check whose enclave this is before anything else",
    ),
    Code.PERMIT_STALE: Explanation(
        "a permit with this serial or a higher one was accepted before",
        "a serial that grows within the boot",
        "draft a new permit; budgets are totals, so say what the boot may use altogether",
    ),
    Code.WRONG_LOG_HEAD: Explanation(
        "a further permit continues another log than this boot's first, or a log is read before a"
        " permit opened it",
        "the head that the first permit of this boot named",
        "draft the permit with the same stored logs (`--log DIR`, `--record-log DIR`); to continue"
        " others, restart the enclave",
    ),
    Code.SEALED_STATE_REFUSED: Explanation(
        "the sealed state does not open here",
        "a blob sealed by this owner lineage on this platform, the same unlock share in the permit,"
        " and a manifest at least as new as the one that sealed it",
        "issue the permit with the share that was in force at the export; otherwise provision anew",
    ),
    Code.KEY_CONFLICT: Explanation(
        "the key has a secret already, or the manifest says that it comes from elsewhere",
        "generate for sources `generate` and `session`, import for `import`, once per boot",
        "keep the one that is there, or restart the enclave to begin anew",
    ),
    Code.DENIED: Explanation(
        "the owner's policy denies it",
        "a request within every rule of the manifest and the permit",
        "see the rule; only the owners can change it, with a new manifest or permit",
    ),
    Code.VENUE_UNREACHABLE: Explanation(
        "the enclave could not reach the venue through the host's proxy",
        "the host's egress proxy running, and the venue answering",
        "look at the host's log; `strongroom host doctor` checks the machine",
    ),
    Code.VENUE_TLS: Explanation(
        "whoever answered in the venue's name could not prove to be it",
        "a certificate for the venue's name under a root that the manifest allows",
        "if the venue changed its certificates, update the image or the manifest's roots; otherwise"
        " somebody intercepts the connection",
    ),
    Code.VENUE_REFUSED: Explanation(
        "the venue refused the request, or answered something that is no credential",
        "an account that the venue knows, and a nonce that fits create or derive",
        "try `--derive` if the credential exists already; check the wallet at the venue",
    ),
    Code.VENUE_NOT_ALLOWED: Explanation(
        "the manifest or the image does not allow this host",
        "a host of the image's own list; any other only with development_roots, in development",
        "correct the key's venue, or give the test venue's CA with --development-root",
    ),
    Code.PLATFORM: Explanation(
        "the platform's security module failed",
        "a working NSM",
        "restart the enclave; if it stays, the machine is at fault",
    ),
    Code.HALTED: Explanation(
        "this boot is over: something failed after its keys existed",
        "a running boot",
        "read the console log for the cause, then restart the enclave",
    ),
    Code.INTERNAL: Explanation(
        "the enclave failed in a way it has no name for",
        "no such failure",
        "restart the enclave and report it with the console log",
    ),
}

RULES: Final[dict[Rule, Explanation]] = {
    Rule.NONE: Explanation("no rule", "-", "nothing"),
    Rule.PERMIT: Explanation(
        "no start permit is in force in this boot",
        "a permit by the owner quorum for this boot",
        "an owner runs `strongroom permit --budget KEY=PUSD`",
        "permits",
    ),
    Rule.KILL_SWITCH: Explanation(
        "an owner stopped this boot for good",
        "no kill switch",
        "cancels still work; trading needs a new boot and a new permit",
        "kills",
    ),
    Rule.CLOCK: Explanation(
        "the enclave's clocks disagree, so it does not know the time",
        "platform time and monotonic clock within 2 s of each other, and never backwards",
        "fix the host's clock; if it was suspended, restart the enclave",
        "clock",
    ),
    Rule.PERMIT_EXPIRED: Explanation(
        "the start permit has expired",
        "authenticated time before the permit's end",
        "an owner issues another permit",
        "time-ms",
    ),
    Rule.MARKET: Explanation(
        "the key may not trade this token on this exchange",
        "a token listed in the key's markets, with its exchange",
        "check the token id; else the owners list it in the next manifest version",
        "flag",
    ),
    Rule.SIDE: Explanation(
        "the key may not take this side in this market",
        "a side listed with the market",
        "check the side; else the owners allow it in the next manifest version",
        "flag",
    ),
    Rule.PRICE_BAND: Explanation(
        "the price, as signed, is outside the market's static band",
        "a price between min_price and max_price; a market buy's rounding counts",
        "quote inside the band",
        "price",
    ),
    Rule.ORDER_TYPE: Explanation(
        "the key may not use this order type",
        "a type listed in the policy",
        "use an allowed type",
        "flag",
    ),
    Rule.LIFETIME: Explanation(
        "the order's expiry is in the past or later than the policy allows, or set without GTD",
        "GTD: between now and now + max_lifetime; other types: none",
        "set a smaller --expires-in",
        "time-s",
    ),
    Rule.TIMESTAMP: Explanation(
        "the timestamp of the order, or of its request, is too far from authenticated time",
        "within max_skew",
        "check this machine's clock, and sign soon after deciding",
        "ms",
    ),
    Rule.ORDER_NOTIONAL: Explanation(
        "the order alone is larger than the policy allows",
        "a maker amount up to order_notional (a sale counts each share as 1 pUSD)",
        "make the order smaller",
        "micro",
    ),
    Rule.WINDOW_NOTIONAL: Explanation(
        "with this order, more would be signed within a time window than the policy allows",
        "a total within each window; cancelled orders count too",
        "wait for the window to pass, or make the order smaller",
        "micro",
    ),
    Rule.BUDGET_NOTIONAL: Explanation(
        "with this order, more would be signed in this boot than the permit allows",
        "a total within the permit's budget, which never refills by itself",
        "an owner issues a permit with a larger total",
        "micro",
    ),
    Rule.BUDGET_ORDERS: Explanation(
        "the permit's number of orders is used up",
        "a number within the permit's",
        "an owner issues a permit with a larger number",
        "count",
    ),
    Rule.RATE: Explanation(
        "too many orders within a minute",
        "at most orders_per_minute in any 60 s",
        "slow down",
        "count",
    ),
}


def figures(rule: Rule, limit: int, actual: int) -> tuple[str, str]:
    """Returns a denial's limit and figure as a person reads them."""
    unit = RULES[rule].unit
    return _figure(limit, unit), _figure(actual, unit)


def _figure(value: int, unit: str) -> str:
    if value == (1 << 64) - 1:
        return "more than can be shown"
    match unit:
        case "micro":
            return f"{Decimal(value).scaleb(-6):f} pUSD"
        case "price":
            return f"{Decimal(value).scaleb(-6):f}"
        case "ms":
            return f"{Decimal(value).scaleb(-3):f} s"
        case "time-ms":
            return f"{Decimal(value).scaleb(-3):f} s since 1970"
        case "time-s":
            return f"{value} s since 1970"
        case "flag":
            return "listed" if value == 0 else "not listed"
        case _:
            return str(value)


def markdown_table() -> str:
    """Returns the README's table of codes: every one but OK, then every rule."""
    lines = list(_TABLE)
    for code, words in CODES.items():
        if code is not Code.OK:
            lines.append(_row(f"{int(code)} {code.name}", words))
    for rule, words in RULES.items():
        if rule is not Rule.NONE:
            lines.append(_row(f"300 DENIED, rule {rule.name}", words))
    return "\n".join(lines) + "\n"


def rows(named: Iterable[tuple[str, Explanation]]) -> str:
    """Returns a table of the README with a row for each."""
    return "\n".join([*_TABLE, *(_row(name, words) for name, words in named)]) + "\n"


def _row(name: str, words: Explanation) -> str:
    return f"| {name} | {words.wrong} | {words.expected} | {words.remedy} |"
