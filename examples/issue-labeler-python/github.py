"""The parts of GitHub's `issues` and `pull_request` payloads that labels depend on.

https://docs.github.com/webhooks/webhook-events-and-payloads
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional


@dataclass(frozen=True)
class Subject:
    """An issue or a pull request, whichever the webhook was about."""

    kind: str
    repository: str
    number: int
    title: str
    body: str = ""
    url: str = ""
    author: str = "ghost"
    # Labels it has already.
    labels: tuple[str, ...] = ()
    draft: bool = False
    # Lines a pull request adds and removes.
    changed_lines: Optional[int] = None


def read_subject(payload: Any) -> Optional[Subject]:
    """What the payload is about; None when it is about neither an issue nor a pull request."""
    if not isinstance(payload, dict):
        return None
    pull_request, repository = payload.get("pull_request"), payload.get("repository")
    item = pull_request or payload.get("issue")
    if not item or not repository or not isinstance(item.get("title"), str):
        return None
    changed_lines = None
    if pull_request and "additions" in pull_request:
        changed_lines = pull_request["additions"] + pull_request.get("deletions", 0)
    return Subject(
        kind="pull_request" if pull_request else "issue",
        repository=repository["full_name"],
        number=item["number"],
        title=item["title"],
        body=item.get("body") or "",
        url=item["html_url"],
        author=(item.get("user") or {}).get("login", "ghost"),
        labels=tuple(label["name"] for label in item.get("labels") or ()),
        draft=item.get("draft") is True,
        changed_lines=changed_lines,
    )
