package io.github.fnplatform.fn;

import com.google.protobuf.ListValue;
import com.google.protobuf.NullValue;
import com.google.protobuf.Struct;
import com.google.protobuf.Timestamp;
import com.google.protobuf.Value;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Plain values as messages of google.protobuf, and back. */
final class Wire {
  private static final double LARGEST_EXACT = 1L << 53;
  /** A century: more does not fit into a timer. */
  private static final long LONGEST_S = 100L * 365 * 24 * 60 * 60;

  private Wire() {}

  static com.google.protobuf.Duration toProto(Duration duration) {
    return com.google.protobuf.Duration.newBuilder().setSeconds(duration.getSeconds()).setNanos(duration.getNano()).build();
  }

  static Duration toDuration(com.google.protobuf.Duration duration) {
    return Duration.ofSeconds(Math.min(duration.getSeconds(), LONGEST_S), duration.getNanos());
  }

  static Timestamp toProto(Instant instant) {
    return Timestamp.newBuilder().setSeconds(instant.getEpochSecond()).setNanos(instant.getNano()).build();
  }

  /** What JSON cannot say goes in as text. */
  static Struct toStruct(Map<?, ?> fields) {
    Struct.Builder struct = Struct.newBuilder();
    fields.forEach((name, value) -> struct.putFields(String.valueOf(name), toValue(value)));
    return struct.build();
  }

  private static Value toValue(Object value) {
    Value.Builder sent = Value.newBuilder();
    if (value == null) return sent.setNullValue(NullValue.NULL_VALUE).build();
    if (value instanceof Boolean flag) return sent.setBoolValue(flag).build();
    if (value instanceof Number number && Double.isFinite(number.doubleValue())) return sent.setNumberValue(number.doubleValue()).build();
    if (value instanceof Map<?, ?> map) return sent.setStructValue(toStruct(map)).build();
    if (value instanceof Iterable<?> items) {
      ListValue.Builder list = ListValue.newBuilder();
      for (Object item : items) list.addValues(toValue(item));
      return sent.setListValue(list).build();
    }
    return sent.setStringValue(String.valueOf(value)).build();
  }

  /** Whole numbers are longs. */
  static Map<String, Object> toMap(Struct struct) {
    Map<String, Object> map = new LinkedHashMap<>();
    struct.getFieldsMap().forEach((name, value) -> map.put(name, toPlain(value)));
    return map;
  }

  private static Object toPlain(Value value) {
    return switch (value.getKindCase()) {
      case NULL_VALUE, KIND_NOT_SET -> null;
      case BOOL_VALUE -> value.getBoolValue();
      case STRING_VALUE -> value.getStringValue();
      case NUMBER_VALUE -> toNumber(value.getNumberValue());
      case STRUCT_VALUE -> toMap(value.getStructValue());
      case LIST_VALUE -> {
        List<Object> list = new ArrayList<>();
        for (Value item : value.getListValue().getValuesList()) list.add(toPlain(item));
        yield list;
      }
    };
  }

  private static Number toNumber(double number) {
    boolean isWhole = number == Math.rint(number) && Math.abs(number) < LARGEST_EXACT;
    // No conditional expression: it would make a double of the long.
    if (isWhole) return (long) number;
    return number;
  }
}
