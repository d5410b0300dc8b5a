package com.example.labels;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class RulesTest {
  private static final String ENOUGH = "A description that is long enough.";

  private static Subject issue(String title, String body, String author) {
    return new Subject("issue", "o/r", 1, title, body, "", author, List.of(), false, null);
  }

  private static Subject pullRequest(boolean draft, Integer changedLines) {
    return new Subject("pull_request", "o/r", 1, "Something", ENOUGH, "", "ada", List.of(), draft, changedLines);
  }

  @ParameterizedTest
  @CsvSource({
    "Something, needs-triage",
    "It crashes on start, bug",
    "Ébug is one, bug",
    "Debugging is none, needs-triage",
    "How do I install this?, question",
    "Bump left-pad from 1 to 2, dependencies",
  })
  void labelsByTitle(String title, String label) {
    assertEquals(List.of(label), Rules.labelsFor(issue(title, ENOUGH, "ada")));
  }

  @Test
  void labelsByBodyAndAuthor() {
    assertEquals(List.of("security"), Rules.labelsFor(issue("Something", "This is CVE-2026-12345, please mend.", "ada")));
    assertEquals(List.of("needs-description"), Rules.labelsFor(issue("Something", "\u00a0 " + " ".repeat(30), "ada")));
    assertEquals(List.of("dependencies"), Rules.labelsFor(issue("Something", ENOUGH, "dependabot[bot]")));
  }

  @Test
  void labelsBySizeAndDraft() {
    assertEquals(List.of("work-in-progress", "size/S"), Rules.labelsFor(pullRequest(true, 10)));
    assertEquals(List.of("size/XL"), Rules.labelsFor(pullRequest(false, 1000)));
  }

  @Test
  void whatCarriesNoIssueIsEmpty() {
    assertTrue(Subject.of(null).isEmpty());
    assertTrue(Subject.of(new Subject.Payload(null, null, new Subject.Repository("o/r"))).isEmpty());
  }
}
