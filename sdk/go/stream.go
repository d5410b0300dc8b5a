package fn

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"

	"github.com/fn-platform/fn/sdk/go/internal/cloudeventsv1"
	"github.com/fn-platform/fn/sdk/go/internal/pluginv1"
)

// stream is one ExecuteStream: many calls on one HTTP/2 stream. One goroutine reads, one writes, and each call has its own.
//
// Exactly one result ends each call. Frames about calls that are over are ignored, as are frames of a newer protocol.
type stream struct {
	server *server
	grpc   pluginv1.Function_ExecuteStreamServer
	out    *outbox
	credit int
	calls  sync.WaitGroup

	mu        sync.Mutex
	open      map[uint64]openCall
	logFloor  pluginv1.LogLevel
	draining  bool
	completed uint64
}

// openCall is a call without a result yet. Its window is nil unless it streams.
type openCall struct {
	cancel context.CancelCauseFunc
	window *outputWindow
}

func newStream(server *server, grpc pluginv1.Function_ExecuteStreamServer) *stream {
	credit := server.function.MaxConcurrency
	if credit == 0 {
		credit = defaultCallCredit
	}
	return &stream{
		server: server,
		grpc:   grpc,
		out:    newOutbox(),
		credit: credit,
		open:   map[uint64]openCall{},
	}
}

func (s *stream) serve() error {
	s.server.mu.Lock()
	ready := s.server.ready
	s.server.mu.Unlock()
	if !ready {
		return (&Error{Code: FailedPrecondition, Message: "this plugin is not initialized: Initialize comes first"}).toGRPC()
	}
	if err := s.accept(); err != nil {
		return err
	}
	written := make(chan error, 1)
	go func() { written <- s.out.write(s.grpc.Send) }()
	err := s.read()
	if err != nil {
		s.cancelAll(cancelled("the host is gone"))
	}
	s.calls.Wait()
	s.out.close()
	if writeErr := <-written; err == nil {
		err = writeErr
	}
	return err
}

func (s *stream) accept() error {
	envelope, err := s.grpc.Recv()
	if err != nil {
		return err
	}
	frames := envelope.GetFrames()
	if len(frames) == 0 || frames[0].GetOpen() == nil {
		return (&Error{Code: FailedPrecondition, Message: "the first frame of an ExecuteStream must be open"}).toGRPC()
	}
	s.logFloor = frames[0].GetOpen().LogLevel
	accepted := &pluginv1.StreamAccepted{CallCredit: uint32(s.credit)}
	s.out.add(&pluginv1.PluginFrame{Frame: &pluginv1.PluginFrame_Accepted{Accepted: accepted}})
	s.dispatch(frames[1:])
	return nil
}

// read ends with nil when the host has half-closed: it sends no more, and waits for what runs.
func (s *stream) read() error {
	for {
		envelope, err := s.grpc.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		s.dispatch(envelope.GetFrames())
	}
}

func (s *stream) dispatch(frames []*pluginv1.HostFrame) {
	s.out.dispatching.Lock()
	defer s.out.dispatching.Unlock()
	for _, frame := range frames {
		s.receive(frame)
	}
}

func (s *stream) receive(frame *pluginv1.HostFrame) {
	switch content := frame.GetFrame().(type) {
	case *pluginv1.HostFrame_Start:
		s.start(frame.CallId, content.Start)
	case *pluginv1.HostFrame_Cancel:
		s.cancel(frame.CallId, content.Cancel.GetReason())
	case *pluginv1.HostFrame_Credit:
		// That of the whole stream is for plugins that send output unasked.
		s.mu.Lock()
		window := s.open[frame.CallId].window
		s.mu.Unlock()
		window.grant(int(content.Credit.GetOutputEvents()))
	case *pluginv1.HostFrame_Drain:
		s.mu.Lock()
		s.draining = true
		idle := len(s.open) == 0
		s.mu.Unlock()
		if idle {
			s.sendDrained()
		}
	}
}

func (s *stream) start(callID uint64, start *pluginv1.CallStart) {
	ctx, cancel := context.WithCancelCause(s.grpc.Context())
	window := newOutputWindow(int(start.GetOutputWindow()))
	if failure := s.enter(callID, openCall{cancel, window}); failure != nil {
		cancel(nil)
		if callID != 0 && failure != errIgnored {
			s.result(callID, &pluginv1.CallResult{Status: failure.toStatus()})
		}
		return
	}
	s.calls.Add(1)
	go func() {
		defer s.calls.Done()
		defer cancel(nil)
		if timeout := start.GetTimeout(); timeout != nil {
			limited, stop := context.WithTimeoutCause(ctx, timeout.AsDuration(), timedOut())
			defer stop()
			ctx = limited
		}
		defer s.server.release()
		events, failure := s.server.run(
			ctx, start.GetEvent(), start.GetContext(), s.logger(callID, start.GetContext()), s.sender(callID, window))
		result := &pluginv1.CallResult{Events: events}
		if failure != nil {
			result = &pluginv1.CallResult{Status: failure.toStatus()}
		}
		s.leave(callID, result)
	}()
}

var errIgnored = &Error{}

// enter counts a call in. A frame without a call id, or about a call that is open, is ignored.
func (s *stream) enter(callID uint64, call openCall) *Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, isOpen := s.open[callID]; callID == 0 || isOpen {
		return errIgnored
	}
	if s.draining {
		return draining()
	}
	if len(s.open) >= s.credit {
		return &Error{Code: ResourceExhausted, Reason: "QUEUE_FULL", Message: "more calls at once than credit was given for", Retryable: true}
	}
	if failure := s.server.admit(); failure != nil {
		return failure
	}
	s.open[callID] = call
	return nil
}

// sender sends the events of a call that streams; nil for any other.
func (s *stream) sender(callID uint64, window *outputWindow) sendEvent {
	if window == nil {
		return nil
	}
	return func(ctx context.Context, event *cloudeventsv1.CloudEvent) error {
		output := &pluginv1.CallOutput{Events: []*cloudeventsv1.CloudEvent{event}}
		s.out.add(&pluginv1.PluginFrame{CallId: callID, Frame: &pluginv1.PluginFrame_Output{Output: output}})
		return window.spend(ctx)
	}
}

// leave ends a call. The credit is given back before the result tells the host so.
func (s *stream) leave(callID uint64, result *pluginv1.CallResult) {
	s.mu.Lock()
	delete(s.open, callID)
	s.completed++
	drained := s.draining && len(s.open) == 0
	s.result(callID, result)
	s.mu.Unlock()
	if drained {
		s.sendDrained()
	}
}

func (s *stream) cancel(callID uint64, reason pluginv1.CallCancel_Reason) {
	s.mu.Lock()
	cancel := s.open[callID].cancel
	s.mu.Unlock()
	if cancel == nil {
		return
	}
	switch reason {
	case pluginv1.CallCancel_REASON_DEADLINE:
		cancel(timedOut())
	case pluginv1.CallCancel_REASON_HOST_SHUTDOWN:
		cancel(cancelled("the host is shutting down"))
	default:
		cancel(cancelled("the caller cancelled"))
	}
}

func (s *stream) cancelAll(why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, call := range s.open {
		call.cancel(why)
	}
}

func (s *stream) result(callID uint64, result *pluginv1.CallResult) {
	s.out.add(&pluginv1.PluginFrame{CallId: callID, Frame: &pluginv1.PluginFrame_Result{Result: result}})
}

func (s *stream) sendDrained() {
	s.mu.Lock()
	completed := s.completed
	s.mu.Unlock()
	s.out.add(&pluginv1.PluginFrame{Frame: &pluginv1.PluginFrame_Drained{Drained: &pluginv1.StreamDrained{CallsCompleted: completed}}})
}

// logger sends the lines of a call as frames; those that come after its end, to the log of the process.
func (s *stream) logger(callID uint64, call *pluginv1.CallContext) *slog.Logger {
	return slog.New(&logHandler{write: func(level slog.Level, record slog.Record, fields map[string]any) {
		s.out.wait()
		if s.log(callID, level, record, fields) {
			return
		}
		late := slog.NewRecord(record.Time, level, record.Message, 0)
		late.AddAttrs(slog.String("invocationId", call.GetInvocationId()))
		for name, value := range fields {
			late.AddAttrs(slog.Any(name, value))
		}
		_ = s.server.log.Handle(s.grpc.Context(), late)
	}})
}

// log says whether the call is still open. The lock is held while it sends, so that no line comes after its call's result.
func (s *stream) log(callID uint64, level slog.Level, record slog.Record, fields map[string]any) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, isOpen := s.open[callID]; !isOpen {
		return false
	}
	if protoLevel(level) >= s.logFloor && s.logFloor != pluginv1.LogLevel_LOG_LEVEL_OFF {
		s.out.add(&pluginv1.PluginFrame{CallId: callID, Frame: &pluginv1.PluginFrame_Log{Log: logRecord(level, record, fields)}})
	}
	return true
}
