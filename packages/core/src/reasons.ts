import type { Code } from "./errors.js"

/**
 * Every reason the platform raises, with the code it belongs to and what a person can do about it.
 * A reason is the stable part of an error: callers branch on it, docs/errors.md is checked against this table.
 */
export const REASONS = {
  // names and input
  INVALID_NAME: { code: "invalid_argument", todo: "Use a name that matches ^[a-z][a-z0-9_-]{0,62}$." },
  INVALID_VERSION: { code: "invalid_argument", todo: "Use a semantic version without build metadata, for example 1.2.0." },
  INVALID_EVENT: { code: "invalid_argument", todo: "Send a CloudEvents 1.0 event: id, source, type and specversion are required." },
  INVALID_REQUEST: { code: "invalid_argument", todo: "Correct the request as the message says." },
  INVALID_DEFINITION: { code: "invalid_argument", todo: "Correct fn.yaml as the message says." },
  INVALID_CONFIG: { code: "invalid_argument", todo: "Correct the configuration as the message says." },
  INVALID_ARTIFACT: { code: "invalid_argument", todo: "Build the function again and deploy it." },
  BAD_REPLY_SUBJECT: { code: "permission_denied", todo: "Use an inbox as the reply subject (it begins with _INBOX or _R_)." },
  TYPE_NOT_ACCEPTED: { code: "invalid_argument", todo: "Send one of the event types the function accepts (fn get shows them)." },
  TYPE_NOT_EMITTED: { code: "failed_precondition", todo: "Declare the event type in the function's emits." },
  PAYLOAD_TOO_LARGE: { code: "resource_exhausted", todo: "Send less data, or raise the server's max_payload." },
  ROUTE_NOT_FOUND: { code: "not_found", todo: "Correct the path: POST /function/{name} or /function/{namespace}/{name}." },
  METHOD_NOT_ALLOWED: { code: "invalid_argument", todo: "Use one of the methods in the Allow header." },
  UNSUPPORTED_MEDIA_TYPE: {
    code: "invalid_argument",
    todo: "Send JSON, any other payload without content coding, or a CloudEvent in binary or structured mode.",
  },
  TOO_MANY_HOPS: { code: "failed_precondition", todo: "Break the cycle of functions that trigger each other." },
  // registry
  FUNCTION_NOT_FOUND: { code: "not_found", todo: "Deploy the function, or correct its name (fn list shows them)." },
  VERSION_NOT_FOUND: { code: "not_found", todo: "Use a deployed version (fn get shows them)." },
  ARTIFACT_NOT_FOUND: { code: "not_found", todo: "Deploy the version again." },
  VERSION_EXISTS: { code: "already_exists", todo: "Raise the version, or leave it out to get the next one." },
  LANGUAGE_FIXED: { code: "failed_precondition", todo: "Deploy under another name, or delete the function first." },
  VERSION_IN_USE: { code: "failed_precondition", todo: "Make another version active, or delete the whole function." },
  STALE_REVISION: { code: "aborted", todo: "Read the record again and repeat the change." },
  FEATURE_UNSUPPORTED: { code: "unimplemented", todo: "Leave the setting out; this release does not enforce it." },
  RECORD_CORRUPT: { code: "data_loss", todo: "Deploy the function again; something other than fn wrote its record." },
  SCHEMA_TOO_NEW: { code: "failed_precondition", todo: "Upgrade this process; a newer release wrote the record." },
  DIGEST_MISMATCH: { code: "data_loss", todo: "Deploy the version again; the stored artifact is damaged." },
  REGISTRY_TIMEOUT: { code: "unavailable", todo: "Check that JetStream is healthy, then try again." },
  NOT_SET_UP: { code: "failed_precondition", todo: "Run fn setup against this NATS account." },
  JETSTREAM_OFF: { code: "failed_precondition", todo: "Enable JetStream in nats-server (-js) and for this account." },
  JETSTREAM_UNAVAILABLE: { code: "unavailable", todo: "Check that JetStream is healthy and fn setup was run, then try again." },
  STORAGE_FULL: { code: "resource_exhausted", todo: "Give the bucket more room (fn setup --max-bytes), or delete what is not used." },
  SERVER_TOO_OLD: { code: "failed_precondition", todo: "Upgrade nats-server." },
  // connection and hosts
  DISCONNECTED: { code: "unavailable", todo: "Check the NATS connection, then try again." },
  NATS_UNREACHABLE: { code: "unavailable", todo: "Check the NATS address and that the server is up." },
  NATS_SERVER_MISSING: { code: "unavailable", todo: "Install nats-server, or Go, or give the path with --nats-server." },
  NATS_SERVER_EXITED: { code: "unavailable", todo: "Read the server's log; the message has its last lines." },
  NATS_AUTH: { code: "unauthenticated", todo: "Check the NATS credentials." },
  NATS_PERMISSION: { code: "permission_denied", todo: "Grant the subject to this NATS user." },
  NO_HOST: {
    code: "unavailable",
    todo: "Start a runtime-service that can run this function. The message says why the others cannot; `fn doctor` on their machines says what they lack.",
  },
  HOST_LOST: { code: "unavailable", todo: "Try again if the call may be repeated; the host died while it ran." },
  HOST_DRAINING: { code: "unavailable", todo: "Try again; another host will answer." },
  QUEUE_FULL: { code: "resource_exhausted", todo: "Try again later, or raise concurrency or instances." },
  DEADLINE_EXCEEDED: { code: "deadline_exceeded", todo: "Raise the time-out if the function needs longer." },
  CIRCUIT_OPEN: { code: "unavailable", todo: "Read why the function's instances fail; the host tries again after its back-off." },
  STREAM_BROKEN: { code: "unavailable", todo: "Call again; messages of the stream were lost on the way." },
  // queue
  EXPIRED: { code: "deadline_exceeded", todo: "Raise maxAgeMs, or add hosts: the invocation waited too long in the queue." },
  FUNCTION_DELETED: { code: "not_found", todo: "Deploy the function again and redrive its dead letters." },
  ATTEMPTS_EXHAUSTED: { code: "unavailable", todo: "Look why hosts died while they ran it, then redrive it (fn dlq redrive)." },
  OUTCOME_UNKNOWN: {
    code: "unavailable",
    todo: "Find out whether the call ran before you repeat it: its host died, and it may not run twice.",
  },
  RESULT_NOT_FOUND: { code: "not_found", todo: "Correct the id, or ask sooner: results are kept for a limited time." },
  EXECUTION_NOT_FOUND: {
    code: "not_found",
    todo: "Correct the id; executions are kept for a limited time, sync successes only if the function records all.",
  },
  DEAD_LETTER_NOT_FOUND: { code: "not_found", todo: "List the dead letters (fn dlq list); it may have been redriven or purged." },
  PAYLOAD_NOT_FOUND: { code: "not_found", todo: "Send the event again; its data was stored apart and is gone." },
  CALLBACK_REFUSED: { code: "permission_denied", todo: "Use an address the operator allows (--callback-allow)." },
  CALLBACK_FAILED: { code: "unavailable", todo: "Repair the receiver; the callback is retried, then dead-lettered." },
  CANCELLED: { code: "cancelled", todo: "Nothing: the caller cancelled." },
  // executions
  FUNCTION_THREW: { code: "unknown", todo: "Read the function's own error." },
  FUNCTION_TIMEOUT: { code: "deadline_exceeded", todo: "Make the function faster, or raise its timeoutMs." },
  FUNCTION_CRASHED: { code: "unavailable", todo: "Read the function's log; its process ended while it ran." },
  CRASH_LOOP: { code: "unavailable", todo: "Repair and redeploy the function; it crashed too often to be restarted now." },
  BAD_OUTPUT: { code: "failed_precondition", todo: "Return CloudEvents (or nothing) from the function." },
  OUTPUT_LIMIT: { code: "resource_exhausted", todo: "Return less, or pass a reference to the data." },
  MEMORY_LIMIT: { code: "resource_exhausted", todo: "Raise memoryMb, or use less memory." },
  PIDS_LIMIT: { code: "resource_exhausted", todo: "Raise pids, or start fewer processes and threads." },
  CPU_LIMIT: { code: "resource_exhausted", todo: "Use less CPU time, or raise the limit of the function." },
  INIT_FAILED: { code: "failed_precondition", todo: "Correct the function's configuration or its setup code." },
  LOAD_FAILED: { code: "failed_precondition", todo: "Correct the module: it must load and export a function." },
  // plugins
  BAD_HANDSHAKE: { code: "failed_precondition", todo: "Deploy a program that speaks go-plugin and prints nothing before its handshake." },
  PLUGIN_PROTOCOL: { code: "failed_precondition", todo: "Build the plugin for a protocol version this host speaks." },
  PLUGIN_EXITED: { code: "unavailable", todo: "Read the plugin's log; its process ended." },
  PLUGIN_START_TIMEOUT: { code: "unavailable", todo: "Make the plugin print its handshake sooner." },
  PLUGIN_NOT_EXECUTABLE: { code: "failed_precondition", todo: "Deploy a program built for this platform, with its executable bit set." },
  COMMAND_NOT_EXECUTABLE: {
    code: "failed_precondition",
    todo: "Deploy a program for the hosts' platform, or a script whose first line names a program that they have.",
  },
  CHECKSUM_MISMATCH: { code: "data_loss", todo: "Launch the file whose checksum was pinned." },
  ISOLATION_UNAVAILABLE: {
    code: "failed_precondition",
    todo: "Run fn doctor on the host: it says what can be enforced there and what to install. Or ask for less, or run it on another host.",
  },
  BUILTIN_NOT_REGISTERED: { code: "unimplemented", todo: "Register the builtin in the app that embeds the runtime." },
  RUNTIME_UNSUPPORTED: { code: "unimplemented", todo: "Use a runtime kind this host offers." },
  // build and platform
  BUILD_FAILED: { code: "failed_precondition", todo: "Correct the source as the build error says." },
  TOOLCHAIN_MISSING: { code: "failed_precondition", todo: "Install the toolchain the message names." },
  TEMPLATE_UNKNOWN: { code: "invalid_argument", todo: "Use one of the templates the message names." },
  FOLDER_NOT_EMPTY: { code: "already_exists", todo: "Give the name of a folder that is not there yet, or empty it." },
  NOT_CONFIRMED: { code: "invalid_argument", todo: "Repeat the command with --yes." },
  PORT_IN_USE: { code: "unavailable", todo: "Give another port, or 0 for a free one." },
  DATA_DIR_IN_USE: { code: "unavailable", todo: "Stop the other process, or give another --data-dir." },
  INTERNAL: { code: "internal", todo: "Report it with the errorId; the log has the rest." },
} as const satisfies Record<string, { code: Code; todo: string }>

/** One of {@link REASONS}; a function's own terminal errors may carry any other UPPER_SNAKE text. */
export type Reason = keyof typeof REASONS
