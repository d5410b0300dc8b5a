// Command issue-labeler-go is a function: a GitHub issue or pull request comes in; out goes one event with the labels it should have.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	fn "github.com/fn-platform/fn/sdk/go"
)

// LabelledType is the type of the events that come out.
const LabelledType = "com.example.issue.labelled"

// Config is what fn.yaml says under config.
type Config struct {
	// Without lists labels that the repository does not want.
	Without []string `json:"without"`
}

// Labelled is the data of the event that goes out.
type Labelled struct {
	Repository string `json:"repository"`
	Kind       Kind   `json:"kind"`
	Number     int64  `json:"number"`
	Title      string `json:"title"`
	URL        string `json:"url"`
	// Labels are all it should have.
	Labels []string `json:"labels"`
	// Added are those it does not have yet.
	Added []string `json:"added"`
}

func main() {
	var config Config
	fn.Serve(fn.Function{
		Name:        "issue-labeler-go",
		Version:     "1.0.0",
		Description: "Labels issues and pull requests by clear rules.",
		Accepts:     []string{"com.github.issues.*", "com.github.pull_request.*"},
		Emits:       []string{LabelledType},
		Setup: func(_ context.Context, init fn.Init) error {
			return init.DecodeConfig(&config)
		},
		Handle: func(_ context.Context, event fn.Event) ([]fn.Event, error) {
			var payload Payload
			subject, found := Subject{}, false
			if json.Unmarshal(event.Data, &payload) == nil {
				subject, found = payload.Subject()
			}
			if !found {
				return nil, fn.Terminal("NOT_AN_ISSUE", fmt.Sprintf("%s %s carries neither an issue nor a pull request", event.Type, event.ID))
			}
			out, err := fn.NewEvent(LabelledType, label(config, subject))
			out.Subject = fmt.Sprintf("%s#%d", subject.Repository, subject.Number)
			return []fn.Event{out}, err
		},
	})
}

func label(config Config, subject Subject) Labelled {
	labelled := Labelled{
		Repository: subject.Repository,
		Kind:       subject.Kind,
		Number:     subject.Number,
		Title:      subject.Title,
		URL:        subject.URL,
		// Not nil: an empty list, also in JSON.
		Labels: []string{},
		Added:  []string{},
	}
	for _, name := range LabelsFor(subject) {
		if slices.Contains(config.Without, name) {
			continue
		}
		labelled.Labels = append(labelled.Labels, name)
		if !slices.Contains(subject.Labels, name) {
			labelled.Added = append(labelled.Added, name)
		}
	}
	return labelled
}
