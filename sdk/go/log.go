package fn

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/fn-platform/fn/sdk/go/internal/pluginv1"
)

// Call says which call a handler serves.
type Call struct {
	InvocationID string
	// Attempt is 1 for the first execution of the invocation.
	Attempt int
	// Logger writes lines that carry the invocation.
	Logger *slog.Logger
}

type callKey struct{}

// CallOf is the call whose handler got ctx; zero outside of a handler.
func CallOf(ctx context.Context) Call {
	call, _ := ctx.Value(callKey{}).(Call)
	return call
}

// Logger is the logger of the call whose handler got ctx, or the process's.
func Logger(ctx context.Context) *slog.Logger {
	if call := CallOf(ctx); call.Logger != nil {
		return call.Logger
	}
	return slog.Default()
}

// newHostLogger writes what a go-plugin host reads: hclog's JSON on the process's real stderr.
func newHostLogger() hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{Level: hclog.Trace, Output: os.Stderr, JSONFormat: true})
}

// logHandler is a slog.Handler over a function that takes one line.
type logHandler struct {
	write  func(level slog.Level, record slog.Record, fields map[string]any)
	prefix string
	fields map[string]any
}

func (h *logHandler) Enabled(context.Context, slog.Level) bool { return true }

func (h *logHandler) Handle(_ context.Context, record slog.Record) error {
	fields := make(map[string]any, len(h.fields)+record.NumAttrs())
	for name, value := range h.fields {
		fields[name] = value
	}
	record.Attrs(func(attr slog.Attr) bool {
		addAttr(fields, h.prefix, attr)
		return true
	})
	h.write(record.Level, record, fields)
	return nil
}

func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	fields := make(map[string]any, len(h.fields)+len(attrs))
	for name, value := range h.fields {
		fields[name] = value
	}
	for _, attr := range attrs {
		addAttr(fields, h.prefix, attr)
	}
	return &logHandler{write: h.write, prefix: h.prefix, fields: fields}
}

func (h *logHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	return &logHandler{write: h.write, prefix: h.prefix + name + ".", fields: h.fields}
}

func addAttr(fields map[string]any, prefix string, attr slog.Attr) {
	value := attr.Value.Resolve()
	if value.Kind() != slog.KindGroup {
		if attr.Key != "" {
			fields[prefix+attr.Key] = value.Any()
		}
		return
	}
	inner := prefix
	if attr.Key != "" {
		inner += attr.Key + "."
	}
	for _, nested := range value.Group() {
		addAttr(fields, inner, nested)
	}
}

// hostHandler sends lines to the process's log.
func hostHandler(logger hclog.Logger) slog.Handler {
	return &logHandler{write: func(level slog.Level, record slog.Record, fields map[string]any) {
		pairs := make([]any, 0, 2*len(fields))
		for name, value := range fields {
			pairs = append(pairs, name, value)
		}
		logger.Log(hclogLevel(level), record.Message, pairs...)
	}}
}

func hclogLevel(level slog.Level) hclog.Level {
	switch {
	case level >= slog.LevelError:
		return hclog.Error
	case level >= slog.LevelWarn:
		return hclog.Warn
	case level >= slog.LevelInfo:
		return hclog.Info
	case level >= slog.LevelDebug:
		return hclog.Debug
	}
	return hclog.Trace
}

func protoLevel(level slog.Level) pluginv1.LogLevel {
	switch {
	case level >= slog.LevelError:
		return pluginv1.LogLevel_LOG_LEVEL_ERROR
	case level >= slog.LevelWarn:
		return pluginv1.LogLevel_LOG_LEVEL_WARN
	case level >= slog.LevelInfo:
		return pluginv1.LogLevel_LOG_LEVEL_INFO
	case level >= slog.LevelDebug:
		return pluginv1.LogLevel_LOG_LEVEL_DEBUG
	}
	return pluginv1.LogLevel_LOG_LEVEL_TRACE
}

func logRecord(level slog.Level, record slog.Record, fields map[string]any) *pluginv1.LogRecord {
	sent := &pluginv1.LogRecord{Level: protoLevel(level), Time: timestamppb.New(record.Time), Message: record.Message}
	if len(fields) > 0 {
		if attributes, err := structpb.NewStruct(toPlain(fields)); err == nil {
			sent.Attributes = attributes
		}
	}
	return sent
}

// toPlain makes values fit for a Struct: errors become their text, the rest goes through JSON; what JSON cannot say is printed.
func toPlain(fields map[string]any) map[string]any {
	plain := make(map[string]any, len(fields))
	for name, value := range fields {
		plain[name] = plainValue(value)
	}
	return plain
}

func plainValue(value any) any {
	switch v := value.(type) {
	case nil, bool, string, float64:
		return v
	case error:
		return v.Error()
	case fmt.Stringer:
		return v.String()
	}
	encoded, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprint(value)
	}
	var decoded any
	if err := json.Unmarshal(encoded, &decoded); err != nil {
		return fmt.Sprint(value)
	}
	return decoded
}
