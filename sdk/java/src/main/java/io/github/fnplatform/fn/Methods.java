package io.github.fnplatform.fn;

import com.google.protobuf.MessageLite;
import io.grpc.MethodDescriptor;
import io.grpc.MethodDescriptor.MethodType;
import io.grpc.protobuf.lite.ProtoLiteUtils;

/** gRPC methods by name, from the default instances of their messages. */
final class Methods {
  private final String service;

  Methods(String service) {
    this.service = service;
  }

  <Request extends MessageLite, Response extends MessageLite> MethodDescriptor<Request, Response> unary(
      String name, Request request, Response response) {
    return method(MethodType.UNARY, name, request, response);
  }

  <Request extends MessageLite, Response extends MessageLite> MethodDescriptor<Request, Response> serverStream(
      String name, Request request, Response response) {
    return method(MethodType.SERVER_STREAMING, name, request, response);
  }

  <Request extends MessageLite, Response extends MessageLite> MethodDescriptor<Request, Response> bothStreams(
      String name, Request request, Response response) {
    return method(MethodType.BIDI_STREAMING, name, request, response);
  }

  private <Request extends MessageLite, Response extends MessageLite> MethodDescriptor<Request, Response> method(
      MethodType type, String name, Request request, Response response) {
    return MethodDescriptor.<Request, Response>newBuilder()
        .setType(type)
        .setFullMethodName(MethodDescriptor.generateFullMethodName(service, name))
        .setRequestMarshaller(ProtoLiteUtils.marshaller(request))
        .setResponseMarshaller(ProtoLiteUtils.marshaller(response))
        .build();
  }
}
