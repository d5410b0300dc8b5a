"""One label and when it applies, in this order; all that apply are given."""

from __future__ import annotations

import re
from typing import Callable

from github import Subject

# As everywhere on GitHub, words are those of ASCII.
FLAGS = re.IGNORECASE | re.ASCII
ENOUGH_CHARACTERS = 20
# A pull request is this size as long as it changes no more lines.
SIZES = (("size/XS", 9), ("size/S", 49), ("size/M", 249), ("size/L", 999))


def words(pattern: str) -> Callable[[Subject], bool]:
    found = re.compile(pattern, FLAGS).search
    return lambda subject: bool(found(subject.title) or found(subject.body))


def title(pattern: str) -> Callable[[Subject], bool]:
    found = re.compile(pattern, FLAGS).search
    return lambda subject: bool(found(subject.title))


def author(pattern: str) -> Callable[[Subject], bool]:
    found = re.compile(pattern, FLAGS).search
    return lambda subject: bool(found(subject.author))


def either(*rules: Callable[[Subject], bool]) -> Callable[[Subject], bool]:
    return lambda subject: any(rule(subject) for rule in rules)


RULES: tuple[tuple[str, Callable[[Subject], bool]], ...] = (
    ("security", words(r"\b(security|vulnerabilit(y|ies)|CVE-\d{4}-\d+|XSS|injection)\b")),
    ("bug", words(r"\b(bug|crash(es|ed)?|error|broken|fails?|regression|stack ?trace)\b")),
    ("documentation", words(r"\b(readme|docs?|documentation|typo|spelling|spelled)\b")),
    ("enhancement", words(r"\b(feature request|please add|would be (nice|great)|support for)\b")),
    ("question", either(title(r"\?\s*\Z"), title(r"^(how|why|what|where|can)\b"))),
    ("dependencies", either(author(r"^(dependabot|renovate)"), title(r"^bump\s"))),
    ("needs-description", lambda subject: len(subject.body.strip()) < ENOUGH_CHARACTERS),
    ("work-in-progress", either(lambda subject: subject.draft, title(r"^\[?wip\b"))),
)


def labels_for(subject: Subject) -> list[str]:
    """The labels it should have; `needs-triage` when no rule says anything."""
    labels = [label for label, applies in RULES if applies(subject)]
    if subject.changed_lines is not None:
        labels.append(next((size for size, up_to in SIZES if subject.changed_lines <= up_to), "size/XL"))
    return labels or ["needs-triage"]
