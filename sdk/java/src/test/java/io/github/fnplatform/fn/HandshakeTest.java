package io.github.fnplatform.fn;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.Test;

class HandshakeTest {
  @Test
  void knowsItsHostByTheCookie() {
    assertTrue(new Handshake(Map.of(Handshake.COOKIE_KEY, Handshake.COOKIE_VALUE)).isFromHost());
    assertFalse(new Handshake(Map.of(Handshake.COOKIE_KEY, "another")).isFromHost());
    assertFalse(new Handshake(Map.of()).isFromHost());
  }

  @Test
  void printsSixFieldsAndASeventhOnlyWhenAsked() {
    assertEquals("1|1|unix|/tmp/p|grpc|\n", new Handshake(Map.of()).line("unix", "/tmp/p", ""));
    assertEquals("1|1|tcp|127.0.0.1:1|grpc|MII|false\n", new Handshake(Map.of("PLUGIN_MULTIPLEX_GRPC", "true")).line("tcp", "127.0.0.1:1", "MII"));
  }

  @Test
  void makesItsSocketWhereTheHostSaysUnlessThePathIsTooLong() throws Exception {
    assertEquals(Path.of("/run/fn"), new Handshake(Map.of("PLUGIN_UNIX_SOCKET_DIR", "/run/fn", "TMPDIR", "/var/tmp")).socketPath().getParent());
    assertEquals(Path.of("/var/tmp"), new Handshake(Map.of("TMPDIR", "/var/tmp")).socketPath().getParent());
    assertEquals(Path.of("/tmp"), new Handshake(Map.of("PLUGIN_UNIX_SOCKET_DIR", "/" + "x".repeat(100))).socketPath().getParent());
  }

  @Test
  void takesTheFirstFreePortOfTheRange() throws Exception {
    assertEquals(0, new Handshake(Map.of()).freePort());
    try (ServerSocket taken = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
      int port = taken.getLocalPort();
      Map<String, String> range = Map.of("PLUGIN_MIN_PORT", "" + port, "PLUGIN_MAX_PORT", "" + Math.min(port + 50, 65_535));
      int found = new Handshake(range).freePort();
      assertTrue(found > port && found <= port + 50, "port " + found);
    }
  }
}
