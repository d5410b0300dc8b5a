// Command echo-plugin-go-unary gives back what it gets, in an event of its own. It is what one writes with go-plugin alone, without our SDK:
// it has no ExecuteStream, so the host calls Execute.
package main

import (
	"context"
	"strconv"
	"sync/atomic"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/fn-platform/fn/sdk/go/internal/cloudeventsv1"
	"github.com/fn-platform/fn/sdk/go/internal/pluginv1"
)

type echo struct {
	pluginv1.UnimplementedFunctionServer
	count atomic.Uint64
}

func (*echo) Describe(context.Context, *pluginv1.DescribeRequest) (*pluginv1.DescribeResponse, error) {
	return &pluginv1.DescribeResponse{Name: "echo-plugin-go-unary", Type: pluginv1.FunctionType_FUNCTION_TYPE_STATELESS}, nil
}

func (*echo) Initialize(context.Context, *pluginv1.InitializeRequest) (*pluginv1.InitializeResponse, error) {
	return &pluginv1.InitializeResponse{}, nil
}

func (*echo) Shutdown(context.Context, *pluginv1.ShutdownRequest) (*pluginv1.ShutdownResponse, error) {
	return &pluginv1.ShutdownResponse{}, nil
}

func (e *echo) Execute(_ context.Context, request *pluginv1.ExecuteRequest) (*pluginv1.ExecuteResponse, error) {
	event := &cloudeventsv1.CloudEvent{
		Id:          strconv.FormatUint(e.count.Add(1), 10),
		Source:      "/bench",
		SpecVersion: "1.0",
		Type:        "com.example.echoed",
		Data:        request.Event.Data,
	}
	if contentType, ok := request.Event.Attributes["datacontenttype"]; ok {
		event.Attributes = map[string]*cloudeventsv1.CloudEvent_CloudEventAttributeValue{"datacontenttype": contentType}
	}
	return &pluginv1.ExecuteResponse{Events: []*cloudeventsv1.CloudEvent{event}}, nil
}

type grpcPlugin struct {
	plugin.NetRPCUnsupportedPlugin
}

func (grpcPlugin) GRPCServer(_ *plugin.GRPCBroker, server *grpc.Server) error {
	pluginv1.RegisterFunctionServer(server, &echo{})
	return nil
}

func (grpcPlugin) GRPCClient(context.Context, *plugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, nil
}

func main() {
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: plugin.HandshakeConfig{
			ProtocolVersion:  1,
			MagicCookieKey:   "FN_PLUGIN_COOKIE",
			MagicCookieValue: "5d6f0a3b9c1e47d28f60b7a4c3e9128d0fb65a7e4c1938d2a06be57f93c4d1e8",
		},
		VersionedPlugins: map[int]plugin.PluginSet{1: {"function": grpcPlugin{}}},
		GRPCServer:       plugin.DefaultGRPCServer,
	})
}
