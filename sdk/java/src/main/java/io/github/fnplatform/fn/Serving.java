package io.github.fnplatform.fn;

import io.github.fnplatform.fn.wire.plugin.GrpcStdioProto.StdioData;
import io.grpc.Server;
import io.grpc.ServerServiceDefinition;
import io.grpc.netty.GrpcSslContexts;
import io.grpc.netty.NettyServerBuilder;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.ServerChannel;
import io.netty.channel.nio.NioIoHandler;
import io.netty.channel.socket.nio.NioServerDomainSocketChannel;
import io.netty.channel.socket.nio.NioServerSocketChannel;
import io.netty.handler.ssl.ClientAuth;
import io.netty.handler.ssl.SslContext;
import io.netty.handler.ssl.SslContextBuilder;
import io.netty.handler.ssl.SslProvider;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.net.UnixDomainSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import sun.misc.Signal;
import sun.misc.SignalHandler;

/**
 * Serves a function to the host that started this process: handshake, calls, end. docs/plugin-protocol.md
 *
 * <p>TLS is the JDK's and sockets are its own, so nothing native is unpacked, and certificates of every curve are taken, those of hosts in Go
 * included.
 */
final class Serving {
  /** For a host that did not ask the function to end, and is about to kill us. */
  private static final Duration LAST_GRACE = Duration.ofMillis(800);

  private static final String NOT_A_COMMAND =
      """
      This program is a plugin of fn: it is started by a host, not by hand.
      Deploy it with `fn deploy`, or try it with `fn dev`.
      """;

  private final Fn function;
  private final Handshake handshake = new Handshake(System.getenv());
  private final FileOutputStream stdout = new FileOutputStream(FileDescriptor.out);
  private final FileOutputStream stderr = new FileOutputStream(FileDescriptor.err);
  private final Loop loop = new Loop();
  private final CompletableFuture<Void> ending = new CompletableFuture<>();
  private Path socket;
  private String certificateField = "";

  private Serving(Fn function) {
    this.function = function;
  }

  /** Serves until the host ends the process; never returns. */
  static void run(Fn function) {
    Serving serving = new Serving(function);
    try {
      serving.serve();
      System.exit(0);
    } catch (Throwable thrown) {
      serving.die(thrown);
    }
  }

  private void serve() throws Exception {
    if (!handshake.isFromHost()) {
      stderr.write(NOT_A_COMMAND.getBytes(StandardCharsets.UTF_8));
      System.exit(1);
    }
    // A thread that died of its exception would leave half a function.
    if (Thread.getDefaultUncaughtExceptionHandler() == null) Thread.setDefaultUncaughtExceptionHandler((thread, thrown) -> die(thrown));
    Log log = new Log(new ProcessLog(function.name(), stderr));
    JavaLogging.take(log);
    Stdio stdio = new Stdio(loop);
    FunctionService functions = new FunctionService(function, loop, log);
    // Ctrl-C reaches the host as well, which then ends us.
    Signal.handle(new Signal("INT"), SignalHandler.SIG_IGN);
    Signal.handle(new Signal("TERM"), signal -> ending.complete(null));

    Server server = listen(functions.definition(), stdio);
    followHost();
    System.setOut(stdio.printStream(StdioData.Channel.STDOUT));
    System.setErr(stdio.printStream(StdioData.Channel.STDERR));

    ending.join();
    finish(functions, log);
    CompletableFuture<Void> told = new CompletableFuture<>();
    loop.execute(
        () -> {
          stdio.end();
          told.complete(null);
        });
    told.join();
    server.shutdown();
    if (!server.awaitTermination(LAST_GRACE.toMillis() / 4, TimeUnit.MILLISECONDS)) server.shutdownNow();
    removeSocket();
  }

  /** Listens, and says so on stdout, where nothing was printed before. */
  private Server listen(ServerServiceDefinition functions, Stdio stdio) throws IOException, GeneralSecurityException {
    boolean hasUnixSockets = !System.getProperty("os.name").startsWith("Windows");
    socket = hasUnixSockets ? handshake.socketPath() : null;
    SocketAddress address =
        hasUnixSockets ? UnixDomainSocketAddress.of(socket) : new InetSocketAddress(InetAddress.getLoopbackAddress(), handshake.freePort());
    Class<? extends ServerChannel> channel = hasUnixSockets ? NioServerDomainSocketChannel.class : NioServerSocketChannel.class;
    EventLoopGroup group = new MultiThreadIoEventLoopGroup(1, NioIoHandler.newFactory());
    NettyServerBuilder builder =
        NettyServerBuilder.forAddress(address)
            .channelType(channel)
            .bossEventLoopGroup(group)
            .workerEventLoopGroup(group)
            .executor(loop::execute)
            .maxInboundMessageSize(FunctionService.MAX_MESSAGE_BYTES)
            .addService(functions);
    for (ServerServiceDefinition service : PluginServices.all(stdio, () -> ending.complete(null))) builder.addService(service);
    if (!handshake.clientCertificate().isEmpty()) builder.sslContext(tls());
    Server server = builder.build().start();
    if (hasUnixSockets) handshake.openToGroup(socket);
    String line =
        hasUnixSockets
            ? handshake.line("unix", socket.toString(), certificateField)
            : handshake.line("tcp", "127.0.0.1:" + server.getPort(), certificateField);
    stdout.write(line.getBytes(StandardCharsets.UTF_8));
    stdout.flush();
    return server;
  }

  private SslContext tls() throws IOException, GeneralSecurityException {
    Certificate own = Certificate.make();
    certificateField = own.field();
    SslContextBuilder builder =
        SslContextBuilder.forServer(own.key(), own.certificate())
            .trustManager(Certificate.parse(handshake.clientCertificate().getBytes(StandardCharsets.US_ASCII)))
            .clientAuth(ClientAuth.REQUIRE);
    return GrpcSslContexts.configure(builder, SslProvider.JDK).build();
  }

  /** Ends the process when its host is gone, whatever the function is doing. */
  private void followHost() {
    Optional<ProcessHandle> host = ProcessHandle.current().parent();
    Runnable watch =
        () -> {
          if (ProcessHandle.current().parent().equals(host)) return;
          removeSocket();
          Runtime.getRuntime().halt(1);
        };
    Thread thread =
        new Thread(
            () -> {
              while (true) {
                watch.run();
                try {
                  Thread.sleep(1_000);
                } catch (InterruptedException nobody) {
                  return;
                }
              }
            },
            "fn-host-watch");
    thread.setDaemon(true);
    thread.start();
  }

  private void finish(FunctionService functions, Log log) {
    CompletableFuture<Integer> over = new CompletableFuture<>();
    loop.execute(
        () ->
            functions
                .end(LAST_GRACE)
                .whenComplete(
                    (abandoned, thrown) -> {
                      if (thrown == null) over.complete(abandoned);
                      else over.completeExceptionally(thrown);
                    }));
    try {
      int abandoned = over.join();
      if (abandoned > 0) log.warn("executions were still running at the end", "abandoned", abandoned);
    } catch (RuntimeException failed) {
      log.error("shutdown failed", "stack", Stacks.text(failed.getCause() == null ? failed : failed.getCause()));
    }
  }

  /** Ends the process with what nobody caught, on the real stderr, which the host shows of a process that ended. */
  private void die(Throwable thrown) {
    try {
      stderr.write(Stacks.text(thrown).getBytes(StandardCharsets.UTF_8));
      stderr.flush();
    } catch (IOException gone) {
      // There is nobody to tell.
    } finally {
      removeSocket();
      Runtime.getRuntime().halt(1);
    }
  }

  private void removeSocket() {
    if (socket == null) return;
    try {
      Files.deleteIfExists(socket);
    } catch (IOException left) {
      // The host removes what is left.
    }
  }
}
