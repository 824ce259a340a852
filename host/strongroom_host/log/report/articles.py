"""Regulation (EU) 2024/1689 (AI Act), as far as it asks for records and for oversight: which
provision, what this record shows of it, with which command, and what it does not show.

The provisions are summed up in our own words; the text in force is the Official Journal's. Nothing
here says that an obligation applies or is met.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["ARTICLES", "DISCLAIMER", "SCOPE", "Article"]


@dataclass(frozen=True, slots=True)
class Article:
    """One provision. `sections` are the report's own that show something of it; empty: none."""

    provision: str
    asks: str
    shown: str
    sections: tuple[str, ...]
    command: str
    not_shown: str


DISCLAIMER: Final = (
    "This is a technical record, not legal advice, no declaration of conformity, and no assessment"
    " of whether the regulation applies."
)

SCOPE: Final = (
    "The articles below bind providers and deployers of high-risk AI systems (Article 6). Trading"
    " for one's own account is not among the uses that Annex III lists: its point 5 names public"
    " benefits, the creditworthiness of natural persons, life and health insurance of natural"
    " persons, and emergency calls. So a trading model is as a rule not high-risk by Annex III, and"
    " a record like this is kept of one's own accord (Article 95 provides for that) or under other"
    " law. Who provides or deploys the system has to classify it.",
    "Dates: the high-risk rules were to apply from 2 August 2026 (Article 113). The amending"
    " regulation known as the digital omnibus on AI, which Parliament and Council approved in June"
    " 2026, moves them to 2 December 2027 for Annex III and to 2 August 2028 for Annex I. Look at"
    " the consolidated text before you rely on a date.",
    "Other law has duties of its own that this report does not map: for investment firms that trade"
    " by algorithm, Article 17 of Directive 2014/65/EU and Delegated Regulation (EU) 2017/589 (its"
    " Article 12 asks for a kill functionality); for United States broker-dealers, Rule 17a-4.",
)

ARTICLES: Final = (
    Article(
        "12(1)",
        "The system technically allows for the automatic recording of events (logs) over its"
        " lifetime.",
        "Every decision about an order, approved or refused, is an entry made inside the enclave"
        " before its answer leaves; so are boots, permits, key events and the kill switch. The log"
        " goes on across boots and versions, and what is missing from it shows.",
        ("decisions", "boots", "gaps"),
        "strongroom log verify",
        "What a model computes outside the enclave. A model decision that is not handed in, and"
        " leads to no order, leaves no entry.",
    ),
    Article(
        "12(2)(a)",
        "Events are recorded that are relevant for identifying situations in which the system may"
        " present a risk (Article 79(1)), or a substantial modification.",
        "Denials with rule, limit and actual figure; the kill switch; each boot with its version,"
        " manifest and permits; each model by its digest, so that another model shows.",
        ("decisions", "stops", "boots", "models"),
        "strongroom log show; strongroom manifest diff",
        "Whether a situation is a risk, or a modification substantial: people judge that.",
    ),
    Article(
        "12(2)(b)",
        "Events are recorded that facilitate post-market monitoring (Article 72).",
        "The same entries as tables, with totals by model, key and rule.",
        ("models", "usage"),
        "strongroom log report",
        "The monitoring system and plan that Article 72 asks of a provider. Profit and loss.",
    ),
    Article(
        "12(2)(c)",
        "Events are recorded for monitoring the operation of the system (Article 26(5)).",
        "The same entries, while the system runs, and alarms when the log itself is tampered with.",
        ("decisions", "gaps"),
        "strongroom log watch",
        "Whether anybody looks.",
    ),
    Article(
        "12(3)",
        "For remote biometric identification (Annex III, point 1(a)): period of use, reference"
        " database, matched inputs, who verified them.",
        "",
        (),
        "",
        "Does not concern a system that trades.",
    ),
    Article(
        "13(3)(f)",
        "The instructions for use describe how deployers collect, store and interpret the logs.",
        "How to store, verify, read and archive the log is documented with it, and summed up at the"
        " end of this report.",
        ("check",),
        "strongroom log --help",
        "All else that instructions for use must contain.",
    ),
    Article(
        "14(1), (3)",
        "Natural persons can effectively oversee the system while it is in use, by measures built"
        " into it.",
        "Owners set limits that the enclave enforces on every order: markets, prices, amounts,"
        " windows, a budget that does not refill, and an end. No boot signs an order without their"
        " permit.",
        ("boots", "usage", "stops"),
        "strongroom manifest explain; strongroom permit",
        "That the persons oversee it, and that the limits are good ones.",
    ),
    Article(
        "14(4)(a) to (d)",
        "Those who oversee understand the system's capacities and limits, stay aware of automation"
        " bias, can interpret its output, and can decide not to use or to override it.",
        "That they can decide not to use it: without a permit, and after the kill switch, nothing"
        " is signed but cancels.",
        ("stops",),
        "strongroom panic",
        "Understanding, awareness and interpretation: no log shows them.",
    ),
    Article(
        "14(4)(e)",
        "Those who oversee can intervene, or interrupt the system by a stop button or a similar"
        " procedure, so that it comes to a halt in a safe state.",
        "Who may throw the kill switch (any single owner), when it was last thrown, and what was"
        " denied from then on. Cancels still pass, so that open orders can be withdrawn.",
        ("people", "stops"),
        "strongroom panic",
        "Orders that rest at the venue stay there until they are cancelled; positions stay open.",
    ),
    Article(
        "14(5)",
        "For biometric identification: two persons verify a match before anything is done.",
        "",
        (),
        "",
        "Does not concern a system that trades.",
    ),
    Article(
        "19(1), (2)",
        "Providers keep the logs that are under their control for a period appropriate to the"
        " purpose, at least six months unless other law says otherwise; financial institutions keep"
        " them with the documentation that financial services law asks for.",
        "From when on the log is there. The archive keeps it for a fixed period during which nobody"
        " can shorten it.",
        ("summary",),
        "strongroom archive export; strongroom archive status",
        "That the period is the right one. (The ten years of Article 18 are for technical"
        " documentation, not for logs.)",
    ),
    Article(
        "26(2)",
        "Deployers assign oversight to natural persons with the competence, training, authority and"
        " support that it takes.",
        "Who holds an owner's key, by the names that the owners gave, and so has the authority to"
        " stop the system.",
        ("people",),
        "strongroom log report --people FILE",
        "Competence, training and support; that a name is right is the word of whoever gave it.",
    ),
    Article(
        "26(5)",
        "Deployers monitor the operation, suspend use where it may present a risk, and inform"
        " provider and authority. Financial institutions do so under the governance rules of"
        " financial services law.",
        "What was decided, denied and stopped, and when.",
        ("decisions", "stops"),
        "strongroom log watch; strongroom panic",
        "That anybody was informed; reports of serious incidents (Article 73).",
    ),
    Article(
        "26(6)",
        "Deployers keep the logs that are under their control for a period appropriate to the"
        " purpose, at least six months unless other law says otherwise; financial institutions keep"
        " them with the documentation that financial services law asks for.",
        "As for Article 19.",
        ("summary",),
        "strongroom archive export; strongroom archive status",
        "As for Article 19.",
    ),
)
