package main

import "testing"

func TestGreet(t *testing.T) {
	for _, test := range []struct{ name, text string }{{"Ada", "Hello, Ada!"}, {"", "Hello, world!"}} {
		if got := greet(Config{Greeting: "Hello"}, Visitor{Name: test.name}); got.Text != test.text {
			t.Errorf("greeting %q: got %q, not %q", test.name, got.Text, test.text)
		}
	}
}
