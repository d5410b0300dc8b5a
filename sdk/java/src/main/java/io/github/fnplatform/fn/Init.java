package io.github.fnplatform.fn;

import com.google.gson.JsonParseException;
import java.util.Map;

/** What setup gets. {@code config} is that of fn.yaml: maps, lists, texts, longs, doubles and booleans. */
public record Init(FunctionIdentity function, Map<String, Object> config, Map<String, String> secrets, Log log) {
  /**
   * The configuration as a record or class.
   *
   * @throws FnException INVALID_CONFIG
   */
  public <T> T config(Class<T> type) {
    try {
      return Json.convert(config, type);
    } catch (JsonParseException | IllegalArgumentException thrown) {
      throw FnException.invalidConfig("", thrown.getMessage());
    }
  }
}
