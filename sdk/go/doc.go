// Package fn is for functions written in Go: one CloudEvent in, none, one or many out.
//
//	func main() {
//		fn.Serve(fn.Function{
//			Name: "hello",
//			Handle: func(ctx context.Context, event fn.Event) ([]fn.Event, error) {
//				var name string
//				if err := event.Decode(&name); err != nil {
//					return nil, err
//				}
//				greeting, err := fn.NewEvent("greeted", "hello "+name)
//				return []fn.Event{greeting}, err
//			},
//		})
//	}
//
// The program is a plugin of hashicorp/go-plugin that serves fn.plugin.v1.Function; the platform starts it, or any other go-plugin host.
// Print and log as you like: os.Stdout, os.Stderr, log and [Logger] all reach the function's log.
package fn
