package com.example.labels;

import io.github.fnplatform.fn.Context;
import io.github.fnplatform.fn.Event;
import io.github.fnplatform.fn.Fn;
import io.github.fnplatform.fn.FnException;
import java.util.List;

/** A GitHub issue or pull request comes in; out goes one event with the labels it should have. */
public final class Main {
  /** Data of the event that goes out: every label it should have, and those it does not have yet. */
  record Labelled(String repository, String kind, long number, String title, String url, List<String> labels, List<String> added) {}

  /** What fn.yaml says under config. */
  record Config(List<String> without) {}

  private Main() {}

  public static void main(String[] args) {
    Fn.named("issue-labeler-java")
        .version("1.0.0")
        .accepts("com.github.issues.*", "com.github.pull_request.*")
        .emits("com.example.issue.labelled")
        .serve(Main::label);
  }

  private static Event label(Event event, Context context) {
    Subject subject =
        Subject.of(event.data(Subject.Payload.class))
            .orElseThrow(
                () ->
                    FnException.terminal(
                        "NOT_AN_ISSUE", event.type() + " " + event.id() + " carries neither an issue nor a pull request"));
    Config config = context.config(Config.class);
    List<String> without = config.without() == null ? List.of() : config.without();
    List<String> labels = Rules.labelsFor(subject).stream().filter(label -> !without.contains(label)).toList();
    List<String> added = labels.stream().filter(label -> !subject.labels().contains(label)).toList();
    Labelled data =
        new Labelled(subject.repository(), subject.kind(), subject.number(), subject.title(), subject.url(), labels, added);
    return Event.of("com.example.issue.labelled", data).withSubject(subject.repository() + "#" + subject.number());
  }
}
