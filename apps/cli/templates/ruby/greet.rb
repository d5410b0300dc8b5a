#!/usr/bin/env ruby
# frozen_string_literal: true

# Reads one event from stdin, writes events to stdout.
require "json"

def greet(event, config)
  data = event["data"]
  name = data.is_a?(Hash) && data["name"] || "world"
  { type: "com.example.greeted", data: { text: "#{config["greeting"]}, #{name}!" } }
end

if $PROGRAM_NAME == __FILE__
  event = JSON.parse($stdin.read)
  warn "greeting, for #{event["source"]}"
  puts JSON.generate(greet(event, JSON.parse(ENV.fetch("FN_CONFIG", "{}"))))
end
