package com.example;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;

class GreetingTest {
  @Test
  void greetsByName() {
    assertEquals("Hello, Ada!", Greeting.of("Hello", "Ada").text());
  }

  @Test
  void greetsEverybodyWithoutOne() {
    assertEquals("Hello, world!", Greeting.of("Hello", null).text());
  }
}
