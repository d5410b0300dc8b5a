package com.example.labels;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Predicate;
import java.util.regex.Pattern;

/** One label and when it applies, in this order; all that apply are given. */
final class Rules {
  /** White space as GitHub's own pages have it; Java's is that of ASCII. */
  private static final String SPACE = "[\\s\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000\\ufeff]";

  private static final Pattern AROUND = Pattern.compile("\\A" + SPACE + "+|" + SPACE + "+\\z");
  private static final int ENOUGH_CHARACTERS = 20;
  private static final Map<String, Predicate<Subject>> RULES = new LinkedHashMap<>();
  /** A pull request is this size as long as it changes no more lines. */
  private static final Map<String, Integer> SIZES = new LinkedHashMap<>();

  static {
    RULES.put("security", words("security|vulnerabilit(y|ies)|CVE-\\d{4}-\\d+|XSS|injection"));
    RULES.put("bug", words("bug|crash(es|ed)?|error|broken|fails?|regression|stack ?trace"));
    RULES.put("documentation", words("readme|docs?|documentation|typo|spelling|spelled"));
    RULES.put("enhancement", words("feature request|please add|would be (nice|great)|support for"));
    RULES.put("question", title("\\?" + SPACE + "*\\z").or(title("\\A(how|why|what|where|can)(?!\\w)")));
    RULES.put("dependencies", author("\\A(dependabot|renovate)").or(title("\\Abump" + SPACE)));
    RULES.put("needs-description", subject -> AROUND.matcher(subject.body()).replaceAll("").length() < ENOUGH_CHARACTERS);
    RULES.put("work-in-progress", title("\\A\\[?wip(?!\\w)").or(Subject::draft));
    SIZES.put("size/XS", 9);
    SIZES.put("size/S", 49);
    SIZES.put("size/M", 249);
    SIZES.put("size/L", 999);
  }

  private Rules() {}

  /** The labels it should have; {@code needs-triage} when no rule says anything. */
  static List<String> labelsFor(Subject subject) {
    List<String> labels = new ArrayList<>();
    RULES.forEach(
        (label, applies) -> {
          if (applies.test(subject)) labels.add(label);
        });
    if (subject.changedLines() != null) labels.add(sizeOf(subject.changedLines()));
    return labels.isEmpty() ? List.of("needs-triage") : labels;
  }

  private static String sizeOf(int changedLines) {
    for (Map.Entry<String, Integer> size : SIZES.entrySet()) if (changedLines <= size.getValue()) return size.getKey();
    return "size/XL";
  }

  /** Whole words, of ASCII as everywhere on GitHub; what Java takes for the edge of a word depends on its version. */
  private static Predicate<Subject> words(String words) {
    Predicate<String> found = found("(?<!\\w)(" + words + ")(?!\\w)");
    return subject -> found.test(subject.title()) || found.test(subject.body());
  }

  private static Predicate<Subject> title(String pattern) {
    Predicate<String> found = found(pattern);
    return subject -> found.test(subject.title());
  }

  private static Predicate<Subject> author(String pattern) {
    Predicate<String> found = found(pattern);
    return subject -> found.test(subject.author());
  }

  private static Predicate<String> found(String pattern) {
    return Pattern.compile(pattern, Pattern.CASE_INSENSITIVE).asPredicate();
  }
}
