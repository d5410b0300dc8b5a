# frozen_string_literal: true

require "time"

# What a release or a milestone means for a calendar.
Entry = Struct.new(:uid, :date, :title, :url, :description, :cancelled, :alarm_days, :stamp, keyword_init: true) do
  # The entry for an event of GitHub's; nil when there is nothing to put into a calendar.
  def self.from(event, config)
    payload = event["data"]
    raise Entry::Invalid, "the event has no payload" unless payload.is_a?(Hash)

    about = payload["release"] ? release(payload) : milestone(payload)
    about && new(alarm_days: config["alarmDays"], stamp: stamp(event), **about)
  end

  # A release is on the day it was published. Drafts are nobody's business yet.
  def self.release(payload)
    release, repository = fetch(payload, "release"), fetch(payload, "repository")
    return if release["draft"] || release["published_at"].nil?

    name = [release["name"], release["tag_name"]].find { |text| text && !text.empty? }
    {
      uid: "release-#{fetch(release, "id")}@github.com", date: day(release["published_at"]),
      title: "#{fetch(repository, "full_name")} #{name}#{" (pre-release)" if release["prerelease"]}",
      url: release["html_url"], description: release["body"], cancelled: payload["action"] == "deleted"
    }
  end

  # A milestone is on the day it is due; one without is no date.
  def self.milestone(payload)
    milestone, repository = fetch(payload, "milestone"), fetch(payload, "repository")
    return if milestone["due_on"].nil?

    done, open = milestone.values_at("closed_issues", "open_issues").map(&:to_i)
    {
      uid: "milestone-#{fetch(milestone, "id")}@github.com", date: day(milestone["due_on"]),
      title: "#{fetch(repository, "full_name")}: #{fetch(milestone, "title")} is due (#{done} of #{done + open} done)",
      url: milestone["html_url"], description: milestone["description"], cancelled: payload["action"] == "deleted"
    }
  end

  def self.fetch(hash, key)
    hash[key] || raise(Entry::Invalid, "the payload has no #{key}")
  end

  def self.day(text)
    Time.iso8601(text).utc
  rescue ArgumentError
    raise Entry::Invalid, "#{text.inspect} is no time"
  end

  # The event's own time, so that the same event gives the same entry.
  def self.stamp(event)
    event["time"] ? day(event["time"]) : Time.at(0).utc
  end

  private_class_method :release, :milestone, :fetch, :day, :stamp
end

# An event that no entry can be made of.
class Entry::Invalid < StandardError; end
