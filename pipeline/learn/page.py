"""The confusion matrix as a page: one file, without scripts, that links to the clips."""

from __future__ import annotations

import os
from collections.abc import Iterable
from html import escape
from pathlib import Path
from urllib.parse import quote

from ...pose_extract.common.files import PACKAGE_FOLDER, atomic_write
from ...pose_extract.common.text import printable
from .outcome import ClipOutcome, Outcome
from .split import Plan

# The look of a report.
_REPORT_STYLE = PACKAGE_FOLDER / "pipeline" / "report" / "page" / "report.css"
_STYLE = """
main h2 { margin-top: 1.5rem; }
main ul { padding-left: 1.25rem; }
.scroll { overflow-x: auto; }
table.confusion { border-collapse: collapse; }
table.confusion th, table.confusion td { border: 1px solid var(--line); padding: .35rem .6rem; }
table.confusion th { font-weight: 600; text-align: left; }
table.confusion td { text-align: right; font-variant-numeric: tabular-nums; min-width: 3rem; }
table.confusion td.right { background: var(--flight); }
table.confusion td.wrong { background: var(--gap); }
"""


def write_page(path: Path, outcome: Outcome, title: str, plan: Plan) -> Path:
    """Write the page; clips are linked by paths relative to it, so that a folder can be moved."""
    # The style is no script's and its own; nothing is loaded but the clips that are clicked.
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    style = _REPORT_STYLE.read_text(encoding="utf-8") + _STYLE
    said = "".join(f"<li>{_text(sentence)}</li>" for sentence in plan.said)
    text = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f"<title>{_text(title)}: what is confused</title>\n"
        f'<link rel="icon" href="data:,">\n<style>{style}</style>\n</head>\n<body>\n'
        f'<header class="top"><h1>{_text(title)}</h1>'
        f'<p class="quiet">{_text(outcome.spread)}</p></header>\n<main>\n'
        "<h2>Which class is taken for which</h2>\n"
        "<p>A row is what clips show, a column what they were taken for. A number leads to its "
        f'clips.</p>\n<div class="scroll">{_matrix(outcome)}</div>\n'
        f"<h2>How this was measured</h2>\n<ul>{said}</ul>\n"
        f"{_lists(outcome, path.parent)}</main>\n</body>\n</html>\n"
    )
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def _text(text: str) -> str:
    return escape(printable(text))


def _matrix(outcome: Outcome) -> str:
    names = outcome.label_names
    head = "".join(f'<th scope="col">{_text(name)}</th>' for name in names)
    rows = []
    for i, row in enumerate(outcome.evaluation.confusion_matrix):
        cells = "".join(_cell(i, j, count) for j, count in enumerate(row))
        recall = f"{100 * row[i] / sum(row):.0f} %" if sum(row) else ""
        rows.append(f'<tr><th scope="row">{_text(names[i])}</th>{cells}<td>{recall}</td></tr>')
    return (
        '<table class="confusion"><thead><tr><th scope="col">shown</th>'
        f'{head}<th scope="col">recall</th></tr></thead><tbody>{"".join(rows)}</tbody></table>'
    )


def _cell(i: int, j: int, count: int) -> str:
    if not count:
        return "<td>0</td>"
    kind = "right" if i == j else "wrong"
    return f'<td class="{kind}"><a href="#c{i}-{j}">{count}</a></td>'


def _lists(outcome: Outcome, folder: Path) -> str:
    """Return the clips of each cell: what was confused comes first, most probable first."""
    cells: dict[tuple[int, int], list[ClipOutcome]] = {}
    for clip in outcome.clips:
        cells.setdefault((clip.label, clip.predicted), []).append(clip)
    order = sorted(cells, key=lambda cell: (cell[0] == cell[1], -len(cells[cell]), cell))
    names = outcome.label_names
    parts = []
    for i, j in order:
        what = f"{names[i]}, recognised" if i == j else f"{names[i]}, taken for {names[j]}"
        parts.append(
            f'<h2 id="c{i}-{j}">{_text(what)}</h2>\n<ul>'
            f"{_items(sorted(cells[i, j], key=lambda clip: -clip.score), folder)}</ul>\n"
        )
    return "".join(parts)


def _items(clips: Iterable[ClipOutcome], folder: Path) -> str:
    items = []
    for clip in clips:
        address = quote(os.fsencode(os.path.relpath(os.path.abspath(clip.path), folder.absolute())))
        unknown = ", called unknown by the gate" if clip.unknown else ""
        items.append(
            f'<li><a href="{escape(address)}">{_text(clip.clip)}</a> '
            f'<span class="quiet">{100 * clip.score:.0f} %{unknown}</span></li>'
        )
    return "".join(items)
