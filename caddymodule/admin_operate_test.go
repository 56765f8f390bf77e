package caddymodule

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

func TestAdminDestinationsAndSources(t *testing.T) {
	eachStore(t, func(t *testing.T, store string) {
		rig, options, site := startOperated(t, store)
		rig.send("/careful", "evt_1", "invoice.paid", "")
		rig.send("/pay", "evt_2", "invoice.paid", "")
		rig.send("/pay", "evt_2", "invoice.paid", "")
		rig.do("POST", "/pay", http.Header{"Content-Type": {"application/json"}}, "{}")
		rig.settledAll("bad")
		rig.settledAll("good")

		slow := get[destinationView](rig, "/webhooks/destinations/slow")
		if !slow.Paused || !slow.Held || slow.HeldReason != heldPaused || slow.Pending != 1 || slow.OldestPending.IsZero() {
			t.Errorf("slow: %+v", slow)
		}
		good := get[destinationView](rig, "/webhooks/destinations/good")
		if good.Held || good.Delivered != 1 || good.Signed != "standard" || !slices.Equal(good.Sources, []string{"payments"}) ||
			good.Retry != "exponential 5s 1h for 72h" || !strings.HasSuffix(good.To[0], "/hooks?key="+maskText) {
			t.Errorf("good: %+v", good)
		}
		status := get[statusView](rig, "/webhooks/status")
		if status.OK || len(status.Problems) != 2 || status.Totals.Dead != 1 || status.Totals.Held != 1 || status.Totals.Accepted != 2 || status.Store.Events != 2 {
			t.Errorf("status: %+v", status)
		}
		for _, s := range status.Sources {
			if s.Name == "payments" && (s.Requests["accepted"] < 1 || s.Requests["duplicate"] < 1 || s.Refused["unsigned"] < 1 || s.Accepted != 1 ||
				s.Secrets[0].Label != "(literal)" || s.Secrets[0].Matches < 2 || s.Secrets[0].LastUsed.IsZero()) {
				t.Errorf("payments: %+v", s)
			}
		}
		if dry := postJSON[destinationView](rig, "/webhooks/destinations/slow/resume?dry_run=true", nil); dry.Paused || dry.Held {
			t.Errorf("dry run: %+v", dry)
		}
		if !get[destinationView](rig, "/webhooks/destinations/slow").Paused {
			t.Error("dry run resumed")
		}
		if now := postJSON[destinationView](rig, "/webhooks/destinations/slow/resume", nil); now.Paused {
			t.Errorf("resumed: %+v", now)
		}
		rig.settledAll("slow")
		rig.refused("POST", "/webhooks/destinations/none/pause", nil, 404, "unknown_destination")
		rig.refused("GET", "/webhooks/destinations/none", nil, 404, "unknown_destination")
		rig.refused("GET", "/webhooks/destinations/slow/pause", nil, 405, "method_not_allowed")

		postJSON[destinationView](rig, "/webhooks/destinations/slow/pause", nil)
		rig.send("/careful", "evt_3", "invoice.paid", "")
		rig.settledAll("bad")
		before, after, _ := strings.Cut(options, "destination slow")
		_, after, _ = strings.Cut(after, "}")
		rig.reload(before+after, strings.ReplaceAll(site, "forward slow", ""))
		slow = get[destinationView](rig, "/webhooks/destinations/slow")
		if slow.Configured || slow.HeldReason != heldUnconfigured || slow.Pending != 1 {
			t.Errorf("a destination that left the configuration: %+v", slow)
		}
		if held := get[eventPage](rig, "/webhooks/events?state=held"); !slices.Equal(eventIDs(held), []string{"evt_3"}) {
			t.Errorf("held: %v", eventIDs(held))
		}
		moved := postJSON[replayView](rig, "/webhooks/replay", map[string]any{
			"filter": map[string]any{"destination": "slow", "states": []string{"held"}}, "to": "good", "move": true,
		})
		eventually(t, "move", func() bool { return get[replayView](rig, "/webhooks/replays/"+moved.ID).State == "done" })
		if slow = get[destinationView](rig, "/webhooks/destinations/slow"); slow.Pending != 0 || slow.Cancelled != 1 {
			t.Errorf("after the move: %+v", slow)
		}
	})
}

func TestAdminReplay(t *testing.T) {
	eachStore(t, func(t *testing.T, store string) {
		rig, _, _ := startOperated(t, store)
		for i := range 4 {
			rig.send("/pay", fmt.Sprintf("evt_%d", i), "charge.failed", "")
		}
		rig.settledAll("bad")
		rig.settledAll("good")

		groups := get[deadView](rig, "/webhooks/dead")
		if len(groups.Groups) != 1 || !groups.Complete || groups.Totals["bad"] != 4 || groups.Events != 4 {
			t.Fatalf("dead: %+v", groups)
		}
		if g := groups.Groups[0]; g.Destination != "bad" || g.Error != "status" || g.Count != 4 || g.Statuses["500"] != 4 || g.LastSeen.Before(g.FirstSeen) {
			t.Errorf("group: %+v", g)
		}
		dead := map[string]any{"filter": map[string]any{"destination": "bad", "states": []string{"dead"}}, "to": "slow"}
		estimate := postJSON[replayView](rig, "/webhooks/replay?dry_run=true", dead)
		if estimate.ID != "" || !estimate.DryRun || estimate.Estimate.Deliveries != 4 || !estimate.Estimate.Complete {
			t.Errorf("dry run: %+v", estimate)
		}
		if got := get[struct{ Replays []replayView }](rig, "/webhooks/replays"); len(got.Replays) != 0 {
			t.Errorf("dry run started %+v", got)
		}
		job := postJSON[replayView](rig, "/webhooks/replay", dead)
		eventually(t, "replay", func() bool { return get[replayView](rig, "/webhooks/replays/"+job.ID).State == "done" })
		if done := get[replayView](rig, "/webhooks/replays/"+job.ID); done.Replayed != 4 || done.Finished.IsZero() || done.Request.To != "slow" {
			t.Errorf("done: %+v", done)
		}
		if held := get[eventPage](rig, "/webhooks/events?state=held"); len(held.Events) != 4 {
			t.Errorf("held: %v", eventIDs(held))
		}

		cancelOne := postJSON[cancelledView](rig, "/webhooks/events/evt_0/cancel?dry_run=true", nil)
		if !slices.Equal(cancelOne.Destinations, []string{"slow"}) {
			t.Errorf("dry run of a cancellation: %+v", cancelOne)
		}
		postJSON[cancelledView](rig, "/webhooks/events/evt_0/cancel", nil)
		if again := postJSON[cancelledView](rig, "/webhooks/events/evt_0/cancel", nil); len(again.Destinations) != 0 {
			t.Errorf("cancelled twice: %+v", again)
		}
		rig.refused("POST", "/webhooks/events/evt_0/cancel?destination=nowhere", nil, 404, "not_found")
		rig.refused("POST", "/webhooks/events/evt_0/cancel?destination=", nil, 400, "bad_request")

		slowly := postJSON[replayView](rig, "/webhooks/replay", map[string]any{"ids": []string{"evt_1", "evt_2", "evt_3"}, "to": "slow", "rate": 0.001})
		if running := postJSON[replayView](rig, "/webhooks/replays/"+slowly.ID+"/cancel?dry_run=true", nil); running.State != "running" || !running.DryRun {
			t.Errorf("would cancel: %+v", running)
		}
		if ended := postJSON[replayView](rig, "/webhooks/replays/"+slowly.ID+"/cancel", nil); ended.State != "cancelled" {
			t.Errorf("cancelled replay: %+v", ended)
		}
		rig.refused("POST", "/webhooks/replays/"+slowly.ID+"/cancel", nil, 404, "no_replay")
		for _, query := range []string{"", "?dry_run=true"} {
			if _, answer, _ := rig.call("POST", "/webhooks/replays/"+slowly.ID+"/cancel"+query, nil); !strings.Contains(string(answer), "has ended already") {
				t.Errorf("cancelled twice%s: %s", query, answer)
			}
		}
		rig.refused("GET", "/webhooks/replays/rp_x", nil, 404, "no_replay")
		for name, body := range map[string]any{
			"nothing": map[string]any{}, "unknown field": map[string]any{"destinations": "bad"}, "state": map[string]any{"filter": map[string]any{"states": []string{"odd"}}},
			"all and more":    map[string]any{"all": true, "ids": []string{"evt_1"}},
			"move to nowhere": map[string]any{"all": true, "move": true}, "a list": []int{1},
		} {
			t.Log(name)
			rig.refused("POST", "/webhooks/replay", body, 400, "bad_request")
		}
		rig.refused("POST", "/webhooks/replay", map[string]any{"all": true, "to": "nowhere"}, 404, "unknown_destination")
		rig.refused("POST", "/webhooks/replay", strings.Repeat("x", maxAdminBody+1), 413, "too_large")

		var actions []string
		for _, e := range get[auditPage](rig, "/webhooks/audit").Entries {
			actions = append(actions, e.Action+" "+e.Target)
			if e.Actor == "" || e.At.IsZero() {
				t.Errorf("%+v", e)
			}
		}
		event := get[eventDetail](rig, "/webhooks/events/evt_0").ID.String()
		want := []string{"cancel_replay " + slowly.ID, "replay " + slowly.ID, "cancel " + event, "replay " + job.ID, "pause slow"}
		if !slices.Equal(actions, want) {
			t.Errorf("audit: %v, want %v", actions, want)
		}
		head, err := rig.client.Head("http://localhost/webhooks/export") // nor is it in the audit log
		if err != nil {
			t.Fatal(err)
		}
		if err := head.Body.Close(); err != nil || head.StatusCode != 400 {
			t.Errorf("head of an export: %s %v", head.Status, err)
		}
		rig.refused("GET", "/webhooks/audit?cursor=zzz", nil, 400, "bad_request")
		if _, answer, _ := rig.call("GET", "/webhooks/status?x=1", nil); !strings.Contains(string(answer), "takes none") {
			t.Errorf("parameter that nobody asked for: %s", answer)
		}
		first := get[auditPage](rig, "/webhooks/audit?limit=2")
		second := get[auditPage](rig, "/webhooks/audit?limit=3&cursor="+first.Next)
		if len(first.Entries) != 2 || len(second.Entries) != 3 || second.Next != "" {
			t.Errorf("pages of the audit log: %+v %+v", first, second)
		}
	})
}

// TestDestinationsThatAreHeld looks at deliveries that are due and held: no retry of theirs is near. A destination that left the configuration has no breaker, either.
func TestDestinationsThatAreHeld(t *testing.T) {
	app := startApplication(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	const source = "webhook none {\n unsigned_ok\n %s\n}"
	rig := startAdmin(t, "badger", "", fmt.Sprintf(source, "forward "+app.URL+" {\n breaker 1 1h\n retry 1ms 10h\n}"))
	rig.do(http.MethodPost, "/", nil, "x")
	name := inlineName("none", app.URL)
	path := "/webhooks/destinations/" + url.PathEscape(name)
	eventually(t, "breaker is open", func() bool { return get[destinationView](rig, path).Breaker == "open" })
	eventually(t, "delivery is due", func() bool { return !get[destinationView](rig, path).NextDue.IsZero() })
	if d := get[destinationView](rig, path); d.ProbeAt.IsZero() {
		t.Errorf("%+v", d)
	}
	if table := rig.good("destinations"); !strings.Contains(table, "held: breaker open") || strings.Contains(table, "in 0.0s") {
		t.Error(table)
	}
	rig.reload("", fmt.Sprintf(source, ""))
	if d := get[destinationView](rig, path); d.Configured || d.Pending != 1 || d.Breaker != "" || !d.ProbeAt.IsZero() || !d.NextDue.IsZero() {
		t.Errorf("%+v", d)
	}
	if table := rig.good("destinations"); !strings.Contains(table, "held: not configured") || strings.Contains(table, "in 0.0s") {
		t.Error(table)
	}
}
