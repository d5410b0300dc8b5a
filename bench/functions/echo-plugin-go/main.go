// Command echo-plugin-go gives back what it gets, in an event of its own.
package main

import (
	"context"

	fn "github.com/fn-platform/fn/sdk/go"
)

func main() {
	fn.Serve(fn.Function{
		Name: "echo-plugin-go",
		Handle: func(_ context.Context, event fn.Event) ([]fn.Event, error) {
			return []fn.Event{{Type: "com.example.echoed", DataContentType: event.DataContentType, Data: event.Data}}, nil
		},
	})
}
