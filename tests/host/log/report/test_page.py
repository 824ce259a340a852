"""The page: nothing in it can run or load, nothing of the record is left out, and it says so."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from html.parser import HTMLParser

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_host.log.report.articles import ARTICLES, Article
from strongroom_host.log.report.markup import Html, document, joined, tag
from strongroom_host.log.report.page import page
from strongroom_host.log.report.people import NOBODY, People
from strongroom_host.log.report.reading import read
from strongroom_host.log.report.record import Period
from strongroom_host.log.report.sheet import Sheet
from strongroom_wire.bundle import LogHead
from strongroom_wire.errors import Rule
from strongroom_wire.leaves import Kind

from tests.host.log.boots_made import START
from tests.host.log.report.days import MODEL, PEOPLE, Day, a_day
from tests.wire.samples import byte, public

NOW = START + 3 * 86_400_000


class Read(HTMLParser):
    """What a browser makes of a page: elements, attributes, text."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.balanced = True
        self.feed(text)
        self.close()
        self.balanced &= not self._open
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "br"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        self.balanced &= bool(self._open) and self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self._open:
            self.words.append(data)

    def ids(self) -> Iterator[str]:
        return (each["id"] or "" for _, each in self.tags if "id" in each)


def sheet(day: Day, people: People = PEOPLE, **changes: object) -> Sheet:
    record, decisions = day.read()
    made = Sheet("strongroom.log/signer/0", record, decisions, people, NOW)
    return replace(made, **changes)  # type: ignore[arg-type]


def shown(made: Sheet) -> Read:
    return Read(page(made))


SHEET = sheet(a_day())
READ = shown(SHEET)


def test_nothing_in_it_runs_or_loads() -> None:
    found = {name for name, _ in READ.tags}
    banned = {"script", "link", "img", "iframe", "object", "embed", "form", "base", "svg", "input"}
    assert not found & banned
    for _, attributes in READ.tags:
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        assert (attributes.get("href") or "#").startswith("#")
        assert "src" not in attributes
    assert "url(" not in page(SHEET)
    assert "@import" not in page(SHEET)


def test_the_policy_lets_its_own_style_in_and_nothing_else() -> None:
    text = page(SHEET)
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    assert style is not None
    digest = b64encode(sha256(style[1].encode()).digest()).decode()
    policy = next(a["content"] for _, a in READ.tags if "http-equiv" in a)
    assert policy is not None
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}'")
    assert "unsafe" not in policy


def test_it_is_well_formed_and_its_links_lead_somewhere() -> None:
    assert READ.balanced
    ids = list(READ.ids())
    assert len(ids) == len(set(ids))
    links = {(each["href"] or "")[1:] for _, each in READ.tags if "href" in each}
    assert links <= set(ids)
    assert {section for article in ARTICLES for section in article.sections} <= set(ids)


def test_what_somebody_wrote_into_a_name_stays_text() -> None:
    assert "<script>x</script>" in READ.text
    names = {"owners": [{"key": public(1).hex(), "name": "a\u202eb\x07<b>&amp;\"'"}]}
    people = People.parse(msgspec.json.encode({"format": "strongroom-people/1"} | names))
    found = shown(sheet(a_day(), people))
    assert "a\\u202eb\\u0007<b>&amp;\"'" in found.text


@given(st.text(), st.text())
def test_no_text_becomes_markup(text: str, other: str) -> None:
    made = document(text, "", tag("p", text, joined((other, Html("<br>"))), title=other))
    found = Read(made)
    assert [name for name, _ in found.tags] == [
        *("html", "head", "meta", "meta", "meta", "meta", "title", "style", "body", "p", "br")
    ]
    assert found.balanced


def test_every_decision_is_there_with_what_led_to_it() -> None:
    rows = re.findall(r"<tr>.*?</tr>", page(SHEET).replace("\n", ""))
    text = [Read(row).text for row in rows]
    for decision in SHEET.decisions:
        row = next(row for row in text if row.startswith(f"{decision.index} 2027-"))
        assert decision.outcome.value in row
    assert any("momentum 3.1 on 010101010101 decided in leaf 3" in row for row in text)
    assert any(
        "ORDER_NOTIONAL: the order alone is larger than the policy allows;"
        " limit 250.000000 pUSD, asked 600.000000 pUSD" in row
        for row in text
    )
    assert any("EXPIRED (105): the deadline had passed" in row for row in text)


def test_who_may_stop_it_and_when_that_was_tried() -> None:
    for words in (
        "Any single one of these 3 owners can stop one key or all of them",
        "a permit signed by 2 of them",
        "Ada Holder head of trading 8a88e3dd7409 2027-01-15 08:00:12.000 UTC, leaf 12",
        "not named",
        "2 days ago the kill switch was last thrown; 1 request denied after it",
        "leaf 14, 1.000 s later",
        "nothing was asked for: not shown to deny",
        "Bo Operator",
    ):
        assert words in READ.text, words
    found = shown(sheet(Day().boot(), NOBODY))
    assert "This log shows no use of the kill switch, and so no test of it." in found.text
    assert "No file of names was given" in found.text


def test_totals_are_there_and_add_up() -> None:
    assert "decisions of the period 13" in READ.text
    assert "all entries of the log 19" in READ.text
    assert "main 11 pUSD, 4 orders 0 pUSD, 0 orders 11 pUSD, 4 orders 500 pUSD, 200 orders yes" in (
        READ.text
    )


def test_a_log_in_order_says_so_and_what_that_rests_on() -> None:
    found = shown(replace(SHEET, vouched=["Two boots."], not_excluded=["No witness."]))
    assert "The log verifies. Details, permits," in found.text
    assert "Two boots." in found.text
    assert found.text.index("No witness.") < found.text.index("Summary")
    assert "1 kind of gap in what was recorded" in found.text
    clean = Day().boot()
    clean.decide(context=clean.model(1))
    assert "Not excluded, or not known" not in shown(sheet(clean)).text


def test_findings_come_before_anything_else() -> None:
    found = shown(replace(SHEET, findings=["edited: leaf 3: <b>"]))
    assert "The log verifies" not in found.text
    assert found.text.index("edited: leaf 3: <b>") < found.text.index("Summary")


def test_alarms_come_before_anything_else_even_if_the_log_verifies() -> None:
    day = Day().boot()
    context = day.model(1)
    day.stop()
    day.decide(context=context)
    found = shown(sheet(day))
    assert "The log verifies, and contradicts what the enclave promises:" in found.text
    alarm = "Orders were signed although the kill switch had been thrown: 1 entry from leaf 3 on"
    assert found.text.index(alarm) < found.text.index("Summary")


def test_gaps_are_there_with_their_places() -> None:
    day = a_day()
    kept = day.kept.sign()
    record, decisions = read(kept.entries, lambda _: None, {})
    found = shown(Sheet("o", record, decisions, NOBODY, NOW))
    for words in (
        "The details are not in this copy",
        "No manifest of any boot is at hand",
        "The boot's manifest is not at hand",
        "No evidence of the boot was verified",
        "not opened",
        "no evidence verified: version and keys are its own word",
        "leaves 0 to 15",
    ):
        assert words in found.text, words


def test_a_page_that_does_not_list_all_says_so() -> None:
    found = shown(replace(SHEET, decisions=SHEET.decisions[-2:]))
    assert "The newest 2 of 13 decisions of the period." in found.text
    assert "decisions.csv has every one" in found.text
    assert "decisions of the period 13" in found.text


def test_a_permit_that_gives_up_a_history_says_so() -> None:
    day = Day().boot(7, abandons=LogHead(9, byte(3)))
    found = shown(sheet(day))
    assert f"the owners give up a history of 9 leaves, root {byte(3).hex()}" in found.text


def test_times_that_no_calendar_has() -> None:
    day = Day().boot()
    day.kept.add(Kind.SYNC, b"", bytes(32), time_ms=(1 << 64) - 1)
    assert f"{(1 << 64) - 1} ms since 1970" in shown(sheet(day)).text


def test_the_period_is_named() -> None:
    record, decisions = a_day().read(Period(START, None))
    found = shown(replace(SHEET, record=record, decisions=decisions))
    assert "from 2027-01-15 08:00:00.000 UTC to the end" in found.text


@pytest.mark.parametrize("article", ARTICLES, ids=lambda each: str(each.provision))
def test_the_mapping_says_what_it_does_not_show(article: Article) -> None:
    assert article.provision in READ.text
    assert article.not_shown
    assert bool(article.shown) == bool(article.sections) == bool(article.command)


def test_it_is_not_legal_advice() -> None:
    assert READ.text.index("not legal advice") < READ.text.index("Summary")


def test_models_are_named_only_where_somebody_named_them() -> None:
    assert f"{MODEL.hex()[:12]} momentum 3.1 (quotes)" in READ.text
    assert "the client named no model" in READ.text
    assert Rule.RATE.name not in READ.text
