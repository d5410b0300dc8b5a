# frozen_string_literal: true

require_relative "greet"

{ { "name" => "Ada" } => "Hello, Ada!", {} => "Hello, world!", nil => "Hello, world!" }.each do |data, text|
  got = greet({ "data" => data }, { "greeting" => "Hello" })
  abort "for #{data.inspect} got #{got.inspect}" unless got == { type: "com.example.greeted", data: { text: text } }
end
puts "ok"
