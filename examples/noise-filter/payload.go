package main

import "encoding/json"

// Payload is the part of GitHub's webhook payloads that is judged. Most kinds of event have only some of it.
// https://docs.github.com/webhooks/webhook-events-and-payloads
type Payload struct {
	Sender     User       `json:"sender"`
	Repository Repository `json:"repository"`

	Issue       *Thread  `json:"issue"`
	PullRequest *Thread  `json:"pull_request"`
	Discussion  *Thread  `json:"discussion"`
	Comment     *Comment `json:"comment"`
	Review      *Review  `json:"review"`
	Release     *Release `json:"release"`

	CheckRun         *Run  `json:"check_run"`
	WorkflowRun      *Run  `json:"workflow_run"`
	DeploymentStatus *Run  `json:"deployment_status"`
	Alert            Alert `json:"alert"`

	// Of a push.
	Ref     string            `json:"ref"`
	Deleted bool              `json:"deleted"`
	Forced  bool              `json:"forced"`
	Compare string            `json:"compare"`
	Commits []json.RawMessage `json:"commits"`

	// Of a commit status.
	State     string `json:"state"`
	Context   string `json:"context"`
	TargetURL string `json:"target_url"`
}

// User did what the event tells of.
type User struct {
	Login string `json:"login"`
	Type  string `json:"type"`
}

// Repository is where it happened.
type Repository struct {
	FullName      string `json:"full_name"`
	URL           string `json:"html_url"`
	DefaultBranch string `json:"default_branch"`
}

// Thread is an issue, a pull request or a discussion.
type Thread struct {
	Title  string `json:"title"`
	URL    string `json:"html_url"`
	Draft  bool   `json:"draft"`
	Merged bool   `json:"merged"`
}

// Comment is one on a thread or a commit.
type Comment struct {
	URL string `json:"html_url"`
}

// Review is one of a pull request.
type Review struct {
	State string `json:"state"`
	Body  string `json:"body"`
	URL   string `json:"html_url"`
}

// Release is one of a repository.
type Release struct {
	Name    string `json:"name"`
	TagName string `json:"tag_name"`
	URL     string `json:"html_url"`
}

// Run is a check, a workflow run or a deployment.
type Run struct {
	Name        string `json:"name"`
	Conclusion  string `json:"conclusion"`
	State       string `json:"state"`
	Environment string `json:"environment"`
	URL         string `json:"html_url"`
	TargetURL   string `json:"target_url"`
}

// Alert is one of a security scanner.
type Alert struct {
	URL  string `json:"html_url"`
	Rule struct {
		Description string `json:"description"`
	} `json:"rule"`
}
