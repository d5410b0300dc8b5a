package fn

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/fn-platform/fn/sdk/go/internal/pluginv1"
)

// Function is what a program serves.
type Function struct {
	// Name is how the function presents itself; the name it is deployed under counts.
	Name string
	// Version is semantic, for hosts that ask.
	Version     string
	Description string
	// Accepts lists the event types it takes; a type may end in *. Empty: any.
	Accepts []string
	// Emits lists the event types it may return. Empty: any.
	Emits []string
	// ConfigSchema is a JSON Schema of the configuration, for people and tools.
	ConfigSchema json.RawMessage
	// MaxConcurrency limits calls at once; 0: whatever the host likes. Handle, or Stream, runs in a goroutine per call.
	MaxConcurrency int
	// Setup runs once, before the first event. An error keeps the function from starting.
	Setup func(ctx context.Context, init Init) error
	// Handle takes one event and returns none, one or many. Its context ends with the deadline, the caller's patience, or the call.
	Handle func(ctx context.Context, event Event) ([]Event, error)
	// Stream stands in for Handle where events come one by one: it hands each to yield. A caller that takes them as they come has each at
	// once, and yield returns when the next one is wanted; any other has them all when Stream has returned. An error of yield means that no
	// further event is wanted, or that this one is none: return it.
	Stream func(ctx context.Context, event Event, yield func(Event) error) error
	// Shutdown runs once, when no call is left.
	Shutdown func(ctx context.Context) error
}

// Init is what Setup gets.
type Init struct {
	Namespace  string
	Name       string
	Version    string
	InstanceID string
	Secrets    map[string]string
	// Config is a JSON object.
	Config json.RawMessage
}

// DecodeConfig reads the configuration into target; keys that target does not have are an error.
func (init Init) DecodeConfig(target any) error {
	decoder := json.NewDecoder(strings.NewReader(string(init.Config)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(target); err != nil {
		return &Error{Code: InvalidArgument, Reason: "INVALID_CONFIG", Message: fmt.Sprintf("invalid config: %v", err), cause: err}
	}
	return nil
}

// Handshake is what a go-plugin host of functions sends. The cookie says "launched by such a host"; it is no secret.
var Handshake = plugin.HandshakeConfig{
	ProtocolVersion:  1,
	MagicCookieKey:   "FN_PLUGIN_COOKIE",
	MagicCookieValue: "5d6f0a3b9c1e47d28f60b7a4c3e9128d0fb65a7e4c1938d2a06be57f93c4d1e8",
}

// maxMessageBytes: the largest event of the platform is 64 MiB.
const maxMessageBytes = 80 << 20

// Serve serves function until the host ends the process; then main should return. Call it once, last in main.
func Serve(function Function) {
	if (function.Handle == nil) == (function.Stream == nil) {
		fmt.Fprintln(os.Stderr, "fn.Serve: the function needs either Handle or Stream")
		os.Exit(1)
	}
	logger := newHostLogger()
	handler := hostHandler(logger)
	slog.SetDefault(slog.New(handler))
	server := newServer(function, handler)
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig:  Handshake,
		VersionedPlugins: map[int]plugin.PluginSet{1: {"function": &grpcPlugin{server: server}}},
		Logger:           logger,
		GRPCServer: func(options []grpc.ServerOption) *grpc.Server {
			return grpc.NewServer(append(options, grpc.MaxRecvMsgSize(maxMessageBytes), grpc.MaxSendMsgSize(maxMessageBytes))...)
		},
	})
	// A host that skipped fn.plugin.v1's own Shutdown still gets the function's run.
	if _, err := server.end(lastGrace); err != nil {
		logger.Error("shutdown failed", "error", err)
	}
}

// grpcPlugin is the one service of the one plugin set.
type grpcPlugin struct {
	plugin.NetRPCUnsupportedPlugin
	server *server
}

func (p *grpcPlugin) GRPCServer(_ *plugin.GRPCBroker, registrar *grpc.Server) error {
	pluginv1.RegisterFunctionServer(registrar, p.server)
	return nil
}

func (p *grpcPlugin) GRPCClient(_ context.Context, _ *plugin.GRPCBroker, connection *grpc.ClientConn) (any, error) {
	return pluginv1.NewFunctionClient(connection), nil
}

func accepts(patterns []string, eventType string) bool {
	if len(patterns) == 0 {
		return true
	}
	for _, pattern := range patterns {
		if start, isPrefix := strings.CutSuffix(pattern, "*"); isPrefix && strings.HasPrefix(eventType, start) || pattern == eventType {
			return true
		}
	}
	return false
}
