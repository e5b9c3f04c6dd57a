"""stub"""
from __future__ import annotations
from pathlib import Path
from dataclasses import dataclass
from acumen.evaluation.results import Result
@dataclass(frozen=True)
class Page:
    result: Result
    contenders: object
    default: str|None
    remarks: tuple[str,...]
def write_report(page: Page, path: Path) -> None:
    pass
