package io.github.fnplatform.fn;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.github.fnplatform.fn.wire.io.cloudevents.v1.CloudeventsProto.CloudEvent;
import io.github.fnplatform.fn.wire.io.cloudevents.v1.CloudeventsProto.CloudEvent.CloudEventAttributeValue;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.Test;

class EventTest {
  record Order(String id, int cents, List<String> tags) {}

  private static Event received(Event event) {
    return Event.fromProto(event.withId("1").withSource("/test").toProto("/functions/default/x"));
  }

  private static String reason(org.junit.jupiter.api.function.Executable work) {
    return assertThrows(FnException.class, work).reason();
  }

  private static Event json(String text) {
    return Event.of("t").withBytes(text.getBytes(StandardCharsets.UTF_8), "application/json");
  }

  @Test
  void keepsAttributesAndDataOnTheWire() {
    Order order = new Order("ü", 7, List.of("a"));
    Event event = received(Event.of("t", order).withSubject("s").withDataSchema("/schema").withExtension("n", 5).withExtension("yes", true));
    assertEquals("s", event.subject());
    assertEquals("/schema", event.dataSchema());
    assertEquals("application/json", event.dataContentType());
    assertEquals(5, event.extension("n"));
    assertEquals(true, event.extension("yes"));
    assertEquals(order, event.data(Order.class));
  }

  @Test
  void fillsInWhatIsAbsent() {
    CloudEvent sent = Event.of("t").toProto("/functions/default/x");
    assertEquals("/functions/default/x", sent.getSource());
    assertEquals(36, sent.getId().length());
    assertEquals(24, sent.getAttributesMap().get("time").getCeString().length());
    assertEquals(CloudEvent.DataCase.DATA_NOT_SET, sent.getDataCase());
  }

  @Test
  void decodesDataAsItsContentTypeSays() {
    Map<String, Object> expected = new LinkedHashMap<>();
    expected.put("whole", 1L);
    expected.put("half", 0.5);
    expected.put("list", Arrays.asList("x", null, true));
    assertEquals(expected, json("{\"whole\":1,\"half\":0.5,\"list\":[\"x\",null,true]}").data());
    assertEquals("a,b", Event.ofText("t", "a,b", "text/csv").data());
    assertArrayEquals(new byte[] {1, 2}, (byte[]) Event.of("t", new byte[] {1, 2}).data());
    assertEquals(Map.of("a", 1L), Event.of("t").withBytes("{\"a\":1}".getBytes(StandardCharsets.UTF_8), "application/vnd.x+json; v=1").data());
    assertNull(received(Event.of("t")).data());
    assertEquals(0, received(Event.of("t").withBytes(new byte[0], "text/plain")).bytes().length);
  }

  @Test
  void dataThatIsNotWhatItSaysIsTheSendersMistake() {
    for (String text : new String[] {"", "{", "{'a':1}", "[1] x", "NaN"}) assertEquals("INVALID_EVENT", reason(() -> json(text).data()), text);
    assertEquals("INVALID_EVENT", reason(() -> json("[]").data(Order.class)));
    byte[] noText = {'"', (byte) 0xff, '"'};
    assertEquals("INVALID_EVENT", reason(() -> Event.of("t").withBytes(noText, "application/json").data()));
  }

  @Test
  void refusesWhatIsNoEvent() {
    CloudEvent whole = Event.of("t").toProto("/x");
    List<UnaryOperator<CloudEvent.Builder>> changes =
        List.of(
            CloudEvent.Builder::clearId,
            CloudEvent.Builder::clearSource,
            CloudEvent.Builder::clearType,
            event -> event.setSpecVersion("0.3"),
            event -> event.setProtoData(com.google.protobuf.Any.getDefaultInstance()),
            event -> event.putAttributes("subject", CloudEventAttributeValue.newBuilder().setCeInteger(1).build()));
    for (UnaryOperator<CloudEvent.Builder> change : changes)
      assertEquals("INVALID_EVENT", reason(() -> Event.fromProto(change.apply(whole.toBuilder()).build())));
  }

  @Test
  void outputThatIsNoEventIsTheFunctionsMistake() {
    assertEquals("BAD_OUTPUT", reason(() -> Event.of("").toProto("/x")));
    assertEquals("BAD_OUTPUT", reason(() -> Event.of("t").withExtension("Not-A-Name", 1).toProto("/x")));
    assertEquals("BAD_OUTPUT", reason(() -> Event.of("t").withExtension("big", 5L).toProto("/x")));
    assertEquals("BAD_OUTPUT", reason(() -> Event.of("t").withExtension("subject", "s")));
    assertEquals("BAD_OUTPUT", reason(() -> Event.of("t", Double.NaN)));
  }
}
