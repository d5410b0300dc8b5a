package io.github.fnplatform.fn;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import com.google.protobuf.Struct;
import io.github.fnplatform.fn.wire.fn.plugin.v1.FunctionProto;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class FnExceptionTest {
  private static Map<String, Object> detail(FunctionProto.Status status) throws Exception {
    return Wire.toMap(Struct.parseFrom(status.getDetails(0).getValue()));
  }

  @Test
  void travelsWhole() throws Exception {
    FunctionProto.Status status = FnException.terminal("CARD_DECLINED", "no money", Map.of("order", 7, "tags", List.of("a", true))).toStatus();
    assertEquals(9, status.getCode());
    assertEquals("no money", status.getMessage());
    Map<String, Object> details = Map.of("order", 7L, "tags", List.of("a", true));
    assertEquals(Map.of("retryable", false, "reason", "CARD_DECLINED", "details", details), detail(status));
  }

  @Test
  void saysWhenToTryAgain() throws Exception {
    FunctionProto.Status status = FnException.retryAfter(Duration.ofMillis(1_500), "busy").toStatus();
    assertEquals(Duration.ofMillis(1_500), Wire.toDuration(status.getRetryAfter()));
    assertEquals(Map.of("retryable", true, "reason", "RETRY_AFTER", "retryAfterMs", 1_500L), detail(status));
  }

  @Test
  void whatTheAuthorLeavesOutIsNoMistakeOfOurs() throws Exception {
    assertEquals("X", new FnException(Code.UNKNOWN, "X", null, null).toStatus().getMessage());
    assertEquals(Map.of("retryable", false), detail(new FnException(Code.UNKNOWN, null, "text").toStatus()));
    assertEquals("IllegalStateException", FnException.of(new IllegalStateException()).getMessage());
  }

  @Test
  void detailsThatCannotBeReadFailWhereTheyAreGiven() {
    Object unreadable =
        new Object() {
          @Override
          public String toString() {
            throw new IllegalStateException("unreadable");
          }
        };
    assertThrows(IllegalStateException.class, () -> FnException.terminal("X", "x", Map.of("it", unreadable)));
  }
}
