"""How the report of a run looks: on a screen, light or dark, on a phone, on paper. Does no I/O."""

from __future__ import annotations

STYLE = """
:root { color-scheme: light dark; --line: #8886; --good: #176b2c; --bad: #b3131b; --dim: #666; }
@media (prefers-color-scheme: dark) {
  :root { --good: #6fd58a; --bad: #ff8d8d; --dim: #aaa; }
}
body { font: 16px/1.45 system-ui, sans-serif; margin: 1.5rem auto; max-width: 100rem;
  padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.25rem; margin-top: 2rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; }
dt { color: var(--dim); } dd { margin: 0; }
.totals { display: flex; flex-wrap: wrap; gap: 1rem 3rem; padding: 0; list-style: none; }
.totals b { display: block; font-size: 2.6rem; line-height: 1.1; }
.good { color: var(--good); } .bad { color: var(--bad); }
table { border-collapse: collapse; width: 100%; font-size: .875rem; }
caption { text-align: start; color: var(--dim); padding-bottom: .5rem; }
th, td { text-align: start; vertical-align: top; padding: .35rem .5rem;
  border-bottom: 1px solid var(--line); overflow-wrap: break-word; }
.all th, .all td { padding: .35rem .3rem; }
.all td { overflow-wrap: anywhere; } .all tbody th { min-width: 6em; overflow-wrap: anywhere; }
.all td:nth-child(2) { min-width: 4em; } .all td:nth-child(3) { min-width: 7em; }
.all td:nth-child(4) { min-width: 9.5em; } .all td:nth-child(5) { min-width: 4em; }
.all td:nth-child(8), .all td:nth-child(9) { min-width: 7em; }
.all td:nth-child(10) { min-width: 6em; } .all td:nth-child(11) { min-width: 16em; }
thead th { position: sticky; top: 0; background: Canvas; }
code, .m { font-family: ui-monospace, monospace; font-size: .9em; }
@media screen and (max-width: 80rem) {
  .all thead { position: absolute; clip-path: inset(50%); width: 1px; height: 1px;
    overflow: hidden; }
  .all tr, .all td, .all tbody th { display: block; border: 0; padding: .1rem 0;
    min-width: 0 !important; }
  .all tbody tr { border-bottom: 1px solid var(--line); padding: .6rem 0; }
  .all tbody th { font-size: 1.1rem; }
  .all td:empty { display: none; }
  .all td::before { color: var(--dim); }
__LABELS__}
@media print {
  body { font-size: 9pt; margin: 0; max-width: none; } table { font-size: 6.5pt; }
  .all th, .all td { padding: 1.5pt 2pt; } .all td:nth-child(11) { min-width: 12em; }
  tr { break-inside: avoid; } thead th { position: static; }
}
"""


def with_labels(names: tuple[str, ...]) -> str:
    """Return the style sheet, with these names of the columns, which are our own.

    On a phone a row's cells stand below each other, and all but the first have their names.
    """
    rules = [
        f'  .all td:nth-child({number})::before {{ content: "{name}: "; }}\n'
        for number, name in enumerate(names, 1)
        if number > 1
    ]
    return STYLE.replace("__LABELS__", "".join(rules))
