"""What each problem of a log, and each alarm of its monitor, means to a person: what is wrong, what
it takes, and what to do."""

from typing import Final

from strongroom_host.cli.explain import Explanation, rows
from strongroom_host.log.monitor_state import Alarm
from strongroom_host.log.verify import Problem

__all__ = ["ALARMS", "PROBLEMS", "log_table"]

_KEEP: Final = "keep this copy as it is; `strongroom log compare` it with another one"

PROBLEMS: Final[dict[Problem, Explanation]] = {
    Problem.SHORTER: Explanation(
        "leaves are missing at the end: they were cut off, or an old copy was restored",
        "every leaf of every head that is signed, attested or was handed out",
        "`strongroom log pull` while the boot runs; else put them in from another copy, or from the"
        " clients who were handed them (`strongroom log recover`)",
    ),
    Problem.FORKED: Explanation(
        "two histories of this log exist, and both are vouched for",
        "one history, of which every signed or attested head is a part",
        f"{_KEEP}: two boots extended one log, or an old state was continued",
    ),
    Problem.EDITED: Explanation(
        "a leaf is not the one that was signed",
        "leaves that lead to the signed head",
        f"{_KEEP}, and take the leaves from there",
    ),
    Problem.DROPPED: Explanation(
        "a leaf is missing between others", "every leaf at its place", _KEEP
    ),
    Problem.REORDERED: Explanation(
        "a leaf stands at another place than it says", "every leaf at its place", _KEEP
    ),
    Problem.DUPLICATED: Explanation("a leaf stands there twice", "every leaf once", _KEEP),
    Problem.UNREADABLE: Explanation(
        "what is stored at a place is no leaf, or the store does not give it",
        "a leaf of this version, and the tiles above it",
        "take that bundle or tile from another copy of the log",
    ),
    Problem.EPOCH_BROKEN: Explanation(
        "a boot's leaves do not begin with its start, begin twice, or go on after another boot's",
        "boots one after another, each from its start",
        "two boots wrote to one log, or leaves were moved: " + _KEEP,
    ),
    Problem.WRONG_CONTINUATION: Explanation(
        "a boot continues another history than the leaves before it",
        "the head of all leaves before the boot's own",
        "its permit named another copy of the log: find that one",
    ),
    Problem.CLOCK_BACKWARDS: Explanation(
        "a leaf is older than one before it in the same boot",
        "times that never go back within a boot",
        f"no genuine boot writes that: {_KEEP}",
    ),
    Problem.WRONG_BOOT: Explanation(
        "a boot's start contradicts its evidence, or is of another log",
        "the keys and the manifest that the evidence proves",
        "take the evidence from another copy; if it is right, this boot's leaves are not genuine",
    ),
    Problem.WRONG_OPENING: Explanation(
        "an opening belongs to another leaf, or was altered",
        "the opening that was handed out with the leaf",
        "take the opening from the client's journal or from another copy",
    ),
    Problem.WRONG_PERMIT: Explanation(
        "a boot began, or went on, without a permit of its owners for it and for this history",
        "a permit with a quorum's signatures that names the boot's keys and the head it continues",
        "ask the owners whether they permitted this boot; if not, its leaves are not theirs",
    ),
    Problem.WRONG_RECORD: Explanation(
        "what a leaf commits to contradicts the leaf, its boot, or those who should have signed it",
        "records as the boot's own image writes them",
        f"no genuine boot writes that: {_KEEP}",
    ),
    Problem.WRONG_OWNERS: Explanation(
        "a boot's manifest is of owners who had handed over, or never took over",
        "the owners of the boot before, or those to whom they handed over",
        "ask the present owners; whoever held the old keys may have started this boot",
    ),
    Problem.UNPROVED: Explanation(
        "the stored evidence of a boot does not prove which image and manifest it ran",
        "evidence that a trusted root signed, of a trusted image and of these owners",
        "compare the trust file with the release record (an image that was left since belongs into"
        " its past_images), or take the evidence from another copy",
    ),
    Problem.UNSIGNED: Explanation(
        "no boot that evidence proves has signed the stored head; or, of a record's log, leaves are"
        " in the name of a boot that signed no head which has them",
        "a checkpoint signed by a boot of this log whose evidence is stored; of a record, by the"
        " boot that wrote the leaves",
        "`strongroom log pull` while the boot runs, or take its evidence from another copy",
    ),
}

_LOOKED: Final = "then `strongroom log watch --acknowledge`"

ALARMS: Final[dict[Alarm, Explanation]] = {
    Alarm.FORKED: Explanation(
        "two heads are vouched for, and neither history contains the other",
        "one history, wherever it is shown",
        f"stop trading (`strongroom panic`); keep both copies, `strongroom log compare` them; after"
        f" a permit that gave up a history it has to come; {_LOOKED}",
    ),
    Alarm.SHORTER: Explanation(
        "a source shows fewer leaves than it did",
        "a log that only grows",
        "take the missing leaves from another copy (`strongroom log mirror`) before a permit"
        " continues this one",
    ),
    Alarm.DISORDERED: Explanation(
        "new leaves contradict one another, or cannot be read",
        "leaves that a boot could have written",
        f"`strongroom log verify` that copy: it says which leaf; {_LOOKED}",
    ),
    Alarm.UNPROVEN: Explanation(
        "a source does not show that its head goes on from the one before",
        "tiles that prove it",
        "ask whoever serves it: it withholds tiles, or its history is another",
    ),
    Alarm.UNSIGNED: Explanation(
        "no known key of the log signed the head",
        "a head signed by a boot whose evidence is shown beside the log",
        "give the trust file and the manifest of that boot, or its --key; if neither helps, the"
        " head is not the enclave's",
    ),
    Alarm.STUCK: Explanation(
        "there are leaves without a head, or no newer head within --max-age",
        "a keeper that runs, and a new head in time",
        "look whether `strongroom log keep` runs where the log is written",
    ),
    Alarm.UNWITNESSED: Explanation(
        "too few of the manifest's witnesses cosigned",
        "as many cosignatures as the manifest's quorum",
        "look at the keeper's messages: which witness does not answer, or refuses, and why",
    ),
    Alarm.UNREACHABLE: Explanation(
        "a source gives no head",
        "a folder or URL that answers",
        "look whether it is served, and whether the address is right",
    ),
}


def log_table() -> str:
    """Returns the README's table of what can be wrong with a log: what `verify` finds, and what
    `watch` calls for."""
    found = [(f"`verify`: {problem.code}", words) for problem, words in PROBLEMS.items()]
    called = [(f"`watch`: {alarm.value}", words) for alarm, words in ALARMS.items()]
    return rows(found + called)
