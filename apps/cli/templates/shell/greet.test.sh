#!/bin/sh
# The function without a server: an event in, what it wrote compared. Run it with: sh greet.test.sh
set -eu
cd "$(dirname "$0")"

expect() {
  got=$(echo "$1" | GREETING=Hello sh greet.sh 2>/dev/null)
  [ "$got" = "$2" ] || { echo "for $1 got $got instead of $2" >&2; exit 1; }
}

expect '{"type":"t","data":{"name":"Ada"}}' '{"type":"com.example.greeted","data":{"text":"Hello, Ada!"}}'
expect '{"type":"t","data":{"name":"\"A\""}}' '{"type":"com.example.greeted","data":{"text":"Hello, \"A\"!"}}'
expect '{"type":"t"}' '{"type":"com.example.greeted","data":{"text":"Hello, world!"}}'
echo ok
