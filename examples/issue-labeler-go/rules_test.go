package main

import (
	"encoding/json"
	"slices"
	"testing"
)

func TestLabelsFor(t *testing.T) {
	lines := func(count int64) func(*Subject) {
		return func(s *Subject) { s.Kind, s.ChangedLines = PullRequest, &count }
	}
	for name, test := range map[string]struct {
		change func(*Subject)
		labels []string
	}{
		"nothing to say": {func(*Subject) {}, []string{"needs-triage"}},
		"a crash":        {func(s *Subject) { s.Title = "It crashes on start" }, []string{"bug"}},
		"a hole":         {func(s *Subject) { s.Body = "This is CVE-2026-12345, please mend." }, []string{"security"}},
		"a wish":         {func(s *Subject) { s.Body = "Please add support for dark mode." }, []string{"enhancement"}},
		"a question":     {func(s *Subject) { s.Title = "How do I install this?" }, []string{"question"}},
		"a bot's update": {func(s *Subject) { s.Author = "dependabot[bot]" }, []string{"dependencies"}},
		"no description": {func(s *Subject) { s.Body = " " }, []string{"needs-description"}},
		"a draft":        {func(s *Subject) { s.Draft = true }, []string{"work-in-progress"}},
		"a small change": {lines(9), []string{"size/XS"}},
		"a big change":   {lines(1000), []string{"size/XL"}},
	} {
		subject := Subject{Kind: Issue, Repository: "o/r", Title: "Something", Body: "A description that is long enough.", Author: "ada"}
		test.change(&subject)
		if labels := LabelsFor(subject); !slices.Equal(labels, test.labels) {
			t.Errorf("%s: %v, not %v", name, labels, test.labels)
		}
	}
}

func TestLabelLeavesOutWhatIsNotWanted(t *testing.T) {
	labelled := label(Config{Without: []string{"bug"}}, Subject{Title: "A bug in the docs", Body: "Twenty characters and more.", Labels: []string{"documentation"}})
	if !slices.Equal(labelled.Labels, []string{"documentation"}) || labelled.Added == nil || len(labelled.Added) > 0 {
		t.Errorf("labels %v, added %v", labelled.Labels, labelled.Added)
	}
}

func TestSubject(t *testing.T) {
	for body, want := range map[string]bool{
		`{"issue":{"title":"Broken"},"repository":{"full_name":"o/r"}}`:        true,
		`{"pull_request":{"title":"Mend"},"repository":{"full_name":"o/r"}}`:   true,
		`{"issue":{"title":"Broken","body":null,"user":null},"repository":{}}`: true,
		`{"issue":{"title":"Broken"}}`:                                         false,
		`{"issue":{},"repository":{}}`:                                         false,
		`{"zen":"Keep it logically awesome."}`:                                 false,
		`null`:                                                                 false,
	} {
		var payload Payload
		if err := json.Unmarshal([]byte(body), &payload); err != nil {
			t.Fatal(err)
		}
		if _, found := payload.Subject(); found != want {
			t.Errorf("%s: found is %v", body, found)
		}
	}
}
