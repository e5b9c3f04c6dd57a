"""What self-contained HTML pages have in common: style, light and dark; tiles; embedded data."""

from __future__ import annotations

import html
import json
from importlib import resources
from typing import Any


def text(value: object) -> str:
    """A value as text that is safe in HTML, in attributes too."""
    return html.escape(str(value))


def tile(name: str, number: str, note: str) -> str:
    """A headline number with its name above and a note below, all of them HTML."""
    return (
        f'<div class="tile"><div class="name">{name}</div>'
        f'<div class="number">{number}</div><div class="note">{note}</div></div>'
    )


def embedded(data: Any) -> str:
    """Data as compact JSON that cannot end the script element in which it stands."""
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")


def shared_style() -> str:
    """The style sheet that all pages begin with."""
    assets = resources.files(__package__).joinpath("report_assets")
    return assets.joinpath("base.css").read_text("utf-8")
