"""A GitHub issue or pull request comes in; out goes one event with the labels it should have."""

from __future__ import annotations

import fn_sdk as fn
from github import read_subject
from rules import labels_for


def label(event: fn.Event, ctx: fn.Context) -> fn.Event:
    subject = read_subject(event.data)
    if subject is None:
        raise fn.terminal("NOT_AN_ISSUE", f"{event.type} {event.id} carries neither an issue nor a pull request")
    without = ctx.config.get("without", [])
    labels = [name for name in labels_for(subject) if name not in without]
    data = {
        "repository": subject.repository,
        "kind": subject.kind,
        "number": subject.number,
        "title": subject.title,
        "url": subject.url,
        "labels": labels,
        "added": [name for name in labels if name not in subject.labels],
    }
    return fn.Event("com.example.issue.labelled", data, subject=f"{subject.repository}#{subject.number}")


fn.serve(
    label,
    name="issue-labeler-python",
    version="1.0.0",
    accepts=["com.github.issues.*", "com.github.pull_request.*"],
    emits=["com.example.issue.labelled"],
)
