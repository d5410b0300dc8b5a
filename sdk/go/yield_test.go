package fn

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/fn-platform/fn/sdk/go/internal/pluginv1"
)

// streaming starts a call that may send window events ahead of credit.
func streaming(callID uint64, eventType string, window uint32) *pluginv1.HostFrame {
	frame := start(callID, eventType)
	frame.GetStart().OutputWindow = window
	return frame
}

func grant(callID uint64, events uint32) *pluginv1.HostFrame {
	return &pluginv1.HostFrame{CallId: callID, Frame: &pluginv1.HostFrame_Credit{Credit: &pluginv1.Credit{OutputEvents: events}}}
}

// output is the type of the one event in the next frame.
func (h *host) output(callID uint64) string {
	h.t.Helper()
	frame := h.next()
	if frame.CallId != callID || len(frame.GetOutput().GetEvents()) != 1 {
		h.t.Fatalf("unexpected frame %v", frame)
	}
	return frame.GetOutput().Events[0].Type
}

// endless yields until it is stopped, and counts.
func endless(yielded *atomic.Int64) func(context.Context, Event, func(Event) error) error {
	return func(ctx context.Context, in Event, yield func(Event) error) error {
		for {
			n := yielded.Add(1)
			if err := yield(Event{Type: fmt.Sprint("e", n)}); err != nil {
				return err
			}
		}
	}
}

func TestStreamYieldsWithCredit(t *testing.T) {
	var yielded atomic.Int64
	h := open(t, serve(t, Function{Name: "endless", Stream: endless(&yielded)}))
	h.send(streaming(1, "go", 3))
	for _, want := range []string{"e1", "e2", "e3"} {
		if got := h.output(1); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if count := yielded.Load(); count != 3 {
		t.Errorf("yielded %d events with credit for 3", count)
	}
	h.send(grant(1, 1), grant(7, 100))
	if got := h.output(1); got != "e4" {
		t.Errorf("got %s after more credit", got)
	}
	if count := yielded.Load(); count != 4 {
		t.Errorf("yielded %d events with credit for 4", count)
	}
	h.send(&pluginv1.HostFrame{CallId: 1, Frame: &pluginv1.HostFrame_Cancel{Cancel: &pluginv1.CallCancel{}}})
	if got := h.next().GetResult().GetStatus().GetCode(); codes.Code(got) != codes.Canceled {
		t.Errorf("a cancelled stream ended with %d", got)
	}
}

func TestStreamEndsByItsDeadlineWhileItWaitsForCredit(t *testing.T) {
	var yielded atomic.Int64
	h := open(t, serve(t, Function{Name: "endless", Stream: endless(&yielded)}))
	frame := streaming(1, "go", 1)
	frame.GetStart().Timeout = durationpb.New(20 * time.Millisecond)
	h.send(frame)
	h.output(1)
	if got := h.next().GetResult().GetStatus().GetCode(); codes.Code(got) != codes.DeadlineExceeded {
		t.Errorf("ended with %d", got)
	}
}

func TestStreamAnswersAtOnceWhoDoesNotStream(t *testing.T) {
	client := serve(t, Function{Name: "two", Stream: func(_ context.Context, in Event, yield func(Event) error) error {
		return errors.Join(yield(Event{Type: "one"}), yield(Event{Type: "two"}))
	}})
	response, err := client.Execute(context.Background(), &pluginv1.ExecuteRequest{Event: event("go")})
	if err != nil || len(response.Events) != 2 || response.Events[1].Type != "two" {
		t.Error(err, response)
	}
	h := open(t, client)
	h.send(start(1, "go"))
	if events := h.next().GetResult().GetEvents(); len(events) != 2 || events[0].Type != "one" {
		t.Errorf("unexpected events %v", events)
	}
}

func TestStreamOfOneAnswerEnds(t *testing.T) {
	var yielded atomic.Int64
	client := serve(t, Function{Name: "endless", Stream: endless(&yielded)})
	_, err := client.Execute(context.Background(), &pluginv1.ExecuteRequest{Event: event("go")})
	if status.Code(err) != codes.ResourceExhausted || yielded.Load() != maxKept+1 {
		t.Error(err, yielded.Load())
	}
}

func TestHandleAnswersInTheResultOfAStream(t *testing.T) {
	h := open(t, serve(t, Function{Name: "plain", Handle: func(context.Context, Event) ([]Event, error) {
		return []Event{{Type: "one"}, {Type: "two"}}, nil
	}}))
	h.send(streaming(1, "go", 1))
	if events := h.next().GetResult().GetEvents(); len(events) != 2 {
		t.Errorf("unexpected events %v", events)
	}
}

func TestStreamFailures(t *testing.T) {
	h := open(t, serve(t, Function{
		Name:  "fails",
		Emits: []string{"declared"},
		Stream: func(_ context.Context, in Event, yield func(Event) error) error {
			if err := yield(Event{Type: "declared"}); err != nil {
				return err
			}
			switch in.Type {
			case "undeclared":
				_ = yield(Event{Type: "other"}) // a handler that does not look
				return nil
			case "panic":
				panic("oops")
			}
			return Terminal("CARD_DECLINED", "no money")
		},
	}))
	for n, want := range []struct {
		eventType string
		code      codes.Code
	}{{"undeclared", codes.FailedPrecondition}, {"panic", codes.Unknown}, {"terminal", codes.FailedPrecondition}} {
		callID := uint64(n + 1)
		h.send(streaming(callID, want.eventType, 8))
		h.output(callID)
		end := h.next()
		for end.GetLog() != nil {
			end = h.next()
		}
		if got := codes.Code(end.GetResult().GetStatus().GetCode()); got != want.code {
			t.Errorf("%s: ended with %s", want.eventType, got)
		}
	}
}

func TestYieldOutlivesNoCall(t *testing.T) {
	late := make(chan func(Event) error, 1)
	h := open(t, serve(t, Function{Name: "leaks", Stream: func(_ context.Context, _ Event, yield func(Event) error) error {
		late <- yield
		return nil
	}}))
	h.send(streaming(1, "go", 8))
	if h.next().GetResult() == nil {
		t.Fatal("no result")
	}
	if err := (<-late)(Event{Type: "late"}); err == nil {
		t.Error("an event was taken after the end of its call")
	}
}
