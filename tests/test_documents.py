"""What the documents promise is there: links lead somewhere, nothing is left to be filled in."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("src/**/*.md")])


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "@@" not in text
    for link in re.findall(r"\]\(([^)#\s]+)", text):
        assert link.startswith(("http://", "https://")) or (path.parent / link).exists(), link
