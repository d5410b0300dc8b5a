package io.github.fnplatform.fn;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonParseException;
import com.google.gson.Strictness;
import com.google.gson.ToNumberPolicy;
import java.lang.reflect.Type;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;

/** JSON, strictly: what is none is refused. Records, classes, maps, lists and plain values. */
final class Json {
  private static final Gson GSON =
      new GsonBuilder()
          .setStrictness(Strictness.STRICT)
          .setObjectToNumberStrategy(ToNumberPolicy.LONG_OR_DOUBLE)
          .serializeNulls()
          .disableHtmlEscaping()
          .create();

  private Json() {}

  /** @throws JsonParseException for what is no JSON, or another value than {@code type} */
  static <T> T read(byte[] json, Type type) throws CharacterCodingException {
    String text = StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(json)).toString();
    if (text.isBlank()) throw new JsonParseException("there is no JSON value");
    return GSON.fromJson(text, type);
  }

  /** Plain values as one of {@code type}. */
  static <T> T convert(Object plain, Type type) {
    return GSON.fromJson(GSON.toJsonTree(plain), type);
  }

  /** @throws JsonParseException, IllegalArgumentException for what JSON cannot say */
  static String write(Object value) {
    return GSON.toJson(value);
  }
}
