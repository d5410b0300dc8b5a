package fn

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/fn-platform/fn/sdk/go/internal/cloudeventsv1"
	"github.com/fn-platform/fn/sdk/go/internal/pluginv1"
)

const (
	sdkName    = "github.com/fn-platform/fn/sdk/go"
	sdkVersion = "0.1.0"
	// defaultCallCredit bounds the open calls of a function that names no MaxConcurrency.
	defaultCallCredit = 1024
	// defaultGrace is for a host that names none; lastGrace, for one that did not ask at all and is about to kill us.
	defaultGrace = time.Second
	lastGrace    = 500 * time.Millisecond
)

var capabilities = []pluginv1.Capability{
	pluginv1.Capability_CAPABILITY_EXECUTE_STREAM,
	pluginv1.Capability_CAPABILITY_CANCEL,
	pluginv1.Capability_CAPABILITY_PARTIAL_OUTPUT,
}

// server is fn.plugin.v1.Function over one Function. Unary calls and streams share its count of running calls, so one drain waits for both.
type server struct {
	pluginv1.UnimplementedFunctionServer
	function Function
	log      slog.Handler

	mu          sync.Mutex
	initialized bool
	ready       bool
	source      string
	draining    bool
	running     int
	idle        chan struct{} // closed when draining and nothing runs

	endOnce   sync.Once
	abandoned int
	endErr    error
}

func newServer(function Function, log slog.Handler) *server {
	return &server{function: function, log: log, idle: make(chan struct{})}
}

func (s *server) Describe(context.Context, *pluginv1.DescribeRequest) (*pluginv1.DescribeResponse, error) {
	return &pluginv1.DescribeResponse{
		Name:             s.function.Name,
		Version:          s.function.Version,
		Type:             pluginv1.FunctionType_FUNCTION_TYPE_STATELESS,
		Capabilities:     capabilities,
		Description:      s.function.Description,
		Accepts:          s.function.Accepts,
		Emits:            s.function.Emits,
		ConfigSchemaJson: string(s.function.ConfigSchema),
		MaxConcurrency:   uint32(s.function.MaxConcurrency),
		MaxReceiveBytes:  maxMessageBytes,
		SdkName:          sdkName,
		SdkVersion:       sdkVersion,
	}, nil
}

func (s *server) Initialize(ctx context.Context, request *pluginv1.InitializeRequest) (*pluginv1.InitializeResponse, error) {
	s.mu.Lock()
	again := s.initialized
	s.initialized = true
	s.mu.Unlock()
	if again {
		return nil, (&Error{Code: FailedPrecondition, Message: "this plugin is initialized already"}).toGRPC()
	}
	init, err := s.init(request)
	if err == nil && s.function.Setup != nil {
		err = s.setup(ctx, init)
	}
	if err != nil {
		return &pluginv1.InitializeResponse{Diagnostics: []*pluginv1.Diagnostic{diagnostic(err)}}, nil
	}
	s.mu.Lock()
	s.ready = true
	s.source = "/functions/" + init.Namespace + "/" + init.Name
	s.mu.Unlock()
	return &pluginv1.InitializeResponse{}, nil
}

func (s *server) Execute(ctx context.Context, request *pluginv1.ExecuteRequest) (*pluginv1.ExecuteResponse, error) {
	if failure := s.admit(); failure != nil {
		return nil, failure.toGRPC()
	}
	defer s.release()
	log := slog.New(s.log).With("invocationId", request.GetContext().GetInvocationId())
	events, failure := s.run(ctx, request.GetEvent(), request.GetContext(), log, nil)
	if failure != nil {
		return nil, failure.toGRPC()
	}
	return &pluginv1.ExecuteResponse{Events: events}, nil
}

func (s *server) ExecuteStream(stream pluginv1.Function_ExecuteStreamServer) error {
	return newStream(s, stream).serve()
}

func (s *server) Shutdown(_ context.Context, request *pluginv1.ShutdownRequest) (*pluginv1.ShutdownResponse, error) {
	grace := defaultGrace
	if request.Grace != nil {
		grace = request.Grace.AsDuration()
	}
	abandoned, err := s.end(grace)
	if err != nil {
		return nil, errorFrom(err, nil).toGRPC()
	}
	return &pluginv1.ShutdownResponse{CallsAbandoned: uint64(abandoned)}, nil
}

// end refuses calls, waits for the running ones, and runs the function's shutdown; once, however often it is called.
func (s *server) end(grace time.Duration) (int, error) {
	s.endOnce.Do(func() {
		timer := time.NewTimer(grace)
		defer timer.Stop()
		select {
		case <-s.drain():
		case <-timer.C:
		}
		s.mu.Lock()
		s.abandoned = s.running
		ready := s.ready
		s.mu.Unlock()
		if ready && s.function.Shutdown != nil {
			ctx, cancel := context.WithTimeout(context.Background(), grace)
			defer cancel()
			s.endErr = s.function.Shutdown(ctx)
		}
	})
	return s.abandoned, s.endErr
}

func (s *server) drain() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.draining {
		s.draining = true
		if s.running == 0 {
			close(s.idle)
		}
	}
	return s.idle
}

// admit counts a call in, unless none may run.
func (s *server) admit() *Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return draining()
	}
	if !s.ready {
		return &Error{Code: FailedPrecondition, Message: "this plugin is not initialized: Initialize comes first"}
	}
	s.running++
	return nil
}

func (s *server) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running--
	if s.draining && s.running == 0 {
		close(s.idle)
	}
}

// run runs the handler once. A panic fails its call alone, with the stack in the log. send takes events as they come; without it, they are
// all returned.
func (s *server) run(
	ctx context.Context, sent *cloudeventsv1.CloudEvent, call *pluginv1.CallContext, log *slog.Logger, send sendEvent,
) (events []*cloudeventsv1.CloudEvent, failure *Error) {
	defer func() {
		if value := recover(); value != nil {
			log.Error("the function panicked", "panic", fmt.Sprint(value), "stack", string(debug.Stack()))
			events, failure = nil, recovered(value)
		}
	}()
	event, err := eventFromProto(sent)
	if err != nil {
		return nil, errorFrom(err, nil)
	}
	if !accepts(s.function.Accepts, event.Type) {
		return nil, &Error{
			Code:    InvalidArgument,
			Reason:  "TYPE_NOT_ACCEPTED",
			Message: fmt.Sprintf("function %s does not take %s", s.function.Name, event.Type),
			Details: map[string]any{"type": event.Type, "accepts": s.function.Accepts},
		}
	}
	attempt := int(call.GetAttempt())
	if attempt == 0 {
		attempt = 1
	}
	ctx, cancel := context.WithCancel(context.WithValue(ctx, callKey{}, Call{call.GetInvocationId(), attempt, log}))
	defer cancel() // what the handler started must not outlive it
	if s.function.Stream != nil {
		yielded := &yielder{server: s, send: send}
		err := s.function.Stream(ctx, event, func(event Event) error { return yielded.yield(ctx, event) })
		cause := context.Cause(ctx)
		cancel() // a yield that another goroutine waits in ends now
		kept, failure := yielded.end()
		if err != nil {
			return nil, errorFrom(err, cause)
		}
		return kept, failure
	}
	output, err := s.function.Handle(ctx, event)
	if err != nil {
		return nil, errorFrom(err, context.Cause(ctx))
	}
	events = make([]*cloudeventsv1.CloudEvent, 0, len(output))
	for _, event := range output {
		encoded, failure := s.encode(event)
		if failure != nil {
			return nil, failure
		}
		events = append(events, encoded)
	}
	return events, nil
}

func (s *server) encode(event Event) (*cloudeventsv1.CloudEvent, *Error) {
	if len(s.function.Emits) > 0 && !accepts(s.function.Emits, event.Type) {
		return nil, &Error{
			Code:    FailedPrecondition,
			Reason:  "TYPE_NOT_EMITTED",
			Message: fmt.Sprintf("function %s emitted %s, which it does not declare", s.function.Name, event.Type),
			Details: map[string]any{"type": event.Type, "emits": s.function.Emits},
		}
	}
	encoded, err := event.toProto(s.source)
	if err != nil {
		return nil, errorFrom(err, nil)
	}
	return encoded, nil
}

func (s *server) init(request *pluginv1.InitializeRequest) (Init, error) {
	config := []byte("{}")
	if request.Config != nil {
		encoded, err := json.Marshal(request.Config.AsMap())
		if err != nil {
			return Init{}, err
		}
		config = encoded
	}
	init := Init{
		Namespace:  request.HostMetadata["fn.namespace"],
		Name:       request.HostMetadata["fn.name"],
		Version:    request.HostMetadata["fn.version"],
		InstanceID: request.InstanceId,
		Secrets:    request.Secrets,
		Config:     config,
	}
	if init.Namespace == "" {
		init.Namespace = "default"
	}
	if init.Name == "" {
		init.Name = s.function.Name
	}
	if init.Version == "" {
		init.Version = s.function.Version
	}
	return init, nil
}

func (s *server) setup(ctx context.Context, init Init) (err error) {
	defer func() {
		if value := recover(); value != nil {
			slog.New(s.log).Error("setup panicked", "panic", fmt.Sprint(value), "stack", string(debug.Stack()))
			err = recovered(value)
		}
	}()
	return s.function.Setup(ctx, init)
}

func diagnostic(err error) *pluginv1.Diagnostic {
	reason := "INIT_FAILED"
	var own *Error
	if errors.As(err, &own) && own.Reason != "" {
		reason = own.Reason
	}
	return &pluginv1.Diagnostic{Severity: pluginv1.Diagnostic_SEVERITY_ERROR, Summary: err.Error(), Detail: reason}
}
