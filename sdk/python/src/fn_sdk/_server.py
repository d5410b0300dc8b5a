"""fn.plugin.v1.Function over one function. Unary calls and streams share the count of running calls, so one drain waits for both."""

from __future__ import annotations

import asyncio
import inspect
import traceback
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, List, Optional

import grpc

from . import _wire
from ._run import Execution, Runner, SendEvent
from ._stream import Stream
from .context import FunctionIdentity, Init
from .errors import FnError, cancelled, draining, thrown
from .function import Function
from .log import Logger

SDK_NAME = "fn-sdk"
SDK_VERSION = "0.1.0"
MAX_MESSAGE_BYTES = 80 * 1024 * 1024
"""The largest event of the platform is 64 MiB."""

_DEFAULT_CALL_CREDIT = 1024
_DEFAULT_GRACE_S = 1.0
_MAX_THREADS = 64


class FunctionServer:
    """The service and what it knows of its calls."""

    def __init__(self, function: Function, log: Logger) -> None:
        self._function = function
        self.log = log
        self.call_credit = function.max_concurrency or _DEFAULT_CALL_CREDIT
        self.draining = False
        self._threads = ThreadPoolExecutor(min(self.call_credit, _MAX_THREADS), "fn-handler")
        self._initialized = False
        self._runner: Optional[Runner] = None
        self._running = 0
        self._idle = asyncio.Event()
        self._ending: "Optional[asyncio.Task[int]]" = None

    def service(self) -> Any:
        """What a gRPC server registers."""

        def unary(method: Any, request: Any, response: Any) -> Any:
            async def answer(message: Any, context: Any) -> Any:
                try:
                    return await method(message, context)
                except FnError as error:
                    await _abort(context, error)

            return grpc.unary_unary_rpc_method_handler(
                answer, request_deserializer=request.FromString, response_serializer=response.SerializeToString
            )

        methods = {
            "Describe": unary(self._describe, _wire.DescribeRequest, _wire.DescribeResponse),
            "Initialize": unary(self._initialize, _wire.InitializeRequest, _wire.InitializeResponse),
            "Execute": unary(self._execute, _wire.ExecuteRequest, _wire.ExecuteResponse),
            "Shutdown": unary(self._shutdown, _wire.ShutdownRequest, _wire.ShutdownResponse),
            "ExecuteStream": grpc.stream_stream_rpc_method_handler(
                self._execute_stream,
                request_deserializer=_wire.HostEnvelope.FromString,
                response_serializer=_wire.PluginEnvelope.SerializeToString,
            ),
        }
        return grpc.method_handlers_generic_handler("fn.plugin.v1.Function", methods)

    def execute(
        self,
        sent: Any,
        call: Any,
        *,
        timeout: Optional[float],
        log: Logger,
        send: Optional[SendEvent],
        done: "Callable[[List[Any], Optional[FnError]], None]",
    ) -> Execution:
        """Starts one call of a function that is ready."""
        execution = Execution(self._ready(), sent, call, timeout=timeout, log=log, send=send)
        self._running += 1

        def ended(events: "List[Any]", failure: Optional[FnError]) -> None:
            self._running -= 1
            if self._running == 0:
                self._idle.set()
            done(events, failure)

        self._idle.clear()
        execution.start(ended)
        return execution

    async def end(self, grace_s: float) -> int:
        """Refuses calls, waits for the running ones and runs the function's shutdown; once. Gives the number of calls left behind."""
        if self._ending is None:
            self._ending = asyncio.get_running_loop().create_task(self._end(grace_s))
        return await asyncio.shield(self._ending)

    async def _end(self, grace_s: float) -> int:
        self.draining = True
        if self._running > 0:
            await asyncio.wait([asyncio.ensure_future(self._idle.wait())], timeout=grace_s)
        abandoned = self._running
        if self._runner is not None and self._function.shutdown is not None:
            shutdown, deps = self._function.shutdown, self._runner.deps
            await asyncio.wait_for(self._author(lambda: shutdown(deps)), grace_s)
        return abandoned

    async def _describe(self, _request: Any, _context: Any) -> Any:
        function = self._function
        return _wire.DescribeResponse(
            name=function.name,
            version=function.version,
            type=_wire.TYPE_STATELESS,
            capabilities=[_wire.CAPABILITY_EXECUTE_STREAM, _wire.CAPABILITY_CANCEL, _wire.CAPABILITY_PARTIAL_OUTPUT],
            description=function.description,
            accepts=function.accepts,
            emits=function.emits,
            config_schema_json=function.config_schema_json,
            max_concurrency=function.max_concurrency,
            max_receive_bytes=MAX_MESSAGE_BYTES,
            sdk_name=SDK_NAME,
            sdk_version=SDK_VERSION,
        )

    async def _initialize(self, request: Any, _context: Any) -> Any:
        if self._initialized:
            raise FnError("failed_precondition", "this plugin is initialized already")
        self._initialized = True
        init = self._init(request)
        setup = self._function.setup
        try:
            deps = None if setup is None else await self._author(lambda: setup(init))
        except Exception as error:
            if not isinstance(error, FnError):
                self.log.error("setup failed", traceback=traceback.format_exc())
            return _wire.InitializeResponse(diagnostics=_diagnostics(error))
        self._runner = Runner(self._function, init, deps, self._threads)
        return _wire.InitializeResponse()

    def _init(self, request: Any) -> Init:
        """The identity a host of ours sends; another host knows neither namespace nor version."""
        sent = request.host_metadata
        identity = FunctionIdentity(
            namespace=sent.get("fn.namespace", "default"),
            name=sent.get("fn.name", self._function.name),
            version=sent.get("fn.version", self._function.version),
            instance=request.instance_id,
        )
        return Init(identity, _wire.struct_to_plain(request.config), dict(request.secrets), self.log)

    async def _execute(self, request: Any, context: Any) -> Any:
        if self.draining:
            raise draining()
        answered: "asyncio.Future[List[Any]]" = asyncio.get_running_loop().create_future()

        def done(events: "List[Any]", failure: Optional[FnError]) -> None:
            if answered.cancelled():
                return
            if failure is None:
                answered.set_result(events)
            else:
                answered.set_exception(failure)

        log = self.log.child(invocationId=request.context.invocation_id)
        execution = self.execute(request.event, request.context, timeout=context.time_remaining(), log=log, send=None, done=done)
        try:
            return _wire.ExecuteResponse(events=await answered)
        except asyncio.CancelledError:
            execution.cancel(cancelled("the caller cancelled"))
            raise

    async def _execute_stream(self, _requests: Any, context: Any) -> None:
        try:
            self._ready()
            await Stream(self, context).serve()
        except FnError as error:
            await _abort(context, error)

    async def _shutdown(self, request: Any, _context: Any) -> Any:
        grace_s = _wire.seconds_of(request.grace) if request.HasField("grace") else _DEFAULT_GRACE_S
        try:
            return _wire.ShutdownResponse(calls_abandoned=await self.end(grace_s))
        except asyncio.TimeoutError as error:
            raise FnError("deadline_exceeded", "the function's shutdown took too long") from error
        except Exception as error:
            raise thrown(error) from error

    def _ready(self) -> Runner:
        if self._runner is None:
            raise FnError("failed_precondition", "this plugin is not initialized: Initialize comes first")
        return self._runner

    async def _author(self, work: "Callable[[], Any]") -> Any:
        """Setup and shutdown may be async, and may block where they are not."""
        result = await asyncio.get_running_loop().run_in_executor(self._threads, work)
        return await result if inspect.isawaitable(result) else result


def _diagnostics(error: Exception) -> "List[Any]":
    """One for each wrong key of the configuration, or one for all that is wrong."""
    failure = thrown(error)
    reason = failure.reason if isinstance(error, FnError) and failure.reason else "INIT_FAILED"
    issues = (failure.details or {}).get("issues") if reason == "INVALID_CONFIG" else None
    return [
        _wire.Diagnostic(severity=_wire.SEVERITY_ERROR, summary=issue["message"], detail=reason, config_path=issue["pointer"])
        for issue in issues or [{"message": failure.message, "pointer": ""}]
    ]


async def _abort(context: Any, error: FnError) -> None:
    """A failed call as gRPC sends it: code and message in the clear, the rest in the standard trailer."""
    status = _wire.Status()
    error.fill_status(status)
    context.set_trailing_metadata(((_wire.STATUS_DETAILS_TRAILER, status.SerializeToString()),))
    await context.abort(_GRPC_CODES[error.number], error.message)


_GRPC_CODES = {code.value[0]: code for code in grpc.StatusCode}
