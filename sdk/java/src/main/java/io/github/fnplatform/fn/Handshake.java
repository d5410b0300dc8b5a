package io.github.fnplatform.fn;

import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFileAttributeView;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.SecureRandom;
import java.util.HexFormat;
import java.util.Map;

/** The first words with the host: its cookie, its variables, our line. docs/plugin-protocol.md#handshake */
final class Handshake {
  static final String COOKIE_KEY = "FN_PLUGIN_COOKIE";
  static final String COOKIE_VALUE = "5d6f0a3b9c1e47d28f60b7a4c3e9128d0fb65a7e4c1938d2a06be57f93c4d1e8";

  private static final int CORE_VERSION = 1;
  /** The one that this SDK knows, so it answers with it whatever is in PLUGIN_PROTOCOL_VERSIONS: to refuse is the host's part. */
  private static final int VERSION = 1;
  private static final int MAX_SOCKET_PATH_BYTES = 103;

  private final Map<String, String> given;

  Handshake(Map<String, String> given) {
    this.given = given;
  }

  /** Whether a host of ours started this program. */
  boolean isFromHost() {
    return variable(COOKIE_KEY).equals(COOKIE_VALUE);
  }

  /** The host's certificate as PEM; empty where the connection is not encrypted. */
  String clientCertificate() {
    return variable("PLUGIN_CLIENT_CERT");
  }

  /** The line that says where we listen. The seventh field is only for hosts that ask for it, and says no. */
  String line(String network, String address, String certificate) {
    String line = String.join("|", "" + CORE_VERSION, "" + VERSION, network, address, "grpc", certificate);
    return variable("PLUGIN_MULTIPLEX_GRPC").isEmpty() ? line + "\n" : line + "|false\n";
  }

  /** A path for our socket, short enough for the kernel. */
  Path socketPath() throws IOException {
    byte[] random = new byte[6];
    new SecureRandom().nextBytes(random);
    String name = "plugin" + HexFormat.of().formatHex(random);
    for (String folder : new String[] {variable("PLUGIN_UNIX_SOCKET_DIR"), variable("TMPDIR"), "/tmp"}) {
      if (folder.isEmpty()) continue;
      Path path = Path.of(folder, name);
      if (path.toString().getBytes(StandardCharsets.UTF_8).length <= MAX_SOCKET_PATH_BYTES) return path;
    }
    throw new IOException("the path of a socket would be too long");
  }

  /** Lets the host's group connect, if it named one. */
  void openToGroup(Path socket) throws IOException {
    String group = variable("PLUGIN_UNIX_SOCKET_GROUP");
    if (group.isEmpty()) return;
    PosixFileAttributeView view = Files.getFileAttributeView(socket, PosixFileAttributeView.class);
    view.setGroup(socket.getFileSystem().getUserPrincipalLookupService().lookupPrincipalByGroupName(group));
    view.setPermissions(PosixFilePermissions.fromString("rw-rw----"));
  }

  /** The first free port of the host's range, 0 for any; for systems without unix sockets. */
  int freePort() throws IOException {
    int first = port("PLUGIN_MIN_PORT");
    int last = port("PLUGIN_MAX_PORT");
    for (int port = first; port <= last; port++) {
      try (ServerSocket probe = new ServerSocket(port, 1, InetAddress.getLoopbackAddress())) {
        return first == 0 ? 0 : probe.getLocalPort();
      } catch (IOException taken) {
        continue;
      }
    }
    throw new IOException("no port from " + first + " to " + last + " is free");
  }

  private int port(String name) {
    return variable(name).isEmpty() ? 0 : Integer.parseInt(variable(name));
  }

  private String variable(String name) {
    return given.getOrDefault(name, "");
  }
}
