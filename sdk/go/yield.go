package fn

import (
	"context"
	"sync"

	"github.com/fn-platform/fn/sdk/go/internal/cloudeventsv1"
)

// sendEvent sends one event of a call that streams, and returns when the next one is wanted, or with why none is.
type sendEvent func(ctx context.Context, event *cloudeventsv1.CloudEvent) error

// maxKept is how many events an answer has at most. A function that yields without end is one to be streamed.
const maxKept = 100_000

// yielder is the yield of one call: it sends events as they come, or keeps them for the result.
type yielder struct {
	server *server
	send   sendEvent

	mu     sync.Mutex
	events []*cloudeventsv1.CloudEvent
	over   bool
	// failure is the first event that was none; the call fails with it whatever the handler returns.
	failure *Error
}

// yield may be called from several goroutines; their events go out one after the other.
func (y *yielder) yield(ctx context.Context, event Event) error {
	y.mu.Lock()
	defer y.mu.Unlock()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if y.over {
		return context.Canceled
	}
	encoded, failure := y.server.encode(event)
	if len(y.events) == maxKept {
		failure = &Error{Code: ResourceExhausted, Reason: "OUTPUT_LIMIT", Message: "the function yields too many events for one answer: take them as a stream"}
	}
	if failure != nil {
		if y.failure == nil {
			y.failure = failure
		}
		return failure
	}
	if y.send != nil {
		return y.send(ctx, encoded)
	}
	y.events = append(y.events, encoded)
	return nil
}

// end ends the yielding: what was not sent, or why the call failed though its handler did not say so.
func (y *yielder) end() ([]*cloudeventsv1.CloudEvent, *Error) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.over = true
	return y.events, y.failure
}

// outputWindow counts what a call may still send.
type outputWindow struct {
	mu   sync.Mutex
	left int
	more chan struct{}
}

// newOutputWindow gives nil for a call that does not stream.
func newOutputWindow(credit int) *outputWindow {
	if credit <= 0 {
		return nil
	}
	return &outputWindow{left: credit, more: make(chan struct{}, 1)}
}

// spend counts an event that was sent, and returns when the next one may be.
func (w *outputWindow) spend(ctx context.Context) error {
	w.mu.Lock()
	w.left--
	w.mu.Unlock()
	for !w.hasCredit() {
		select {
		case <-w.more:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

func (w *outputWindow) hasCredit() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.left > 0
}

// grant is harmless on nil: a call that is over, or does not stream.
func (w *outputWindow) grant(count int) {
	if w == nil {
		return
	}
	w.mu.Lock()
	w.left += count
	w.mu.Unlock()
	select {
	case w.more <- struct{}{}:
	default:
	}
}
