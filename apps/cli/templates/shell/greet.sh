#!/bin/sh
# Reads one event as a line of JSON, writes events as lines of JSON. The event's attributes are $CE_ID, $CE_TYPE, …
set -eu

# The name as it stands in the JSON, escapes and all, so that it can go into JSON again. With jq: jq -r '.data.name // "world"'
name=$(sed -nE 's/.*"data":.*"name" *: *"(([^"\\]|\\.)*)".*/\1/p')

echo "greeting ${name:-nobody in particular}" >&2
printf '{"type":"com.example.greeted","data":{"text":"%s, %s!"}}\n' "$GREETING" "${name:-world}"
