"""How an audit's report reads at a terminal: what failed first in the eye, nothing left out."""

from rich.text import Text

from strongroom_host.audit.findings import Finding, Report, Result
from strongroom_host.cli.output import say

__all__ = ["print_report"]

_STYLE = {
    Result.PASS: ("pass", "green"),
    Result.FAIL: ("FAIL", "bold red"),
    Result.WARNING: ("warning", "yellow"),
    Result.NOT_APPLICABLE: ("n/a", "dim"),
}
_GROUPS = {
    "source": "source", "tcb": "trusted code", "pins": "pins", "rebuild": "rebuild",
    "record": "papers", "sbom": "papers", "image": "image", "deps": "dependencies",
    "release": "release", "reference": "the image you gave", "live": "what runs",
    "gateway": "gateway", "tests": "shown by tests", "bench": "figures",
    "row": "track-record checklist",
}  # fmt: skip


def print_report(report: Report) -> None:
    """Prints every finding under its group, then what they come to."""
    groups: dict[str, list[Finding]] = {}
    for finding in report.findings:
        name = finding.id.partition(".")[0]
        groups.setdefault(_GROUPS.get(name, name), []).append(finding)
    say(f"Strongroom {report.version}, audit of {report.finished}")
    for name, findings in groups.items():
        say(Text(f"\n{name}", style="bold"))
        for finding in findings:
            _print(finding)
    if report.image:
        say(Text("\nimage", style="bold"))
        say(f"  {report.image['file']}: {report.image['size']} bytes")
        say(f"  SHA-256 {report.image['sha256']}")
        pcrs = report.image["pcrs"]
        for number, value in pcrs.items() if isinstance(pcrs, dict) else ():
            say(f"  PCR{number}    {value}")
    counts = ", ".join(f"{report.count(result)} {result.value}" for result in Result)
    verdict, style = "audit FAILED", "bold red"
    if report.exit_status == 0:
        # A warning is something that nobody looked at: the word must not cover it.
        warned = report.count(Result.WARNING)
        verdict, style = ("no check failed", "bold yellow") if warned else ("passed", "bold green")
    say(Text(f"\n{verdict}", style=style).append(f": {counts}", style="not bold default"))


def _print(finding: Finding) -> None:
    word, style = _STYLE[finding.result]
    line = Text(f"  {word:<8}", style=style)
    line.append(finding.title, style="default")
    say(line, wrap=True)
    # Text() as is: details carry what images and peers say, and `say` shows it literally.
    say(f"          {_printable(finding.detail)}", wrap=True)
    if finding.result in (Result.FAIL, Result.WARNING) and finding.remedy:
        say(f"          do: {_printable(finding.remedy)}", wrap=True)


def _printable(text: str) -> str:
    return text.replace("\n", "\n          ")
