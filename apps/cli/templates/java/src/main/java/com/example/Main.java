package com.example;

import io.github.fnplatform.fn.Context;
import io.github.fnplatform.fn.Event;
import io.github.fnplatform.fn.Fn;

/** An event comes in, a greeting goes out. What goes into an Event and a Context: the README of the SDK. */
public final class Main {
  /** What callers send as the event's data. */
  record Visitor(String name) {}

  /** What fn.yaml says under config. */
  record Config(String greeting) {}

  public static void main(String[] args) {
    Fn.named("__NAME__").version("0.1.0").emits("com.example.greeted").serve(Main::handle);
  }

  static Event handle(Event event, Context context) {
    Visitor visitor = event.data(Visitor.class);
    String name = visitor == null ? null : visitor.name();
    context.log().info("greeting", "name", name);
    return Event.of("com.example.greeted", Greeting.of(context.config(Config.class).greeting(), name));
  }
}
