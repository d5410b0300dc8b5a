"""The messages of the wire, made at run time from ``descriptors.binpb``.

protoc's Python code runs with few versions of the protobuf runtime; descriptors run with all of them. The pool is our own, so that a function
may bring other code with messages of the same names.
"""

from __future__ import annotations

from datetime import timedelta
from importlib.resources import files
from typing import Any, Mapping, Optional

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_pool = descriptor_pool.DescriptorPool()
for _file in descriptor_pb2.FileDescriptorSet.FromString(files("fn_sdk").joinpath("descriptors.binpb").read_bytes()).file:
    _pool.AddSerializedFile(_file.SerializeToString())


def message(name: str) -> Any:
    """The class of a message, by its full name."""
    return message_factory.GetMessageClass(_pool.FindMessageTypeByName(name))


CloudEvent = message("io.cloudevents.v1.CloudEvent")
AttributeValue = message("io.cloudevents.v1.CloudEvent.CloudEventAttributeValue")

DescribeRequest = message("fn.plugin.v1.DescribeRequest")
DescribeResponse = message("fn.plugin.v1.DescribeResponse")
InitializeRequest = message("fn.plugin.v1.InitializeRequest")
InitializeResponse = message("fn.plugin.v1.InitializeResponse")
Diagnostic = message("fn.plugin.v1.Diagnostic")
ExecuteRequest = message("fn.plugin.v1.ExecuteRequest")
ExecuteResponse = message("fn.plugin.v1.ExecuteResponse")
HostEnvelope = message("fn.plugin.v1.HostEnvelope")
PluginEnvelope = message("fn.plugin.v1.PluginEnvelope")
PluginFrame = message("fn.plugin.v1.PluginFrame")
CallResult = message("fn.plugin.v1.CallResult")
Status = message("fn.plugin.v1.Status")
LogRecord = message("fn.plugin.v1.LogRecord")
ShutdownRequest = message("fn.plugin.v1.ShutdownRequest")
ShutdownResponse = message("fn.plugin.v1.ShutdownResponse")

HealthCheckRequest = message("grpc.health.v1.HealthCheckRequest")
HealthCheckResponse = message("grpc.health.v1.HealthCheckResponse")
Controlled = message("plugin.Empty")
ConnInfo = message("plugin.ConnInfo")
StdioData = message("plugin.StdioData")
Empty = message("google.protobuf.Empty")
Struct = message("google.protobuf.Struct")

TYPE_STATELESS = 1
CAPABILITY_EXECUTE_STREAM = 1
CAPABILITY_CANCEL = 3
CAPABILITY_PARTIAL_OUTPUT = 7
SEVERITY_ERROR = 2
REASON_DEADLINE = 2
REASON_HOST_SHUTDOWN = 3
SERVING = 1
STDOUT = 1
STDERR = 2
LOG_LEVELS: Mapping[str, int] = {"trace": 1, "debug": 2, "info": 3, "warn": 4, "error": 5}
LOG_LEVEL_OFF = 6

STATUS_DETAILS_TRAILER = "grpc-status-details-bin"


def seconds_of(duration: Any) -> float:
    """A ``google.protobuf.Duration`` in seconds."""
    return float(duration.seconds) + float(duration.nanos) / 1e9


def set_duration(duration: Any, seconds: float) -> None:
    """Writes seconds into a ``google.protobuf.Duration``."""
    duration.FromTimedelta(timedelta(seconds=seconds))


def fill_struct(struct: Any, fields: Mapping[str, Any]) -> None:
    """Writes plain values into a ``google.protobuf.Struct``; what JSON cannot say goes in as text."""
    for name, value in fields.items():
        _fill_value(struct.fields[name], value)


def _fill_value(target: Any, value: Any) -> None:
    if value is None:
        target.null_value = 0
    elif isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, (int, float)) and _is_number(value):
        target.number_value = value
    elif isinstance(value, Mapping):
        target.struct_value.SetInParent()
        for name, inner in value.items():
            _fill_value(target.struct_value.fields[str(name)], inner)
    elif isinstance(value, (list, tuple)):
        target.list_value.SetInParent()
        for inner in value:
            _fill_value(target.list_value.values.add(), inner)
    else:
        target.string_value = str(value).encode("utf-8", "replace").decode("utf-8")


def _is_number(value: float) -> bool:
    """Whether a double of JSON carries it without loss of sense."""
    return -(2**1023) < value < 2**1023 and value == value


def struct_to_plain(struct: Any) -> "dict[str, Any]":
    """The plain values of a ``google.protobuf.Struct``; whole numbers are ints."""
    return {name: _plain(value) for name, value in struct.fields.items()}


def _plain(value: Any) -> Any:
    kind: Optional[str] = value.WhichOneof("kind")
    if kind is None or kind == "null_value":
        return None
    if kind == "number_value":
        number = value.number_value
        return int(number) if number.is_integer() and abs(number) < 2**53 else number
    if kind == "struct_value":
        return struct_to_plain(value.struct_value)
    if kind == "list_value":
        return [_plain(inner) for inner in value.list_value.values]
    return getattr(value, kind)
