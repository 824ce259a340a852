"""How the page looks, on a screen and on paper."""

from typing import Final

__all__ = ["STYLE"]

STYLE: Final = """
:root { --ink: #1c2430; --dim: #5d6b7c; --line: #d9dfe7; --wash: #f5f7fa; --bad: #a3121f;
  --good: #14613a; --warn: #8a5200; --model: #31449b; font-size: 15px; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2.5rem 1.5rem 4rem; max-width: 76rem; color: var(--ink);
  background: #fff; font: 1rem/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
h1 { margin: 0 0 .8rem; font-size: 1.9rem; line-height: 1.2; }
h2 { margin: 2.6rem 0 .6rem; padding-bottom: .3rem; border-bottom: 2px solid var(--ink);
  font-size: 1.25rem; }
h3 { margin: 1.4rem 0 .4rem; font-size: 1rem; }
p { max-width: 60rem; margin: .5rem 0; }
ul { max-width: 60rem; margin: .4rem 0; padding-left: 1.2rem; }
a { color: inherit; text-decoration-color: var(--dim); }
code { font: .87em/1.4 ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1.2rem; margin: .4rem 0; }
dt { color: var(--dim); }
dd { margin: 0; }
.note, .dim { color: var(--dim); }
.note { font-size: .9rem; }
.lack { color: var(--warn); font-style: italic; }
.alarm { color: var(--bad); font-weight: 600; }
.verdict { margin: 1.2rem 0; padding: .8rem 1.1rem; border: 1px solid; border-left-width: 6px;
  border-radius: 4px; }
.verdict.good { color: var(--good); background: #f1f8f4; }
.verdict.care { color: var(--warn); background: #fdf8ee; }
.verdict.bad { color: var(--bad); background: #fdf2f2; }
.cards { display: flex; flex-wrap: wrap; gap: .8rem; margin: .8rem 0; }
.card { flex: 1 1 11rem; padding: .7rem .9rem; border: 1px solid var(--line); border-radius: 4px;
  background: var(--wash); }
.card b { display: block; font-size: 1.15rem; }
.card span { color: var(--dim); font-size: .88rem; }
.block { break-inside: avoid; }
.scroll { overflow-x: auto; margin: .6rem 0; }
table { width: 100%; border-collapse: collapse; font-size: .88rem; }
table.narrow { width: auto; min-width: 26rem; }
th { padding: .35rem .6rem; border-bottom: 1px solid var(--ink); text-align: left;
  vertical-align: bottom; background: var(--wash); font-weight: 600; }
td { padding: .32rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
td code[title], a code { white-space: nowrap; }
table.decisions td:nth-child(4) { min-width: 6rem; }
table.decisions td:nth-child(6) { width: 42%; }
.num { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
table.decisions td:nth-child(2) { white-space: nowrap; }
table.articles td { min-width: 8rem; }
table.articles td:first-child { min-width: 0; white-space: nowrap; }
.pill { display: inline-block; padding: 0 .5em; border: 1px solid; border-radius: 1em;
  font-size: .85em; white-space: nowrap; }
.pill.good { color: var(--good); }
.pill.warn { color: var(--warn); }
.pill.calm { color: var(--dim); }
.pill.model { color: var(--model); }
@media print {
  @page { size: A4 landscape; margin: 14mm 12mm; }
  :root { font-size: 10px; }
  body { padding: 0; max-width: none; }
  h2 { margin-top: 1.8rem; }
  .scroll { overflow: visible; }
  thead { display: table-header-group; }
  tr, .card, .verdict { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
  a { text-decoration: none; }
}
"""
