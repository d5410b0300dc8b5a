import sys
import unittest
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from github import Subject, read_subject  # noqa: E402
from rules import labels_for  # noqa: E402

SUBJECT = Subject(kind="issue", repository="o/r", number=1, title="Something", body="A description that is long enough.")
CASES = {
    "nothing to say": ({}, ["needs-triage"]),
    "a crash": ({"title": "It crashes on start"}, ["bug"]),
    "a hole": ({"body": "This is CVE-2026-12345, please mend."}, ["security"]),
    "a question": ({"title": "How do I install this?"}, ["question"]),
    "a bot's update": ({"author": "dependabot[bot]", "title": "Bump left-pad from 1 to 2"}, ["dependencies"]),
    "no description": ({"body": " "}, ["needs-description"]),
    "a draft": ({"kind": "pull_request", "draft": True, "changed_lines": 10}, ["work-in-progress", "size/S"]),
    "a big change": ({"kind": "pull_request", "changed_lines": 1000}, ["size/XL"]),
}


class RulesTest(unittest.TestCase):
    def test_labels(self) -> None:
        for name, (change, labels) in CASES.items():
            with self.subTest(name):
                self.assertEqual(labels_for(replace(SUBJECT, **change)), labels)

    def test_what_carries_no_issue_is_none(self) -> None:
        for payload in (None, [], {}, {"issue": {"title": 3}, "repository": {}}, {"zen": "Keep it logically awesome."}):
            self.assertIsNone(read_subject(payload))


if __name__ == "__main__":
    unittest.main()
