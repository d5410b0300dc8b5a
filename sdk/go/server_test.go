package fn

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/fn-platform/fn/sdk/go/internal/cloudeventsv1"
	"github.com/fn-platform/fn/sdk/go/internal/pluginv1"
)

// serve serves function over a real gRPC connection in memory, initialized.
func serve(t *testing.T, function Function) pluginv1.FunctionClient {
	t.Helper()
	client := serveRaw(t, function)
	config, err := structpb.NewStruct(map[string]any{"greeting": "hi"})
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Initialize(context.Background(), &pluginv1.InitializeRequest{
		Config:       config,
		HostMetadata: map[string]string{"fn.namespace": "shop", "fn.name": "greet", "fn.version": "1.0.0"},
	})
	if err != nil || len(response.Diagnostics) > 0 {
		t.Fatal(err, response)
	}
	return client
}

func serveRaw(t *testing.T, function Function) pluginv1.FunctionClient {
	t.Helper()
	listener := bufconn.Listen(1 << 20)
	registrar := grpc.NewServer()
	log := hostHandler(hclog.New(&hclog.LoggerOptions{Output: io.Discard}))
	pluginv1.RegisterFunctionServer(registrar, newServer(function, log))
	go func() { _ = registrar.Serve(listener) }()
	connection, err := grpc.NewClient("passthrough:///memory",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = connection.Close()
		registrar.Stop()
	})
	return pluginv1.NewFunctionClient(connection)
}

func event(eventType string) *cloudeventsv1.CloudEvent {
	return &cloudeventsv1.CloudEvent{Id: "1", Source: "/test", SpecVersion: "1.0", Type: eventType}
}

// host is the host's end of an ExecuteStream.
type host struct {
	t      *testing.T
	stream pluginv1.Function_ExecuteStreamClient
	ready  []*pluginv1.PluginFrame
}

func open(t *testing.T, client pluginv1.FunctionClient) *host {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	t.Cleanup(cancel)
	stream, err := client.ExecuteStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	h := &host{t: t, stream: stream}
	h.send(&pluginv1.HostFrame{Frame: &pluginv1.HostFrame_Open{Open: &pluginv1.StreamOpen{StreamId: "s", OutputCredit: 10}}})
	if h.next().GetAccepted().GetCallCredit() == 0 {
		t.Fatal("no credit")
	}
	return h
}

func (h *host) send(frames ...*pluginv1.HostFrame) {
	h.t.Helper()
	if err := h.stream.Send(&pluginv1.HostEnvelope{Frames: frames}); err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) next() *pluginv1.PluginFrame {
	h.t.Helper()
	for len(h.ready) == 0 {
		envelope, err := h.stream.Recv()
		if err != nil {
			h.t.Fatal(err)
		}
		h.ready = envelope.Frames
	}
	frame := h.ready[0]
	h.ready = h.ready[1:]
	return frame
}

func start(callID uint64, eventType string) *pluginv1.HostFrame {
	content := &pluginv1.CallStart{Event: event(eventType), Context: &pluginv1.CallContext{InvocationId: fmt.Sprint("i", callID), Attempt: 2}}
	return &pluginv1.HostFrame{CallId: callID, Frame: &pluginv1.HostFrame_Start{Start: content}}
}

func TestUnary(t *testing.T) {
	var config struct{ Greeting string }
	client := serve(t, Function{
		Name:  "greet",
		Setup: func(_ context.Context, init Init) error { return init.DecodeConfig(&config) },
		Handle: func(ctx context.Context, in Event) ([]Event, error) {
			out, err := NewEvent("greeted", map[string]any{"text": config.Greeting, "attempt": CallOf(ctx).Attempt})
			out.Subject = in.Type
			out.Extensions = map[string]any{"flag": true, "count": 3}
			return []Event{out}, err
		},
	})
	response, err := client.Execute(context.Background(), &pluginv1.ExecuteRequest{Event: event("hello")})
	if err != nil || len(response.Events) != 1 {
		t.Fatal(err, response)
	}
	got, err := eventFromProto(response.Events[0])
	if err != nil {
		t.Fatal(err)
	}
	if got.Type != "greeted" || got.Subject != "hello" || got.Source != "/functions/shop/greet" || len(got.ID) != 22 || got.Time.IsZero() {
		t.Errorf("unexpected event %+v", got)
	}
	if string(got.Data) != `{"attempt":1,"text":"hi"}` || got.DataContentType != "application/json" {
		t.Errorf("unexpected data %s (%s)", got.Data, got.DataContentType)
	}
	if got.Extensions["flag"] != true || got.Extensions["count"] != int32(3) {
		t.Errorf("unexpected extensions %v", got.Extensions)
	}
}

func TestErrorsOfUnaryCalls(t *testing.T) {
	client := serve(t, Function{
		Name:    "fails",
		Accepts: []string{"fail.*"},
		Emits:   []string{"declared"},
		Handle: func(_ context.Context, in Event) ([]Event, error) {
			switch in.Type {
			case "fail.terminal":
				return nil, &Error{Code: FailedPrecondition, Reason: "CARD_DECLINED", Message: "no", Details: map[string]any{"order": 7}}
			case "fail.wrapped":
				return nil, fmt.Errorf("while paying: %w", Terminal("CARD_DECLINED", "no"))
			case "fail.later":
				return nil, RetryAfter(1500*time.Millisecond, "busy")
			case "fail.codeless":
				return nil, &Error{Message: "no code"}
			case "fail.panic":
				panic("oops")
			case "fail.status":
				return nil, status.Error(codes.NotFound, "nothing there")
			case "fail.undeclared":
				return []Event{{Type: "other"}}, nil
			case "fail.typeless":
				return []Event{{}}, nil
			case "fail.decode":
				return nil, in.Decode(&struct{}{})
			}
			return nil, errors.New("plain")
		},
	})
	for eventType, want := range map[string]struct {
		code   codes.Code
		reason string
	}{
		"fail.terminal":   {codes.FailedPrecondition, "CARD_DECLINED"},
		"fail.wrapped":    {codes.FailedPrecondition, "CARD_DECLINED"},
		"fail.later":      {codes.Unavailable, "RETRY_AFTER"},
		"fail.codeless":   {codes.Unknown, "FUNCTION_THREW"},
		"fail.panic":      {codes.Unknown, "FUNCTION_THREW"},
		"fail.status":     {codes.NotFound, ""},
		"fail.undeclared": {codes.FailedPrecondition, "TYPE_NOT_EMITTED"},
		"fail.typeless":   {codes.FailedPrecondition, "TYPE_NOT_EMITTED"},
		"fail.decode":     {codes.InvalidArgument, "INVALID_EVENT"},
		"fail.plain":      {codes.Unknown, "FUNCTION_THREW"},
		"other":           {codes.InvalidArgument, "TYPE_NOT_ACCEPTED"},
	} {
		_, err := client.Execute(context.Background(), &pluginv1.ExecuteRequest{Event: event(eventType)})
		sent := status.Convert(err)
		if sent.Code() != want.code {
			t.Errorf("%s: code %s, want %s (%s)", eventType, sent.Code(), want.code, sent.Message())
		}
		if len(sent.Details()) != 1 {
			t.Fatalf("%s: details %v", eventType, sent.Details())
		}
		fields := sent.Details()[0].(*structpb.Struct).AsMap()
		if reason, _ := fields["reason"].(string); reason != want.reason {
			t.Errorf("%s: reason %q, want %q", eventType, reason, want.reason)
		}
		if eventType == "fail.later" && fields["retryAfterMs"] != 1500.0 {
			t.Errorf("retryAfterMs %v", fields["retryAfterMs"])
		}
		if eventType == "fail.terminal" && fmt.Sprint(fields["details"]) != "map[order:7]" {
			t.Errorf("details %v", fields["details"])
		}
	}
}

func TestBadEventsAreRefused(t *testing.T) {
	client := serve(t, Function{Handle: func(context.Context, Event) ([]Event, error) { return nil, nil }})
	for name, bad := range map[string]*cloudeventsv1.CloudEvent{
		"none":        nil,
		"no id":       {Source: "/s", Type: "t", SpecVersion: "1.0"},
		"version":     {Id: "1", Source: "/s", Type: "t", SpecVersion: "0.3"},
		"proto data":  {Id: "1", Source: "/s", Type: "t", SpecVersion: "1.0", Data: &cloudeventsv1.CloudEvent_ProtoData{}},
		"time":        {Id: "1", Source: "/s", Type: "t", SpecVersion: "1.0", Attributes: attributes("time", textAttribute("noon"))},
		"no time":     {Id: "1", Source: "/s", Type: "t", SpecVersion: "1.0", Attributes: attributes("time", integerAttribute(5))},
		"subject int": {Id: "1", Source: "/s", Type: "t", SpecVersion: "1.0", Attributes: attributes("subject", integerAttribute(5))},
	} {
		_, err := client.Execute(context.Background(), &pluginv1.ExecuteRequest{Event: bad})
		if status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func attributes(name string, value *cloudeventsv1.CloudEvent_CloudEventAttributeValue) map[string]*cloudeventsv1.CloudEvent_CloudEventAttributeValue {
	return map[string]*cloudeventsv1.CloudEvent_CloudEventAttributeValue{name: value}
}

func TestInitialize(t *testing.T) {
	broken := Function{
		Setup:  func(_ context.Context, init Init) error { return init.DecodeConfig(&struct{ Known string }{}) },
		Handle: func(context.Context, Event) ([]Event, error) { return nil, nil },
	}
	client := serveRaw(t, broken)
	if _, err := client.Execute(context.Background(), &pluginv1.ExecuteRequest{Event: event("x")}); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("Execute before Initialize: %v", err)
	}
	config, _ := structpb.NewStruct(map[string]any{"unknown": 1})
	response, err := client.Initialize(context.Background(), &pluginv1.InitializeRequest{Config: config})
	if err != nil || len(response.Diagnostics) != 1 || response.Diagnostics[0].Detail != "INVALID_CONFIG" {
		t.Fatal(err, response)
	}
	if _, err := client.Initialize(context.Background(), &pluginv1.InitializeRequest{}); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("second Initialize: %v", err)
	}
	panics := serveRaw(t, Function{Setup: func(context.Context, Init) error { panic("no") }, Handle: broken.Handle})
	response, err = panics.Initialize(context.Background(), &pluginv1.InitializeRequest{})
	if err != nil || len(response.Diagnostics) != 1 {
		t.Error("a panic in Setup:", err, response)
	}
}

func TestStreamRunsManyCallsAtOnceAndBatches(t *testing.T) {
	const calls = 500
	client := serve(t, Function{Handle: func(_ context.Context, in Event) ([]Event, error) { return []Event{{Type: in.Type}}, nil }})
	h := open(t, client)
	frames := make([]*pluginv1.HostFrame, calls)
	for n := range frames {
		frames[n] = start(uint64(n+1), fmt.Sprint("t", n+1))
	}
	h.send(frames...)
	seen, envelopes := map[uint64]bool{}, 0
	for len(seen) < calls {
		envelope, err := h.stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		envelopes++
		if len(envelope.Frames) > defaultBatchFrames {
			t.Errorf("%d frames in one envelope", len(envelope.Frames))
		}
		for _, frame := range envelope.Frames {
			result := frame.GetResult()
			if result.GetStatus() != nil || seen[frame.CallId] || result.Events[0].Type != fmt.Sprint("t", frame.CallId) {
				t.Fatal("unexpected frame", frame)
			}
			seen[frame.CallId] = true
		}
	}
	if envelopes > calls/2 {
		t.Errorf("%d results came in %d envelopes: nothing was batched", calls, envelopes)
	}
}

func TestStreamCancelTimeoutAndLogs(t *testing.T) {
	client := serve(t, Function{Handle: func(ctx context.Context, _ Event) ([]Event, error) {
		Logger(ctx).With("a", 1).WithGroup("g").Warn("waiting", slog.Group("h", "b", errors.New("text")))
		<-ctx.Done()
		return nil, ctx.Err()
	}})
	h := open(t, client)
	h.send(start(1, "wait"))
	line := h.next()
	if line.CallId != 1 || line.GetLog().GetMessage() != "waiting" || line.GetLog().Level != pluginv1.LogLevel_LOG_LEVEL_WARN {
		t.Fatal("no log line", line)
	}
	if fields := fmt.Sprint(line.GetLog().Attributes.AsMap()); fields != "map[a:1 g.h.b:text]" {
		t.Error("fields", fields)
	}
	h.send(&pluginv1.HostFrame{CallId: 1, Frame: &pluginv1.HostFrame_Cancel{Cancel: &pluginv1.CallCancel{}}})
	if result := h.next(); result.CallId != 1 || result.GetResult().GetStatus().GetCode() != int32(codes.Canceled) {
		t.Error("cancel:", result)
	}
	limited := start(2, "wait")
	limited.GetStart().Timeout = durationpb.New(20 * time.Millisecond)
	h.send(limited)
	h.next() // its log line
	if result := h.next(); result.CallId != 2 || result.GetResult().GetStatus().GetCode() != int32(codes.DeadlineExceeded) {
		t.Error("timeout:", result)
	}
}

func TestStreamDrainsAndEnds(t *testing.T) {
	release := make(chan struct{})
	client := serve(t, Function{MaxConcurrency: 2, Handle: func(context.Context, Event) ([]Event, error) {
		<-release
		return nil, nil
	}})
	h := open(t, client)
	h.send(start(1, "x"), start(2, "x"), start(1, "duplicate"), start(0, "no id"), start(3, "over credit"))
	if result := h.next(); result.CallId != 3 || result.GetResult().GetStatus().GetCode() != int32(codes.ResourceExhausted) {
		t.Error("over credit:", result)
	}
	h.send(&pluginv1.HostFrame{Frame: &pluginv1.HostFrame_Drain{Drain: &pluginv1.StreamDrain{}}}, start(4, "late"), &pluginv1.HostFrame{CallId: 5})
	if result := h.next(); result.CallId != 4 || result.GetResult().GetStatus().GetCode() != int32(codes.Unavailable) {
		t.Error("start after drain:", result)
	}
	close(release)
	h.next()
	h.next()
	if frame := h.next(); frame.GetDrained().GetCallsCompleted() != 2 {
		t.Error("drained:", frame)
	}
	if err := h.stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := h.stream.Recv(); !errors.Is(err, io.EOF) {
		t.Error("after the half-close:", err)
	}
}

func TestStreamMustBeginWithOpen(t *testing.T) {
	client := serve(t, Function{Handle: func(context.Context, Event) ([]Event, error) { return nil, nil }})
	stream, err := client.ExecuteStream(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	_ = stream.Send(&pluginv1.HostEnvelope{Frames: []*pluginv1.HostFrame{start(1, "x")}})
	if _, err := stream.Recv(); status.Code(err) != codes.FailedPrecondition {
		t.Error(err)
	}
}

func TestAHostThatGoesAwayCancelsItsCalls(t *testing.T) {
	ended := make(chan error, 1)
	began := make(chan struct{})
	client := serve(t, Function{Handle: func(ctx context.Context, _ Event) ([]Event, error) {
		close(began)
		<-ctx.Done()
		ended <- context.Cause(ctx)
		return nil, ctx.Err()
	}})
	ctx, leave := context.WithCancel(context.Background())
	stream, err := client.ExecuteStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	opening := &pluginv1.HostFrame{Frame: &pluginv1.HostFrame_Open{Open: &pluginv1.StreamOpen{}}}
	if err := stream.Send(&pluginv1.HostEnvelope{Frames: []*pluginv1.HostFrame{opening, start(1, "x")}}); err != nil {
		t.Fatal(err)
	}
	<-began
	leave()
	if err := <-ended; err == nil {
		t.Error("the handler was not told")
	}
}

func TestShutdownWaitsAndRunsOnce(t *testing.T) {
	var mu sync.Mutex
	shutdowns := 0
	began, release := make(chan struct{}), make(chan struct{})
	client := serve(t, Function{
		Handle: func(_ context.Context, in Event) ([]Event, error) {
			if in.Type == "blocks" {
				close(began)
				<-release
			}
			return nil, nil
		},
		Shutdown: func(context.Context) error {
			mu.Lock()
			defer mu.Unlock()
			shutdowns++
			return nil
		},
	})
	done := make(chan error, 1)
	go func() {
		_, err := client.Execute(context.Background(), &pluginv1.ExecuteRequest{Event: event("blocks")})
		done <- err
	}()
	<-began
	ended := make(chan *pluginv1.ShutdownResponse, 2)
	for range 2 {
		go func() {
			response, _ := client.Shutdown(context.Background(), &pluginv1.ShutdownRequest{Grace: durationpb.New(5 * time.Second)})
			ended <- response
		}()
	}
	// Admitted until the shutdown has arrived, refused from then on.
	for refused := false; !refused; {
		_, err := client.Execute(context.Background(), &pluginv1.ExecuteRequest{Event: event("quick")})
		refused = status.Code(err) == codes.Unavailable
		if err != nil && !refused {
			t.Fatal(err)
		}
	}
	close(release)
	if err := <-done; err != nil {
		t.Error("the running call:", err)
	}
	for range 2 {
		if response := <-ended; response.GetCallsAbandoned() != 0 {
			t.Error(response)
		}
	}
	if shutdowns != 1 {
		t.Error("shutdown ran", shutdowns, "times")
	}
}

func TestDescribe(t *testing.T) {
	client := serveRaw(t, Function{
		Name: "d", Version: "1.2.3", Accepts: []string{"a"}, Emits: []string{"b"}, MaxConcurrency: 7, ConfigSchema: json.RawMessage(`{}`),
	})
	response, err := client.Describe(context.Background(), &pluginv1.DescribeRequest{})
	if err != nil || response.Name != "d" || response.MaxConcurrency != 7 || response.ConfigSchemaJson != "{}" || len(response.Capabilities) != 3 {
		t.Error(err, response)
	}
}
