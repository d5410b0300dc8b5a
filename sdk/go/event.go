package fn

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/fn-platform/fn/sdk/go/internal/cloudeventsv1"
)

// Event is a CloudEvents 1.0 event. Of an event to send, ID, Source, Time and DataContentType are filled in where they are empty.
type Event struct {
	ID              string
	Source          string
	Type            string
	Subject         string
	Time            time.Time
	DataContentType string
	DataSchema      string
	// Extensions holds the other attributes: lower-case letters and digits to string, bool or int32.
	Extensions map[string]any
	// Data is the payload as it was sent; nil is absent, empty is empty.
	Data []byte
}

const specVersion = "1.0"

// NewEvent makes an event whose data is the JSON of data; nil means no data.
func NewEvent(eventType string, data any) (Event, error) {
	event := Event{Type: eventType}
	if data == nil {
		return event, nil
	}
	encoded, err := json.Marshal(data)
	if err != nil {
		return Event{}, fmt.Errorf("data of a %s event: %w", eventType, err)
	}
	event.DataContentType = "application/json"
	event.Data = encoded
	return event, nil
}

// Decode reads JSON data into target. Data that does not fit is the sender's mistake: return the error, and the call is not repeated.
func (event Event) Decode(target any) error {
	if err := json.Unmarshal(event.Data, target); err != nil {
		return &Error{
			Code:    InvalidArgument,
			Reason:  "INVALID_EVENT",
			Message: fmt.Sprintf("invalid event: %s, checked by the receiver: data: %v", event.Type, err),
			Details: map[string]any{"side": "receiver", "type": event.Type, "attribute": "data"},
			cause:   err,
		}
	}
	return nil
}

func eventFromProto(sent *cloudeventsv1.CloudEvent) (Event, error) {
	if sent == nil {
		return Event{}, invalidEvent("the call carries none")
	}
	if sent.Id == "" || sent.Source == "" || sent.Type == "" || sent.SpecVersion != specVersion {
		return Event{}, invalidEvent("id, source, type and specversion 1.0 are required")
	}
	event := Event{ID: sent.Id, Source: sent.Source, Type: sent.Type}
	for name, value := range sent.Attributes {
		if err := event.set(name, value); err != nil {
			return Event{}, err
		}
	}
	switch data := sent.Data.(type) {
	case nil:
	case *cloudeventsv1.CloudEvent_BinaryData:
		event.Data = data.BinaryData
		if event.Data == nil {
			event.Data = []byte{}
		}
	case *cloudeventsv1.CloudEvent_TextData:
		event.Data = []byte(data.TextData)
	default:
		return Event{}, invalidEvent("proto_data is not supported; send binary_data")
	}
	return event, nil
}

func (event *Event) set(name string, value *cloudeventsv1.CloudEvent_CloudEventAttributeValue) error {
	plain := attributeFromProto(value)
	text, isText := plain.(string)
	switch name {
	case "time":
		at, isTime := plain.(time.Time)
		if isText {
			parsed, err := time.Parse(time.RFC3339Nano, text)
			if err != nil {
				return invalidEvent("time: " + err.Error())
			}
			at, isTime = parsed, true
		}
		if !isTime {
			return invalidEvent("time: it is no time")
		}
		event.Time = at
		return nil
	case "subject", "datacontenttype", "dataschema":
		if !isText {
			return invalidEvent(name + ": it must be text")
		}
	}
	switch name {
	case "subject":
		event.Subject = text
	case "datacontenttype":
		event.DataContentType = text
	case "dataschema":
		event.DataSchema = text
	default:
		if event.Extensions == nil {
			event.Extensions = map[string]any{}
		}
		if at, isTime := plain.(time.Time); isTime {
			plain = at.Format(time.RFC3339Nano)
		}
		event.Extensions[name] = plain
	}
	return nil
}

func attributeFromProto(value *cloudeventsv1.CloudEvent_CloudEventAttributeValue) any {
	switch attr := value.GetAttr().(type) {
	case *cloudeventsv1.CloudEvent_CloudEventAttributeValue_CeBoolean:
		return attr.CeBoolean
	case *cloudeventsv1.CloudEvent_CloudEventAttributeValue_CeInteger:
		return attr.CeInteger
	case *cloudeventsv1.CloudEvent_CloudEventAttributeValue_CeString:
		return attr.CeString
	case *cloudeventsv1.CloudEvent_CloudEventAttributeValue_CeBytes:
		return base64.StdEncoding.EncodeToString(attr.CeBytes)
	case *cloudeventsv1.CloudEvent_CloudEventAttributeValue_CeUri:
		return attr.CeUri
	case *cloudeventsv1.CloudEvent_CloudEventAttributeValue_CeUriRef:
		return attr.CeUriRef
	case *cloudeventsv1.CloudEvent_CloudEventAttributeValue_CeTimestamp:
		return attr.CeTimestamp.AsTime()
	}
	return nil
}

func (event Event) toProto(source string) (*cloudeventsv1.CloudEvent, error) {
	if event.Type == "" {
		return nil, badOutput("type: it is missing")
	}
	sent := &cloudeventsv1.CloudEvent{
		Id:          event.ID,
		Source:      event.Source,
		SpecVersion: specVersion,
		Type:        event.Type,
		Attributes:  map[string]*cloudeventsv1.CloudEvent_CloudEventAttributeValue{},
	}
	if sent.Id == "" {
		sent.Id = newID()
	}
	if sent.Source == "" {
		sent.Source = source
	}
	at := event.Time
	if at.IsZero() {
		at = time.Now()
	}
	sent.Attributes["time"] = &cloudeventsv1.CloudEvent_CloudEventAttributeValue{
		Attr: &cloudeventsv1.CloudEvent_CloudEventAttributeValue_CeTimestamp{CeTimestamp: timestamppb.New(at)},
	}
	contentType := event.DataContentType
	if contentType == "" && event.Data != nil {
		contentType = "application/octet-stream"
		if json.Valid(event.Data) {
			contentType = "application/json"
		}
	}
	for name, text := range map[string]string{"subject": event.Subject, "datacontenttype": contentType, "dataschema": event.DataSchema} {
		if text != "" {
			sent.Attributes[name] = textAttribute(text)
		}
	}
	for name, value := range event.Extensions {
		attribute, err := extensionToProto(name, value)
		if err != nil {
			return nil, err
		}
		sent.Attributes[name] = attribute
	}
	if event.Data != nil {
		sent.Data = &cloudeventsv1.CloudEvent_BinaryData{BinaryData: event.Data}
	}
	return sent, nil
}

func extensionToProto(name string, value any) (*cloudeventsv1.CloudEvent_CloudEventAttributeValue, error) {
	if name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
		return nil, badOutput(fmt.Sprintf("extension %q: a name has only lower-case letters and digits", name))
	}
	switch name {
	case "id", "source", "type", "specversion", "time", "subject", "datacontenttype", "dataschema", "data":
		return nil, badOutput(fmt.Sprintf("extension %q: it is an attribute of its own", name))
	}
	switch plain := value.(type) {
	case string:
		return textAttribute(plain), nil
	case bool:
		return &cloudeventsv1.CloudEvent_CloudEventAttributeValue{
			Attr: &cloudeventsv1.CloudEvent_CloudEventAttributeValue_CeBoolean{CeBoolean: plain},
		}, nil
	case int32:
		return integerAttribute(plain), nil
	case int:
		if plain >= math.MinInt32 && plain <= math.MaxInt32 {
			return integerAttribute(int32(plain)), nil
		}
	}
	return nil, badOutput(fmt.Sprintf("extension %q: it must be a string, a bool or a 32-bit integer, not %v", name, value))
}

func textAttribute(text string) *cloudeventsv1.CloudEvent_CloudEventAttributeValue {
	return &cloudeventsv1.CloudEvent_CloudEventAttributeValue{
		Attr: &cloudeventsv1.CloudEvent_CloudEventAttributeValue_CeString{CeString: text},
	}
}

func integerAttribute(value int32) *cloudeventsv1.CloudEvent_CloudEventAttributeValue {
	return &cloudeventsv1.CloudEvent_CloudEventAttributeValue{
		Attr: &cloudeventsv1.CloudEvent_CloudEventAttributeValue_CeInteger{CeInteger: value},
	}
}

func newID() string {
	var bits [16]byte
	_, _ = rand.Read(bits[:]) // never fails since Go 1.24, and before that only where the kernel has no randomness
	return base64.RawURLEncoding.EncodeToString(bits[:])
}
