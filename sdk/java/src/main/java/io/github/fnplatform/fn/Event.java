package io.github.fnplatform.fn;

import com.google.gson.JsonParseException;
import com.google.protobuf.ByteString;
import io.github.fnplatform.fn.wire.io.cloudevents.v1.CloudeventsProto.CloudEvent;
import io.github.fnplatform.fn.wire.io.cloudevents.v1.CloudeventsProto.CloudEvent.CloudEventAttributeValue;
import java.lang.reflect.Type;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.Base64;
import java.util.Collections;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.UUID;
import java.util.regex.Pattern;

/**
 * One CloudEvent. Immutable: {@code with…} gives another one. Attributes that are absent are empty; of an event to send, {@code id},
 * {@code source} and {@code time} are filled in where they are.
 *
 * @see <a href="https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md">CloudEvents 1.0.2</a>
 */
public final class Event {
  private static final String SPEC_VERSION = "1.0";
  private static final String JSON = "application/json";
  private static final Set<String> TEXTS = Set.of("subject", "time", "datacontenttype", "dataschema");
  private static final Set<String> OWN = Set.of("id", "source", "type", "specversion", "data");
  private static final Pattern EXTENSION_NAME = Pattern.compile("[a-z0-9]+");
  private static final Pattern JSON_TYPE = Pattern.compile("[^;]*[/+]json\\s*(;.*)?", Pattern.CASE_INSENSITIVE | Pattern.DOTALL);

  private final String type;
  private final byte[] bytes;
  /** All attributes but id, source, type and specversion: String, Boolean or Integer. */
  private final Map<String, Object> attributes;
  private final String id;
  private final String source;

  private Event(String type, String id, String source, Map<String, Object> attributes, byte[] bytes) {
    this.type = type;
    this.id = id;
    this.source = source;
    this.attributes = attributes;
    this.bytes = bytes;
  }

  /** An event without data. */
  public static Event of(String type) {
    return new Event(type == null ? "" : type, "", "", Collections.emptyMap(), null);
  }

  /** An event whose data is {@code data} as JSON, or as it is if that is a byte array. */
  public static Event of(String type, Object data) {
    if (data instanceof byte[] raw) return of(type).withBytes(raw, "application/octet-stream");
    try {
      return of(type).withBytes(Json.write(data).getBytes(StandardCharsets.UTF_8), JSON);
    } catch (JsonParseException | IllegalArgumentException | UnsupportedOperationException thrown) {
      throw FnException.badOutput("the data of a " + type + " event is no JSON: " + thrown.getMessage());
    }
  }

  /** An event whose data is text of a content type, such as {@code text/csv}. */
  public static Event ofText(String type, String text, String dataContentType) {
    return of(type).withBytes(text.getBytes(StandardCharsets.UTF_8), dataContentType);
  }

  public String type() {
    return type;
  }

  public String id() {
    return id;
  }

  public String source() {
    return source;
  }

  public String subject() {
    return text("subject");
  }

  /** When it happened, in RFC 3339's form. */
  public String time() {
    return text("time");
  }

  public String dataContentType() {
    return text("datacontenttype");
  }

  public String dataSchema() {
    return text("dataschema");
  }

  /** An extension attribute: a String, a Boolean or an Integer; null if it is absent. */
  public Object extension(String name) {
    return TEXTS.contains(name) ? null : attributes.get(name);
  }

  /** The payload as it was sent; null is absent. */
  public byte[] bytes() {
    return bytes == null ? null : bytes.clone();
  }

  /**
   * The payload as its content type says: of JSON a Map, List, String, Long, Double, Boolean or null; of {@code text/…} a String; else bytes.
   *
   * @throws FnException INVALID_EVENT where it is not what it says it is: the sender's mistake, never repeated
   */
  public Object data() {
    if (bytes == null) return null;
    String contentType = dataContentType();
    if (contentType.isEmpty() || JSON_TYPE.matcher(contentType).matches()) return contentType.isEmpty() && bytes.length == 0 ? null : data(Object.class);
    return contentType.regionMatches(true, 0, "text/", 0, 5) ? new String(bytes, StandardCharsets.UTF_8) : bytes.clone();
  }

  /**
   * The payload, which is JSON, as a record or class; null if there is none.
   *
   * @throws FnException INVALID_EVENT
   */
  public <T> T data(Class<T> type) {
    return data((Type) type);
  }

  /** The payload, which is JSON, as one of a generic type. */
  public <T> T data(Type type) {
    if (bytes == null) return null;
    try {
      return Json.read(bytes, type);
    } catch (JsonParseException | CharacterCodingException | IllegalArgumentException thrown) {
      String why = this.type + ", checked by the receiver: data: " + thrown.getMessage();
      throw FnException.invalidEvent(why, Map.of("side", "receiver", "type", this.type, "attribute", "data"));
    }
  }

  public Event withType(String type) {
    return new Event(type, id, source, attributes, bytes);
  }

  public Event withId(String id) {
    return new Event(type, id, source, attributes, bytes);
  }

  public Event withSource(String source) {
    return new Event(type, id, source, attributes, bytes);
  }

  public Event withSubject(String subject) {
    return with("subject", subject);
  }

  public Event withTime(Instant time) {
    return with("time", time.toString());
  }

  public Event withDataSchema(String dataSchema) {
    return with("dataschema", dataSchema);
  }

  /** With an extension attribute: a String, a Boolean or an Integer; null removes it. */
  public Event withExtension(String name, Object value) {
    if (TEXTS.contains(name) || OWN.contains(name)) throw FnException.badOutput("extension " + name + ": it is an attribute of its own");
    return with(name, value);
  }

  /** With this payload. */
  public Event withBytes(byte[] bytes, String dataContentType) {
    Event event = with("datacontenttype", dataContentType);
    return new Event(event.type, event.id, event.source, event.attributes, bytes.clone());
  }

  @Override
  public String toString() {
    return "Event[type=" + type + ", id=" + id + ", source=" + source + "]";
  }

  private Event with(String name, Object value) {
    Map<String, Object> changed = new TreeMap<>(attributes);
    if (value == null || value.equals("")) changed.remove(name);
    else changed.put(name, value);
    return new Event(type, id, source, changed, bytes);
  }

  private String text(String name) {
    return (String) attributes.getOrDefault(name, "");
  }

  /** The event of a call. */
  static Event fromProto(CloudEvent sent) {
    if (sent.getId().isEmpty() || sent.getSource().isEmpty() || sent.getType().isEmpty() || !sent.getSpecVersion().equals(SPEC_VERSION))
      throw FnException.invalidEvent("id, source, type and specversion 1.0 are required", Map.of());
    Map<String, Object> attributes = new TreeMap<>();
    sent.getAttributesMap().forEach((name, value) -> attributes.put(name, plain(value)));
    for (String name : TEXTS)
      if (!(attributes.getOrDefault(name, "") instanceof String)) throw FnException.invalidEvent(name + ": it must be text", Map.of());
    byte[] bytes =
        switch (sent.getDataCase()) {
          case BINARY_DATA -> sent.getBinaryData().toByteArray();
          case TEXT_DATA -> sent.getTextDataBytes().toByteArray();
          case DATA_NOT_SET -> null;
          default -> throw FnException.invalidEvent("proto_data is not supported; send binary_data", Map.of());
        };
    return new Event(sent.getType(), sent.getId(), sent.getSource(), attributes, bytes);
  }

  /** @throws FnException BAD_OUTPUT */
  CloudEvent toProto(String defaultSource) {
    if (type == null || type.isEmpty()) throw FnException.badOutput("an event of it has no type");
    CloudEvent.Builder sent =
        CloudEvent.newBuilder()
            .setId(id == null || id.isEmpty() ? UUID.randomUUID().toString() : id)
            .setSource(source == null || source.isEmpty() ? defaultSource : source)
            .setSpecVersion(SPEC_VERSION)
            .setType(type);
    attributes.forEach((name, value) -> sent.putAttributes(name, attribute(name, value)));
    if (!attributes.containsKey("time"))
      sent.putAttributes("time", attribute("time", Instant.now().truncatedTo(ChronoUnit.MILLIS).toString()));
    if (bytes != null) sent.setBinaryData(ByteString.copyFrom(bytes));
    return sent.build();
  }

  private CloudEventAttributeValue attribute(String name, Object value) {
    String what = "a " + type + " event of it is invalid: extension " + name + ": ";
    if (!EXTENSION_NAME.matcher(name).matches()) throw FnException.badOutput(what + "a name has only lower-case letters and digits");
    CloudEventAttributeValue.Builder sent = CloudEventAttributeValue.newBuilder();
    if (value instanceof String text) return sent.setCeString(text).build();
    if (value instanceof Boolean flag) return sent.setCeBoolean(flag).build();
    if (value instanceof Integer number) return sent.setCeInteger(number).build();
    throw FnException.badOutput(what + "it must be a String, a Boolean or an Integer");
  }

  private static Object plain(CloudEventAttributeValue value) {
    return switch (value.getAttrCase()) {
      case CE_BOOLEAN -> value.getCeBoolean();
      case CE_INTEGER -> value.getCeInteger();
      case CE_STRING -> value.getCeString();
      case CE_URI -> value.getCeUri();
      case CE_URI_REF -> value.getCeUriRef();
      case CE_BYTES -> Base64.getEncoder().encodeToString(value.getCeBytes().toByteArray());
      case CE_TIMESTAMP ->
          Instant.ofEpochSecond(value.getCeTimestamp().getSeconds(), value.getCeTimestamp().getNanos()).toString();
      case ATTR_NOT_SET -> "";
    };
  }
}
