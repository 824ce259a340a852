"""How the page looks, on a screen and on paper."""

from typing import Final

__all__ = ["STYLE"]

STYLE: Final = """
:root { --ink: #1c2430; --dim: #5d6b7c; --line: #d9dfe7; --wash: #f5f7fa; --bad: #a3121f;
  --warn: #8a5200; font-size: 15px; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.5rem 3rem; max-width: 72rem; color: var(--ink);
  background: #fff; font: 1rem/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
h1 { margin: 0 0 .4rem; font-size: 1.7rem; line-height: 1.2; overflow-wrap: anywhere; }
h2 { margin: 2rem 0 .5rem; font-size: 1.15rem; }
p { max-width: 56rem; margin: .5rem 0; }
.note { color: var(--dim); font-size: .9rem; }
.gap { color: var(--warn); }
svg { display: block; margin: 1rem 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; }
th { padding: .3rem .6rem; border-bottom: 1px solid var(--ink); background: var(--wash);
  text-align: left; font-weight: 600; }
th.num, td.num { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td { padding: .28rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
td.loss { color: var(--bad); }
section { break-inside: avoid; }
@media print {
  @page { size: A4 landscape; margin: 12mm; }
  body { max-width: none; padding: 0; }
  :root { font-size: 12px; }
  svg { max-height: 120mm; }
  th { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
}
"""
