package main

import (
	"fmt"
	"slices"
	"strings"
)

// SignalType is the type of the events that come out.
const SignalType = "com.example.github.signal"

// Signal is the data of such an event: what happened, and why somebody should look.
type Signal struct {
	// What is the GitHub event with its action, for example issues.opened.
	What       string `json:"what"`
	Repository string `json:"repository,omitempty"`
	By         string `json:"by"`
	Title      string `json:"title,omitempty"`
	URL        string `json:"url,omitempty"`
	// Reason is half a sentence for a person.
	Reason string `json:"reason"`
}

// Filter is the function's configuration.
type Filter struct {
	// Mute lists logins whose events are noise, too.
	Mute []string `json:"mute"`
	// KeepBots lets events of bots through.
	KeepBots bool `json:"keepBots"`
}

// Judge gives the signal in an event, or says why there is none.
func (f Filter) Judge(eventType string, payload Payload) (signal Signal, dropped string) {
	what := strings.TrimPrefix(eventType, "com.github.")
	if payload.Sender.isBot() && !f.KeepBots {
		return Signal{}, "a bot did it"
	}
	if slices.Contains(f.Mute, payload.Sender.Login) {
		return Signal{}, payload.Sender.Login + " is muted"
	}
	look, actionable := looks[what]
	if !actionable {
		return Signal{}, "nobody has to act on " + what
	}
	found := look(payload)
	if found.reason == "" {
		return Signal{}, found.dropped
	}
	return Signal{
		What:       what,
		Repository: payload.Repository.FullName,
		By:         payload.Sender.Login,
		Title:      found.title,
		URL:        found.url,
		Reason:     found.reason,
	}, ""
}

func (u User) isBot() bool {
	return u.Type == "Bot" || strings.HasSuffix(u.Login, "[bot]")
}

// finding is what a look at a payload gives: a reason, or why it is dropped.
type finding struct {
	reason, title, url string
	dropped            string
}

// looks has an entry for every kind of event that may be worth a person's time.
var looks = map[string]func(Payload) finding{
	"issues.opened":                       ofIssue("somebody reported an issue"),
	"issues.reopened":                     ofIssue("an issue is back"),
	"issues.transferred":                  ofIssue("an issue moved"),
	"issue_comment.created":               func(p Payload) finding { return ofComment(p, p.Issue, "somebody commented") },
	"commit_comment.created":              func(p Payload) finding { return ofComment(p, nil, "somebody commented on a commit") },
	"discussion.created":                  func(p Payload) finding { return ofThread(p.Discussion, "somebody began a discussion") },
	"discussion_comment.created":          func(p Payload) finding { return ofComment(p, p.Discussion, "somebody answered in a discussion") },
	"pull_request.opened":                 ofPullRequest("a change waits for review"),
	"pull_request.reopened":               ofPullRequest("a change waits for review again"),
	"pull_request.ready_for_review":       ofPullRequest("a draft is ready for review"),
	"pull_request.review_requested":       ofPullRequest("your review is asked for"),
	"pull_request.closed":                 ofClosedPullRequest,
	"pull_request_review.submitted":       ofReview,
	"pull_request_review_comment.created": func(p Payload) finding { return ofComment(p, p.PullRequest, "somebody commented on a change") },
	"push":                                ofPush,
	"release.published":                   ofRelease,
	"check_run.completed":                 func(p Payload) finding { return ofRun(p.CheckRun) },
	"workflow_run.completed":              func(p Payload) finding { return ofRun(p.WorkflowRun) },
	"deployment_status.created":           func(p Payload) finding { return ofRun(p.DeploymentStatus) },
	"status":                              ofStatus,
	"dependabot_alert.created":            ofAlert("a dependency is vulnerable"),
	"code_scanning_alert.created":         ofAlert("the code scanner found something"),
	"code_scanning_alert.reopened":        ofAlert("the code scanner found something again"),
	"repository_vulnerability_alert.create": func(p Payload) finding {
		return finding{reason: "a dependency is vulnerable", url: p.Repository.URL}
	},
}

func ofIssue(reason string) func(Payload) finding {
	return func(p Payload) finding { return ofThread(p.Issue, reason) }
}

func ofThread(thread *Thread, reason string) finding {
	if thread == nil {
		return finding{dropped: "the payload has nothing to show"}
	}
	return finding{reason: reason, title: thread.Title, url: thread.URL}
}

func ofComment(p Payload, thread *Thread, reason string) finding {
	if p.Comment == nil {
		return finding{dropped: "the payload has no comment"}
	}
	found := finding{reason: reason, url: p.Comment.URL}
	if thread != nil {
		found.title = thread.Title
	}
	return found
}

func ofPullRequest(reason string) func(Payload) finding {
	return func(p Payload) finding {
		if p.PullRequest != nil && p.PullRequest.Draft {
			return finding{dropped: "it is a draft"}
		}
		return ofThread(p.PullRequest, reason)
	}
}

func ofClosedPullRequest(p Payload) finding {
	if p.PullRequest != nil && p.PullRequest.Merged {
		return ofThread(p.PullRequest, "a change was merged")
	}
	return ofThread(p.PullRequest, "a change was turned down")
}

func ofReview(p Payload) finding {
	if p.Review == nil {
		return finding{dropped: "the payload has no review"}
	}
	found := ofComment(Payload{Comment: &Comment{URL: p.Review.URL}}, p.PullRequest, "")
	switch strings.ToLower(p.Review.State) {
	case "approved":
		found.reason = "a change was approved"
	case "changes_requested":
		found.reason = "a reviewer asks for changes"
	default:
		if p.Review.Body == "" {
			// Its comments come as events of their own.
			return finding{dropped: "the review says nothing itself"}
		}
		found.reason = "a reviewer has something to say"
	}
	return found
}

func ofPush(p Payload) finding {
	branch, isBranch := strings.CutPrefix(p.Ref, "refs/heads/")
	switch {
	case !isBranch || p.Deleted || len(p.Commits) == 0:
		return finding{dropped: "it brought no commits to a branch"}
	case p.Forced:
		return finding{reason: "history of " + branch + " was rewritten", title: branch, url: p.Compare}
	case branch != p.Repository.DefaultBranch:
		return finding{dropped: "it is somebody's branch"}
	}
	return finding{reason: fmt.Sprintf("%d new on %s", len(p.Commits), branch), title: branch, url: p.Compare}
}

func ofRelease(p Payload) finding {
	if p.Release == nil {
		return finding{dropped: "the payload has no release"}
	}
	title := p.Release.Name
	if title == "" {
		title = p.Release.TagName
	}
	return finding{reason: "there is a new release", title: title, url: p.Release.URL}
}

func ofRun(run *Run) finding {
	if run == nil {
		return finding{dropped: "the payload has no run"}
	}
	url := run.URL
	if url == "" {
		url = run.TargetURL
	}
	switch {
	case run.Conclusion == "failure" || run.Conclusion == "timed_out" || run.Conclusion == "action_required":
		return finding{reason: "a run ended with " + run.Conclusion, title: run.Name, url: url}
	case run.State == "failure" || run.State == "error":
		return finding{reason: "a deployment ended with " + run.State, title: run.Environment, url: url}
	}
	return finding{dropped: "it went well"}
}

func ofStatus(p Payload) finding {
	if p.State != "failure" && p.State != "error" {
		return finding{dropped: "it went well"}
	}
	return finding{reason: "a check ended with " + p.State, title: p.Context, url: p.TargetURL}
}

func ofAlert(reason string) func(Payload) finding {
	return func(p Payload) finding {
		return finding{reason: reason, title: p.Alert.Rule.Description, url: p.Alert.URL}
	}
}
