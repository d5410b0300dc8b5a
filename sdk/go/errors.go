package fn

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"

	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"

	"github.com/fn-platform/fn/sdk/go/internal/pluginv1"
)

// Code is the kind of an error: one of gRPC's sixteen.
type Code = codes.Code

// The codes a function has reason to use. A plain error is Unknown, and is repeated by the queue.
const (
	Unknown            = codes.Unknown
	InvalidArgument    = codes.InvalidArgument
	NotFound           = codes.NotFound
	AlreadyExists      = codes.AlreadyExists
	PermissionDenied   = codes.PermissionDenied
	ResourceExhausted  = codes.ResourceExhausted
	FailedPrecondition = codes.FailedPrecondition
	Unavailable        = codes.Unavailable
	DeadlineExceeded   = codes.DeadlineExceeded
	Canceled           = codes.Canceled
)

// Error is a failure with all that its caller may know. Any other error a handler returns is one with code Unknown and its text.
type Error struct {
	Code Code
	// Reason is a stable UPPER_SNAKE constant that callers may branch on.
	Reason  string
	Message string
	// Details travel to the caller as JSON.
	Details map[string]any
	// Retryable says that repeating the same call may help.
	Retryable bool
	// RetryAfter asks to wait before that; 0: no wish.
	RetryAfter time.Duration
	cause      error
}

// Error implements error.
func (e *Error) Error() string { return e.Message }

// Unwrap gives the error behind it, which never travels.
func (e *Error) Unwrap() error { return e.cause }

// Terminal is a failure that no retry can mend.
func Terminal(reason, message string) *Error {
	return &Error{Code: FailedPrecondition, Reason: reason, Message: message}
}

// RetryAfter is a failure that is worth repeating after wait.
func RetryAfter(wait time.Duration, message string) *Error {
	return &Error{Code: Unavailable, Reason: "RETRY_AFTER", Message: message, Retryable: true, RetryAfter: wait}
}

func invalidEvent(why string) *Error {
	return &Error{Code: InvalidArgument, Reason: "INVALID_EVENT", Message: "invalid event: " + why}
}

func badOutput(why string) *Error {
	return &Error{
		Code:    FailedPrecondition,
		Reason:  "BAD_OUTPUT",
		Message: "the function must return CloudEvents or nothing, but an event of it is invalid: " + why,
	}
}

// errorFrom gives what a handler returned a code and a reason. cause is why its context ended, if it did.
func errorFrom(err error, cause error) *Error {
	var own *Error
	if errors.As(err, &own) {
		return own.complete()
	}
	if cause != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)) {
		if errors.As(cause, &own) {
			return own
		}
		err = cause
	}
	switch {
	case errors.Is(err, context.Canceled):
		return &Error{Code: Canceled, Reason: "CANCELLED", Message: "cancelled", cause: err}
	case errors.Is(err, context.DeadlineExceeded):
		return timedOut()
	}
	if sent, isStatus := status.FromError(err); isStatus && sent.Code() != codes.OK {
		return &Error{Code: sent.Code(), Message: sent.Message(), Retryable: retryable(sent.Code()), cause: err}
	}
	return &Error{Code: Unknown, Reason: "FUNCTION_THREW", Message: err.Error(), cause: err}
}

// complete gives an error that an author left without a code the one of any other error.
func (e *Error) complete() *Error {
	if e.Code != codes.OK {
		return e
	}
	complete := *e
	complete.Code = Unknown
	if complete.Reason == "" {
		complete.Reason = "FUNCTION_THREW"
	}
	return &complete
}

func timedOut() *Error {
	return &Error{Code: DeadlineExceeded, Reason: "FUNCTION_TIMEOUT", Message: "the time of this execution is over"}
}

func cancelled(why string) *Error {
	return &Error{Code: Canceled, Reason: "CANCELLED", Message: why}
}

func draining() *Error {
	return &Error{Code: Unavailable, Reason: "HOST_DRAINING", Message: "this plugin is shutting down", Retryable: true}
}

func retryable(code Code) bool {
	return code == codes.Unavailable || code == codes.ResourceExhausted || code == codes.Aborted
}

// detail is the google.protobuf.Struct that carries what a gRPC status has no field for.
func (e *Error) detail() *anypb.Any {
	fields := map[string]any{"retryable": e.Retryable}
	if e.Reason != "" {
		fields["reason"] = e.Reason
	}
	if e.RetryAfter > 0 {
		fields["retryAfterMs"] = float64(e.RetryAfter) / float64(time.Millisecond)
	}
	if len(e.Details) > 0 {
		fields["details"] = toPlain(e.Details)
	}
	content, err := structpb.NewStruct(fields)
	if err != nil {
		content, _ = structpb.NewStruct(map[string]any{"reason": e.Reason, "retryable": e.Retryable})
	}
	packed, err := anypb.New(content)
	if err != nil {
		return nil
	}
	return packed
}

func (e *Error) details() []*anypb.Any {
	if packed := e.detail(); packed != nil {
		return []*anypb.Any{packed}
	}
	return nil
}

// toStatus is the error as a frame of a stream.
func (e *Error) toStatus() *pluginv1.Status {
	sent := &pluginv1.Status{Code: int32(e.Code), Message: e.Message, Details: e.details(), Retryable: e.Retryable}
	if e.RetryAfter > 0 {
		sent.RetryAfter = durationpb.New(e.RetryAfter)
	}
	return sent
}

// toGRPC is the error of a unary call: gRPC puts the details into its standard trailer.
func (e *Error) toGRPC() error {
	return status.FromProto(&rpcstatus.Status{Code: int32(e.Code), Message: e.Message, Details: e.details()}).Err()
}

// recovered is the error of a handler that panicked. Only its call fails.
func recovered(value any) *Error {
	return &Error{Code: Unknown, Reason: "FUNCTION_THREW", Message: fmt.Sprintf("panic: %v", value)}
}
