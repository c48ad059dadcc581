"""HTML of ``report.html``: one page that fetches nothing, in light and dark, on phone and desktop.

Whatever comes from a run (a board's text, file names, labels) goes through ``escape`` here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

__all__ = ["note", "page", "pairs", "section", "table", "wide"]

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_STYLE = """
:root { color-scheme: light dark; --ink: #1c2733; --dim: #5b6b7b; --paper: #fff; --soft: #f2f5f8;
  --rule: #d5dde5; --s0: #2b6cb0; --s1: #c05621; --s2: #2f855a; --s3: #805ad5; --s4: #b7791f;
  --s5: #2c7a7b; --s6: #b83280; --s7: #4a5568; --s8: #9b2c2c;
  --s9: #5f7013; --good: #276749; --bad: #c53030; --warn: #975a16; }
@media (prefers-color-scheme: dark) { :root { --ink: #e3e9ef; --dim: #93a1b0; --paper: #12171d;
  --soft: #1b232c; --rule: #313d49; --s0: #63a4e8; --s1: #ed8b4f; --s2: #5cc08a; --s3: #a98bea;
  --s4: #d9a441; --s5: #4fb8b9; --s6: #e46fb3; --s7: #8b99aa; --s8: #d9706e;
  --s9: #a9bb4e; --good: #68c795; --bad: #f58b8b;
  --warn: #e2b45c; } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 1.5rem auto;
  padding: 0 1rem; color: var(--ink); background: var(--paper); }
h1 { margin: 0 0 .3rem; font-size: 1.6rem; overflow-wrap: anywhere; }
h2 { margin: 2.2rem 0 .6rem; font-size: 1.2rem; border-bottom: 1px solid var(--rule); }
h3 { margin: .4rem 0; font-size: 1rem; }
.note { color: var(--dim); margin: .3rem 0; }
.verdict { border-left: .4rem solid; padding: .5rem .9rem; background: var(--soft);
  margin: 1rem 0; }
.verdict p { margin: .2rem 0; } .verdict strong { text-transform: uppercase; }
.valid { border-color: var(--good); } .valid strong { color: var(--good); }
.degraded { border-color: var(--warn); } .degraded strong { color: var(--warn); }
.invalid { border-color: var(--bad); } .invalid strong { color: var(--bad); }
.two { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr));
  gap: 1rem 2rem; align-items: start; }
.wide, .scroll { overflow-x: auto; } .wide svg { min-width: 40rem; }
table { border-collapse: collapse; margin: .4rem 0; }
th, td { text-align: left; padding: .2rem .9rem .2rem 0; border-bottom: 1px solid var(--rule);
  vertical-align: top; }
.pairs td:first-child { white-space: nowrap; } .pairs td { overflow-wrap: anywhere; }
th { font-weight: 600; } td.number, th.number { text-align: right; white-space: nowrap;
  font-variant-numeric: tabular-nums; }
code { font: 13px ui-monospace, monospace; overflow-wrap: anywhere; }
.word { font-size: .8rem; border: 1px solid var(--rule); border-radius: 1rem; padding: 0 .5rem; }
svg { width: 100%; height: auto; display: block; }
svg text { font: 12px system-ui, sans-serif; fill: var(--ink); }
svg .small { font-size: 11px; fill: var(--dim); } svg text.on { fill: var(--paper); }
svg .axis { stroke: var(--dim); fill: none; } svg .grid { stroke: var(--rule); }
svg .curve { stroke: var(--s0); stroke-width: 1.5; fill: none; }
svg .band { fill: var(--s0); fill-opacity: .25; }
svg .open { fill: var(--soft); stroke: var(--rule); }
svg .median, svg .p95 { stroke: var(--ink); stroke-width: 1.5; } svg .p95 { stroke-dasharray: 4 3; }
svg text.median, svg text.p95 { stroke: none; fill: var(--dim); }
svg .good, svg .hit { fill: var(--good); } svg .bad, svg .miss { fill: var(--bad); }
svg .warn { fill: var(--warn); }
""" + "".join(f"svg .s{k} {{ fill: var(--s{k}); }}\n" for k in range(10))


def page(title: str, body: str) -> str:
    """The whole document; ``body`` is HTML."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n"
        f"<body><main>\n{body}\n</main></body></html>\n"
    )


def section(title: str, *parts: str) -> str:
    """A heading and its HTML parts; empty without parts."""
    inside = "\n".join(part for part in parts if part)
    return f"<section><h2>{escape(title)}</h2>\n{inside}\n</section>" if inside else ""


def note(text: str) -> str:
    return f'<p class="note">{escape(text)}</p>'


def wide(picture: str) -> str:
    """A picture that scrolls sideways where the screen is narrow."""
    return f'<div class="wide" tabindex="0">{picture}</div>'


def pairs(values: Mapping[str, Any]) -> str:
    """Names and what they stand for."""
    return f'<div class="pairs">{table(values.items())}</div>'


def table(
    rows: Iterable[Sequence[Any]], head: Sequence[str] = (), numbers: Sequence[int] = ()
) -> str:
    """``numbers``: the columns that are set to the right."""

    def cells(row: Sequence[Any], tag: str) -> str:
        return "".join(
            f"<{tag}{' class=number' if i in numbers else ''}>{escape(str(cell))}</{tag}>"
            for i, cell in enumerate(row)
        )

    lines = [f"<thead><tr>{cells(head, 'th')}</tr></thead>"] if head else []
    lines += [f"<tr>{cells(row, 'td')}</tr>" for row in rows]
    return '<div class="scroll"><table>\n' + "\n".join(lines) + "\n</table></div>"
