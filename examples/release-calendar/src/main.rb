# frozen_string_literal: true

# One event on stdin, calendar entries on stdout.
require "json"
require_relative "lib/entry"
require_relative "lib/icalendar"

EX_DATAERR = 65 # the event is wrong, and no retry will mend it

begin
  event = JSON.parse($stdin.read)
  entry = Entry.from(event, JSON.parse(ENV.fetch("FN_CONFIG", "{}")))
rescue Entry::Invalid, JSON::ParserError => e
  warn e.message
  exit EX_DATAERR
end

if entry
  puts JSON.generate(
    type: "com.example.calendar.entry",
    subject: entry.uid,
    datacontenttype: "text/calendar",
    data: ICalendar.calendar(entry)
  )
end
