package main

import (
	"encoding/json"
	"strings"
	"testing"
)

func judge(t *testing.T, filter Filter, eventType, body string) (Signal, string) {
	t.Helper()
	var payload Payload
	if err := json.Unmarshal([]byte(body), &payload); err != nil {
		t.Fatal(err)
	}
	return filter.Judge(eventType, payload)
}

func TestJudge(t *testing.T) {
	person := `"sender":{"login":"ada","type":"User"},"repository":{"full_name":"o/r","default_branch":"main"}`
	for name, test := range map[string]struct {
		eventType, body string
		reason, dropped string
	}{
		"a new issue":          {"com.github.issues.opened", `{"issue":{"title":"Broken"},` + person + `}`, "reported", ""},
		"a label":              {"com.github.issues.labeled", `{"issue":{"title":"Broken"},` + person + `}`, "", "nobody has to act"},
		"an unknown event":     {"com.github.wormhole.opened", `{` + person + `}`, "", "nobody has to act"},
		"an empty payload":     {"com.github.issues.opened", `{}`, "", "nothing to show"},
		"a draft":              {"com.github.pull_request.opened", `{"pull_request":{"draft":true},` + person + `}`, "", "draft"},
		"a change":             {"com.github.pull_request.opened", `{"pull_request":{"title":"Mend"},` + person + `}`, "waits for review", ""},
		"merged":               {"com.github.pull_request.closed", `{"pull_request":{"merged":true},` + person + `}`, "merged", ""},
		"not merged":           {"com.github.pull_request.closed", `{"pull_request":{"merged":false},` + person + `}`, "turned down", ""},
		"an approval":          {"com.github.pull_request_review.submitted", `{"review":{"state":"approved"},` + person + `}`, "approved", ""},
		"an empty review":      {"com.github.pull_request_review.submitted", `{"review":{"state":"commented"},` + person + `}`, "", "says nothing"},
		"a push":               {"com.github.push", `{"ref":"refs/heads/main","commits":[{}],` + person + `}`, "1 new on main", ""},
		"a push elsewhere":     {"com.github.push", `{"ref":"refs/heads/topic","commits":[{}],` + person + `}`, "", "somebody's branch"},
		"a forced push":        {"com.github.push", `{"ref":"refs/heads/topic","forced":true,"commits":[{}],` + person + `}`, "rewritten", ""},
		"a deleted branch":     {"com.github.push", `{"ref":"refs/heads/main","deleted":true,` + person + `}`, "", "no commits"},
		"a tag":                {"com.github.push", `{"ref":"refs/tags/v1","commits":[{}],` + person + `}`, "", "no commits"},
		"a failed check":       {"com.github.check_run.completed", `{"check_run":{"conclusion":"failure"},` + person + `}`, "failure", ""},
		"a passed check":       {"com.github.check_run.completed", `{"check_run":{"conclusion":"success"},` + person + `}`, "", "went well"},
		"a failed deployment":  {"com.github.deployment_status.created", `{"deployment_status":{"state":"error"},` + person + `}`, "error", ""},
		"a failed status":      {"com.github.status", `{"state":"failure",` + person + `}`, "failure", ""},
		"a nameless release":   {"com.github.release.published", `{"release":{"tag_name":"v1"},` + person + `}`, "release", ""},
		"a comment on nothing": {"com.github.issue_comment.created", `{` + person + `}`, "", "no comment"},
		"a bot":                {"com.github.issues.opened", `{"issue":{},"sender":{"login":"x","type":"Bot"}}`, "", "a bot"},
		"an app":               {"com.github.issues.opened", `{"issue":{},"sender":{"login":"x[bot]","type":"User"}}`, "", "a bot"},
	} {
		signal, dropped := judge(t, Filter{}, test.eventType, test.body)
		if !strings.Contains(signal.Reason, test.reason) || !strings.Contains(dropped, test.dropped) {
			t.Errorf("%s: got %+v, dropped %q", name, signal, dropped)
		}
		if (signal.Reason == "") != (dropped != "") {
			t.Errorf("%s: neither or both: %+v, dropped %q", name, signal, dropped)
		}
	}
}

func TestConfiguration(t *testing.T) {
	const body = `{"issue":{},"sender":{"login":"renovate[bot]","type":"Bot"}}`
	if signal, _ := judge(t, Filter{KeepBots: true}, "com.github.issues.opened", body); signal.By != "renovate[bot]" {
		t.Errorf("keepBots: %+v", signal)
	}
	if _, dropped := judge(t, Filter{KeepBots: true, Mute: []string{"renovate[bot]"}}, "com.github.issues.opened", body); dropped == "" {
		t.Error("a muted login came through")
	}
}
