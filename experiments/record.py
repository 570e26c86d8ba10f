"""Write what an experiment measured into its section of ``experiments/README.md``: numbers are never typed there by hand."""

from __future__ import annotations

__all__ = ["mean_and_spread", "record"]

import os
import platform
import subprocess
from pathlib import Path

import numpy as np
import torch

PAGE = Path(__file__).parent / "README.md"


def record(section: str, command: str, seconds: float, table: list[str], notes: str = "") -> None:
    """Replace a section, or append it.

    Arguments:
        section: its title.
        command: what prints these numbers.
        seconds: wall time that it took.
        table: lines of a Markdown table.
        notes: a sentence or two to stand below it.
    """
    begin, end = f"<!-- begin {section} -->", f"<!-- end {section} -->"
    lines = [
        begin,
        f"## {section}",
        "",
        f"`{command}` · {seconds / 60:.0f} min · {_hardware()} · torch {torch.__version__} · commit {_commit()}",
        "",
        *table,
        *(["", notes] if notes else []),
        end,
    ]
    text = PAGE.read_text(encoding="utf-8")
    if begin in text:
        before, rest = text.split(begin, 1)
        text = before + "\n".join(lines) + rest.split(end, 1)[1]
    else:
        text = text.rstrip() + "\n\n" + "\n".join(lines) + "\n"
    PAGE.write_text(text, encoding="utf-8")
    print("\n".join(lines[1:-1]))


def mean_and_spread(values: list[float], form: str) -> str:
    """Mean and standard deviation over runs (n - 1); of one run, its value."""
    if len(values) == 1:
        return f"{values[0]:{form}}"
    return f"{float(np.mean(values)):{form}} ± {float(np.std(values, ddof=1)):{form}}"


def _hardware() -> str:
    names = [line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    processor = names[0] if names else platform.processor() or platform.machine()
    return f"{processor}, {os.cpu_count()} cores, {torch.get_num_threads()} thread(s){gpu}"


def _lines(file: str) -> list[str]:
    return Path(file).read_text().splitlines() if Path(file).exists() else []


def _commit() -> str:
    root = Path(__file__).parent
    short = subprocess.run(["git", "-C", str(root), "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    changed = subprocess.run(["git", "-C", str(root), "status", "--porcelain", "--", "../ali"], capture_output=True, text=True).stdout
    return short + (" with changes" if changed else "")
