package main

import (
	"regexp"
	"strings"
	"unicode/utf16"
)

// A body of fewer characters describes nothing.
const enoughCharacters = 20

// rule is one label and when it applies.
type rule struct {
	label   string
	applies func(Subject) bool
}

// In this order; all that apply are given.
var rules = []rule{
	{"security", words(`\b(security|vulnerabilit(y|ies)|CVE-\d{4}-\d+|XSS|injection)\b`)},
	{"bug", words(`\b(bug|crash(es|ed)?|error|broken|fails?|regression|stack ?trace)\b`)},
	{"documentation", words(`\b(readme|docs?|documentation|typo|spelling|spelled)\b`)},
	{"enhancement", words(`\b(feature request|please add|would be (nice|great)|support for)\b`)},
	{"question", either(title(`\?\s*$`), title(`^(how|why|what|where|can)\b`))},
	{"dependencies", either(author(`^(dependabot|renovate)`), title(`^bump\s`))},
	{"needs-description", func(s Subject) bool {
		// Counted as GitHub's own pages count, which are written in JavaScript.
		return len(utf16.Encode([]rune(strings.TrimSpace(s.Body)))) < enoughCharacters
	}},
	{"work-in-progress", either(func(s Subject) bool { return s.Draft }, title(`^\[?wip\b`))},
}

// A pull request is this size as long as it changes no more lines.
var sizes = []struct {
	label string
	upTo  int64
}{{"size/XS", 9}, {"size/S", 49}, {"size/M", 249}, {"size/L", 999}}

// LabelsFor gives the labels that subject should have; needs-triage when no rule says anything.
func LabelsFor(subject Subject) []string {
	var labels []string
	for _, rule := range rules {
		if rule.applies(subject) {
			labels = append(labels, rule.label)
		}
	}
	if subject.ChangedLines != nil {
		labels = append(labels, sizeOf(*subject.ChangedLines))
	}
	if len(labels) == 0 {
		return []string{"needs-triage"}
	}
	return labels
}

func sizeOf(changedLines int64) string {
	for _, size := range sizes {
		if changedLines <= size.upTo {
			return size.label
		}
	}
	return "size/XL"
}

func words(pattern string) func(Subject) bool {
	found := compile(pattern)
	return func(s Subject) bool { return found(s.Title) || found(s.Body) }
}

func title(pattern string) func(Subject) bool {
	found := compile(pattern)
	return func(s Subject) bool { return found(s.Title) }
}

func author(pattern string) func(Subject) bool {
	found := compile(pattern)
	return func(s Subject) bool { return found(s.Author) }
}

func compile(pattern string) func(string) bool {
	return regexp.MustCompile(`(?i)` + pattern).MatchString
}

func either(one, other func(Subject) bool) func(Subject) bool {
	return func(s Subject) bool { return one(s) || other(s) }
}
