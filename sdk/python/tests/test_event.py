"""Events in and out of the wire."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from fn_sdk import Event, FnError, _wire  # noqa: E402
from fn_sdk.errors import retry_after, terminal, thrown  # noqa: E402
from fn_sdk.event import event_from_proto, event_to_proto  # noqa: E402


def sent(**fields: object) -> object:
    return _wire.CloudEvent(**{"id": "1", "source": "/s", "spec_version": "1.0", "type": "t", **fields})


def through(event: Event) -> Event:
    proto = _wire.CloudEvent()
    event_to_proto(event, "/functions/default/f", proto)
    return event_from_proto(_wire.CloudEvent.FromString(proto.SerializeToString()))


class EventsTest(unittest.TestCase):
    def test_an_event_comes_back_as_it_went(self) -> None:
        event = Event(
            "t", {"a": [1, "ü", None]}, id="7", source="/x", subject="s", time="2026-11-20T00:00:00.123456789Z", dataschema="/d",
            extensions={"flag": True, "count": -5, "text": "x"},
        )
        back = through(event)
        for name in ("id", "source", "type", "subject", "time", "datacontenttype", "dataschema", "extensions", "raw", "data"):
            self.assertEqual(getattr(back, name), getattr(event, name), name)

    def test_what_is_absent_is_filled_in(self) -> None:
        back = through(Event("t", "text"))
        self.assertEqual(back.source, "/functions/default/f")
        self.assertEqual((back.datacontenttype, back.raw), ("application/json", b'"text"'))
        self.assertRegex(back.time, r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
        self.assertNotEqual(back.id, through(Event("t")).id)

    def test_no_data_and_empty_data_are_different(self) -> None:
        self.assertIsNone(through(Event("t")).raw)
        self.assertEqual(through(Event("t", raw=b"")).raw, b"")

    def test_data_is_what_its_content_type_says(self) -> None:
        self.assertEqual(through(Event("t", b"\x00\xff")).data, b"\x00\xff")
        self.assertEqual(through(Event("t", "<a/>", datacontenttype="text/xml")).data, "<a/>")
        self.assertEqual(through(Event("t", [1], datacontenttype="application/vnd.x+json; charset=utf-8")).data, [1])
        self.assertEqual(event_from_proto(sent(text_data="[1]")).data, [1])

    def test_data_that_is_no_json_is_the_senders_mistake(self) -> None:
        with self.assertRaises(FnError) as caught:
            event_from_proto(sent(binary_data=b"{")).data
        self.assertEqual((caught.exception.code, caught.exception.reason), ("invalid_argument", "INVALID_EVENT"))

    def test_what_is_no_event_is_refused(self) -> None:
        for wrong in ({"spec_version": "0.3"}, {"id": ""}, {"source": ""}, {"type": ""}):
            with self.subTest(wrong), self.assertRaises(FnError) as caught:
                event_from_proto(sent(**wrong))
            self.assertEqual(caught.exception.reason, "INVALID_EVENT")

    def test_output_that_is_no_event_is_bad_output(self) -> None:
        for wrong in ("text", {"type": "t"}, Event(""), Event("t", extensions={"Not-A-Name": 1}), Event("t", extensions={"id": "x"}),
                      Event("t", extensions={"big": 2**31})):
            with self.subTest(wrong), self.assertRaises(FnError) as caught:
                event_to_proto(wrong, "/s", _wire.CloudEvent())
            self.assertEqual(caught.exception.reason, "BAD_OUTPUT")
        for unsayable in (float("nan"), {1, 2}):
            with self.subTest(unsayable), self.assertRaises(FnError) as caught:
                Event("t", unsayable)
            self.assertEqual(caught.exception.reason, "BAD_OUTPUT")


class ErrorsTest(unittest.TestCase):
    def test_an_error_carries_all_that_its_caller_may_know(self) -> None:
        status = _wire.Status()
        terminal("CARD_DECLINED", "no money", {"order": 7, "tags": ["a", None], "odd": object}).fill_status(status)
        detail = _wire.struct_to_plain(_wire.Struct.FromString(status.details[0].value))
        self.assertEqual((status.code, status.message, status.retryable), (9, "no money", False))
        self.assertEqual((detail["reason"], detail["retryable"]), ("CARD_DECLINED", False))
        self.assertEqual((detail["details"]["order"], detail["details"]["tags"]), (7, ["a", None]))

    def test_a_wait_is_told_in_both_ways(self) -> None:
        status = _wire.Status()
        retry_after(1.5).fill_status(status)
        detail = _wire.struct_to_plain(_wire.Struct.FromString(status.details[0].value))
        self.assertEqual((detail["retryAfterMs"], _wire.seconds_of(status.retry_after)), (1500, 1.5))

    def test_any_exception_is_a_failure_with_its_text(self) -> None:
        self.assertEqual((thrown(ValueError("x")).reason, thrown(ValueError("x")).message), ("FUNCTION_THREW", "x"))
        self.assertEqual(thrown(KeyError()).message, "KeyError")

    def test_a_code_that_does_not_exist_is_refused(self) -> None:
        with self.assertRaises(ValueError):
            FnError("no_such_code", "x")


if __name__ == "__main__":
    unittest.main()
