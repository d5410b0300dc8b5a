// Command noise-filter is a function that lets through what a maintainer wants to hear of, and drops the rest of GitHub's webhooks.
package main

import (
	"context"

	fn "github.com/fn-platform/fn/sdk/go"
)

func main() {
	var filter Filter
	fn.Serve(fn.Function{
		Name:        "noise-filter",
		Version:     "1.0.0",
		Description: "Drops the GitHub events that nobody has to act on.",
		Accepts:     []string{"com.github.*"},
		Emits:       []string{SignalType},
		Setup: func(_ context.Context, init fn.Init) error {
			return init.DecodeConfig(&filter)
		},
		Handle: func(ctx context.Context, event fn.Event) ([]fn.Event, error) {
			var payload Payload
			if err := event.Decode(&payload); err != nil {
				return nil, err
			}
			signal, dropped := filter.Judge(event.Type, payload)
			if dropped != "" {
				return nil, nil
			}
			fn.Logger(ctx).Info(signal.Reason, "what", signal.What, "repository", signal.Repository)
			out, err := fn.NewEvent(SignalType, signal)
			out.Subject = signal.URL
			return []fn.Event{out}, err
		},
	})
}
