package com.example;

/** The data of the event that goes out. */
record Greeting(String text) {
  static Greeting of(String greeting, String name) {
    return new Greeting("%s, %s!".formatted(greeting, name == null || name.isEmpty() ? "world" : name));
  }
}
