package io.github.fnplatform.fn;

/** The function as it was deployed, and the process that runs it. */
public record FunctionIdentity(String namespace, String name, String version, String instance) {}
