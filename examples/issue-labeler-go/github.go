package main

// Kind is what a webhook was about.
type Kind string

// The two kinds.
const (
	Issue       Kind = "issue"
	PullRequest Kind = "pull_request"
)

// Subject is an issue or a pull request, whichever the webhook was about.
type Subject struct {
	Kind       Kind
	Repository string
	Number     int64
	Title      string
	Body       string
	URL        string
	Author     string
	// Labels it has already.
	Labels []string
	Draft  bool
	// ChangedLines a pull request adds and removes; nil where nobody has counted them.
	ChangedLines *int64
}

// Payload is the part of GitHub's issues and pull_request payloads that labels depend on.
// https://docs.github.com/webhooks/webhook-events-and-payloads
type Payload struct {
	Issue       *Item       `json:"issue"`
	PullRequest *Item       `json:"pull_request"`
	Repository  *Repository `json:"repository"`
}

// Item is an issue or a pull request as GitHub sends it. What may be missing is a pointer.
type Item struct {
	Number int64   `json:"number"`
	Title  *string `json:"title"`
	Body   string  `json:"body"`
	URL    string  `json:"html_url"`
	User   *struct {
		Login string `json:"login"`
	} `json:"user"`
	Labels []struct {
		Name string `json:"name"`
	} `json:"labels"`
	Draft     bool   `json:"draft"`
	Additions *int64 `json:"additions"`
	Deletions int64  `json:"deletions"`
}

// Repository is where it happened.
type Repository struct {
	FullName string `json:"full_name"`
}

// Subject is what the payload is about; found is false when it is about neither an issue nor a pull request.
func (p Payload) Subject() (subject Subject, found bool) {
	kind, item := PullRequest, p.PullRequest
	if item == nil {
		kind, item = Issue, p.Issue
	}
	if item == nil || item.Title == nil || p.Repository == nil {
		return Subject{}, false
	}
	subject = Subject{
		Kind:       kind,
		Repository: p.Repository.FullName,
		Number:     item.Number,
		Title:      *item.Title,
		Body:       item.Body,
		URL:        item.URL,
		Author:     "ghost",
		Draft:      item.Draft,
	}
	if item.User != nil {
		subject.Author = item.User.Login
	}
	for _, label := range item.Labels {
		subject.Labels = append(subject.Labels, label.Name)
	}
	if kind == PullRequest && item.Additions != nil {
		changed := *item.Additions + item.Deletions
		subject.ChangedLines = &changed
	}
	return subject, true
}
