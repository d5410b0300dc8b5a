// Command __NAME__ is a function: one event in, any number of events out.
package main

import (
	"context"

	fn "github.com/fn-platform/fn/sdk/go"
)

// Config is what fn.yaml says under config.
type Config struct {
	Greeting string `json:"greeting"`
}

// Visitor is what callers send as the event's data.
type Visitor struct {
	Name string `json:"name"`
}

// Greeting is the data of the event that goes out.
type Greeting struct {
	Text string `json:"text"`
}

func main() {
	var config Config
	fn.Serve(fn.Function{
		Name:  "__NAME__",
		Emits: []string{"com.example.greeted"},
		Setup: func(_ context.Context, init fn.Init) error {
			return init.DecodeConfig(&config)
		},
		Handle: func(ctx context.Context, event fn.Event) ([]fn.Event, error) {
			var visitor Visitor
			if len(event.Data) > 0 {
				if err := event.Decode(&visitor); err != nil {
					return nil, err
				}
			}
			fn.Logger(ctx).Info("greeting", "name", visitor.Name)
			out, err := fn.NewEvent("com.example.greeted", greet(config, visitor))
			return []fn.Event{out}, err
		},
	})
}

func greet(config Config, visitor Visitor) Greeting {
	name := visitor.Name
	if name == "" {
		name = "world"
	}
	return Greeting{Text: config.Greeting + ", " + name + "!"}
}
