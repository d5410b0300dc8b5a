# frozen_string_literal: true

# iCalendar (RFC 5545), as much of it as an all-day entry needs.
module ICalendar
  LINE_BYTES = 75

  module_function

  # A calendar with one entry.
  def calendar(entry)
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//fn//release-calendar//EN", *event(entry), "END:VCALENDAR"]
    lines.map { |line| "#{fold(line)}\r\n" }.join
  end

  def event(entry)
    [
      "BEGIN:VEVENT", "UID:#{entry.uid}", "DTSTAMP:#{entry.stamp.strftime("%Y%m%dT%H%M%SZ")}",
      "DTSTART;VALUE=DATE:#{entry.date.strftime("%Y%m%d")}", "SUMMARY:#{text(entry.title)}",
      *("URL:#{entry.url}" if entry.url), *("DESCRIPTION:#{text(entry.description)}" if present?(entry.description)),
      "STATUS:#{entry.cancelled ? "CANCELLED" : "CONFIRMED"}", *alarm(entry), "END:VEVENT"
    ]
  end

  def alarm(entry)
    return [] if entry.cancelled || entry.alarm_days.nil?

    ["BEGIN:VALARM", "ACTION:DISPLAY", "DESCRIPTION:#{text(entry.title)}", "TRIGGER:-P#{Integer(entry.alarm_days)}D", "END:VALARM"]
  end

  # Text with what has a meaning escaped.
  def text(value)
    value.gsub(/[\\;,]/) { |char| "\\#{char}" }.gsub(/\r\n|\r|\n/, "\\n")
  end

  # Lines of 75 bytes at most, never cut inside a character; what follows is indented.
  def fold(line)
    pieces = [+""]
    line.each_char do |char|
      limit = pieces.size == 1 ? LINE_BYTES : LINE_BYTES - 1
      pieces << +"" if pieces.last.bytesize + char.bytesize > limit
      pieces.last << char
    end
    pieces.join("\r\n ")
  end

  def present?(value)
    value && !value.strip.empty?
  end
end
