package com.example.labels;

import com.google.gson.annotations.SerializedName;
import java.util.List;
import java.util.Optional;

/** An issue or a pull request, whichever the webhook was about. {@code changedLines} is null where GitHub says nothing of it. */
record Subject(
    String kind,
    String repository,
    long number,
    String title,
    String body,
    String url,
    String author,
    List<String> labels,
    boolean draft,
    Integer changedLines) {

  /**
   * The parts of GitHub's payloads that labels depend on.
   *
   * @see <a href="https://docs.github.com/webhooks/webhook-events-and-payloads">Webhook events and payloads</a>
   */
  record Payload(Item issue, @SerializedName("pull_request") Item pullRequest, Repository repository) {}

  record Item(
      long number,
      String title,
      String body,
      @SerializedName("html_url") String url,
      User user,
      List<Label> labels,
      Boolean draft,
      Integer additions,
      Integer deletions) {}

  record User(String login) {}

  record Label(String name) {}

  record Repository(@SerializedName("full_name") String fullName) {}

  /** What the payload is about; empty when it is about neither an issue nor a pull request. */
  static Optional<Subject> of(Payload payload) {
    if (payload == null) return Optional.empty();
    Item pullRequest = payload.pullRequest();
    Item item = pullRequest == null ? payload.issue() : pullRequest;
    if (item == null || item.title() == null || payload.repository() == null) return Optional.empty();
    return Optional.of(
        new Subject(
            pullRequest == null ? "issue" : "pull_request",
            payload.repository().fullName(),
            item.number(),
            item.title(),
            item.body() == null ? "" : item.body(),
            item.url(),
            item.user() == null ? "ghost" : item.user().login(),
            item.labels() == null ? List.of() : item.labels().stream().map(Label::name).toList(),
            Boolean.TRUE.equals(item.draft()),
            changedLines(pullRequest)));
  }

  private static Integer changedLines(Item pullRequest) {
    if (pullRequest == null || pullRequest.additions() == null) return null;
    return pullRequest.additions() + (pullRequest.deletions() == null ? 0 : pullRequest.deletions());
  }
}
