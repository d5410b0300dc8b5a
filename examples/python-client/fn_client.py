"""A client of fn in Python's standard library alone: a socket, and what docs/protocol.md says. For one thread; not for large events."""
import base64, json, os, re, secrets, socket, sys, time, urllib.parse

SAFE = "".join(chr(c) for c in range(0x21, 0x7F) if chr(c) not in '"%')  # what a ce- header carries as it is


class FnError(Exception):
    def __init__(self, code, reason, message, **more):
        super().__init__(f"{message} ({reason})")
        self.code, self.reason, self.more = code, reason, more


class Message:
    def __init__(self, subject, head, data):
        self.subject, self.data = subject, data
        first, *lines = head.decode().split("\r\n")
        self.status = int(first[9:12]) if first[9:12].isdigit() else 0
        self.headers = {name: value.strip() for name, _, value in (line.partition(":") for line in lines) if name}


class Client:
    def __init__(self, url="nats://127.0.0.1:4222", prefix="function", namespace="default"):
        self.prefix, self.namespace = prefix, namespace
        at = urllib.parse.urlparse(url)
        self.socket, self.buffer = socket.create_connection((at.hostname, at.port or 4222)), b""
        self.info = json.loads(self._read()[len("INFO ") :])
        login = {"user": at.username, "pass": at.password} if at.username else {}
        options = {"verbose": False, "headers": True, "no_responders": True, "lang": "python", "version": "1", **login}
        self._send(f"CONNECT {json.dumps(options)}\r\n")
        self.inbox, self.asked, self.heard, self.sids = f"_INBOX.{new_id()}", 0, {}, {}
        self.subscribe(f"{self.inbox}.*")

    # --- NATS

    def _send(self, text, data=b""):
        self.socket.sendall(text.encode() + data)

    def _read(self, size=None, timeout=10):
        """So many bytes, or a line with its end."""
        while (end := self.buffer.find(b"\r\n") + 2 if size is None else size) < 2 or len(self.buffer) < end:
            self.socket.settimeout(max(0.001, timeout))
            chunk = self.socket.recv(262_144)
            if not chunk:
                raise FnError("unavailable", "DISCONNECTED", "the connection to NATS was lost")
            self.buffer += chunk
        taken, self.buffer = self.buffer[:end], self.buffer[end:]
        return taken

    def subscribe(self, subject):
        self.sids[subject] = len(self.sids) + 1
        self._send(f"SUB {subject} {self.sids[subject]}\r\n")

    def publish(self, subject, data=b"", headers={}, reply=""):
        head = ("NATS/1.0\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n").encode()
        self._send(f"HPUB {subject} {reply} {len(head)} {len(head) + len(data)}\r\n", head + data + b"\r\n")

    def next(self, subject, timeout):
        """The next message on a subject that is subscribed; None after `timeout` seconds."""
        until = time.monotonic() + timeout
        while not self.heard.get(subject):
            try:
                line = self._read(timeout=until - time.monotonic()).decode().split()
            except TimeoutError:
                return None
            if line[0] == "PING":
                self._send("PONG\r\n")
            elif line[0] in ("MSG", "HMSG"):
                head, size = int(line[-2]) if line[0] == "HMSG" else 0, int(line[-1])
                payload = self._read(size + 2)[:-2]
                self.heard.setdefault(line[1], []).append(Message(line[1], payload[:head], payload[head:]))
            elif line[0] == "-ERR":
                raise FnError("unavailable", "NATS", " ".join(line[1:]))
        return self.heard[subject].pop(0)

    def request(self, subject, data=b"", headers={}, timeout=5):
        self.asked += 1
        reply = f"{self.inbox}.{self.asked}"
        self.publish(subject, data, headers, reply)
        message = self.next(reply, timeout)
        if message is None:
            raise FnError("deadline_exceeded", "DEADLINE_EXCEEDED", f"no answer on {subject} within {timeout} s")
        if message.status == 503:
            raise FnError("unavailable", "NO_HOST", f"nobody answers on {subject}")
        return message

    def stored(self, stream, subject):
        """The last message a stream has on a subject, by direct get; None without one."""
        message = self.request(f"$JS.API.DIRECT.GET.{stream}.{subject}")
        return None if message.status == 404 else message

    # --- functions

    def invoke(self, name, data=None, timeout=30, type="com.fn.invoke"):
        """Calls a function and gives its events."""
        record = self.stored("KV_functions", f"$KV.functions.f.{self.namespace}.{name}")
        if record is None or "KV-Operation" in record.headers:
            raise FnError("not_found", "FUNCTION_NOT_FOUND", f"no function {self.namespace}/{name}")
        scope = "" if self.namespace == "default" else f"{self.namespace}."
        subject = f"{self.prefix}.{json.loads(record.data)['language']}.{scope}{name}"
        headers = {"Fn-Timeout-Ms": int(timeout * 1000), **event_headers(type)}
        return self.events(self.request(subject, json.dumps(data).encode(), headers, timeout))

    def invoke_async(self, name, data=None, type="com.fn.invoke", **headers):
        """Stores an invocation and gives its id, once the stream has it. Safe to repeat with the same Fn_Invocation_Id for two minutes."""
        id = headers.setdefault("Fn_Invocation_Id", new_id())
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        message = {"Nats-Msg-Id": id, "Fn-Accept": "payload-ref", **event_headers(type), **more}
        ack = json.loads(self.request(f"{self.prefix}.queue.{self.namespace}.{name}", json.dumps(data).encode(), message).data)
        if "error" in ack:
            reason = "QUEUE_FULL" if ack["error"]["err_code"] == 10077 else "JETSTREAM"
            raise FnError("resource_exhausted", reason, ack["error"]["description"])
        return id

    def result(self, id, timeout=30):
        """Waits for the events of a stored invocation; raises its failure."""
        subject = f"{self.prefix}.result.{id}" if self.namespace == "default" else f"{self.prefix}.result.{self.namespace}.{id}"
        if subject not in self.sids:
            self.subscribe(subject)
        until = time.monotonic() + timeout
        # What is heard says only that it is time to look: the first that was stored is the result.
        while (result := self.stored("FUNCTION_RESULTS", subject)) is None:
            if time.monotonic() >= until:
                raise FnError("deadline_exceeded", "DEADLINE_EXCEEDED", f"{id} is still pending")
            self.next(subject, min(5, max(0, until - time.monotonic())))
        self._send(f"UNSUB {self.sids.pop(subject)}\r\n")
        return self.events(result)

    def cancel(self, id):
        """Cancels an invocation, running or waiting. Its result says what became of it."""
        self.request(f"{self.prefix}.cancel.{self.namespace}.{id}.queued")

    def events(self, message):
        headers, data = message.headers, message.data
        if "Fn-Payload-Ref" in headers:
            data = self.object(*headers["Fn-Payload-Ref"].removeprefix("obj:").split("/", 1))
        if "Fn-Error-Code" in headers:
            raise FnError(**json.loads(data))
        kind = headers.get("content-type", headers.get("Fn-Payload-Type", ""))
        if kind.startswith("application/cloudevents-batch+json"):
            return json.loads(data)
        if kind.startswith("application/cloudevents+json"):
            return [json.loads(data)]
        event = {name[3:].lower(): urllib.parse.unquote(value) for name, value in headers.items() if name.lower().startswith("ce-")}
        is_json = re.search(r"[/+]json\b", event.get("datacontenttype", kind or "application/json"))
        return [{**event, **({"data": json.loads(data) if is_json else data} if data else {})}] if event else []

    def object(self, bucket, name):
        """The bytes of a stored object."""
        info = json.loads(self.stored(f"OBJ_{bucket}", f"$O.{bucket}.M.{base64.urlsafe_b64encode(name.encode()).decode()}").data)
        data, at = b"", 1
        while len(data) < info["size"]:
            query = {"seq": at, "next_by_subj": f"$O.{bucket}.C.{info['nuid']}"}
            chunk = self.request(f"$JS.API.DIRECT.GET.OBJ_{bucket}", json.dumps(query).encode())
            data, at = data + chunk.data, int(chunk.headers["Nats-Sequence"]) + 1
        return data


def event_headers(type):
    event = {"specversion": "1.0", "id": new_id(), "source": "/python", "type": type, "datacontenttype": "application/json"}
    return {f"ce-{name}": urllib.parse.quote(value, safe=SAFE) for name, value in event.items()}


def new_id():
    return secrets.token_urlsafe(16)  # 128 random bits, 22 characters


if __name__ == "__main__":  # fn_client.py <url> <method> '[arguments]' '{"keyword": "arguments"}'
    url, method, *given = sys.argv[1:]
    args, more = (json.loads(text) for text in (given + ["[]", "{}"][len(given) :]))
    try:
        print(json.dumps(getattr(Client(url, namespace=os.environ.get("FN_NAMESPACE", "default")), method)(*args, **more)))
    except FnError as error:
        print(json.dumps({"code": error.code, "reason": error.reason, "message": str(error)}))
        sys.exit(1)
