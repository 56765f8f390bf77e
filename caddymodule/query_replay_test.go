package caddymodule

import (
	"slices"
	"strings"
	"testing"
)

// TestIDIsOneFilterAmongOthers asks lists, exports and replays for an event by the gateway's id and by the provider's, together with what it is and what it is not.
func TestIDIsOneFilterAmongOthers(t *testing.T) {
	eachStore(t, func(t *testing.T, store string) {
		rig, _, _ := startOperated(t, store)
		rig.send("/pay", "evt_1", "charge.failed", "")
		rig.send("/pay", "wh_2", "charge.failed", "") // the provider's id, that looks like one of ours
		rig.settledAll("bad")
		rig.settledAll("good")
		own := get[eventPage](rig, "/webhooks/events?id=evt_1").Events[0].ID.String()
		for _, id := range []string{own, "evt_1", "wh_2"} {
			for filter, want := range map[string]int{
				"": 1, "&source=payments": 1, "&source=careful": 0, "&type=charge.*": 1, "&type=invoice.*": 0, "&state=dead": 1, "&state=held": 0, "&destination=slow": 0,
				"&destination=good&state=dead": 0, "&until=1h": 0, "&provider=stripe&error=status": 1,
			} {
				query := "?id=" + id + filter
				if got := len(get[eventPage](rig, "/webhooks/events"+query).Events); got != want {
					t.Errorf("list %s: %d events, want %d", query, got, want)
				}
				if _, lines, _ := rig.call("GET", "/webhooks/export"+query, nil); strings.Count(string(lines), "\n") != want {
					t.Errorf("export %s: %s", query, lines)
				}
				if filter == "&state=held" { // nothing is held at present, as a replay says
					continue
				}
				if got := postJSON[replayView](rig, "/webhooks/replay"+query+"&dry_run=true", map[string]any{}).Estimate; got.Events != want || !got.Complete {
					t.Errorf("replay %s: %+v, want %d", query, got, want)
				}
			}
		}
		body := map[string]any{"filter": map[string]any{"event_id": own, "states": []string{"dead"}}}
		job := postJSON[replayView](rig, "/webhooks/replay", body)
		if f := job.Request.Filter; f == nil || f.EventID != own || job.Estimate.Deliveries != 1 {
			t.Errorf("replay of the dead one: %+v", job)
		}
		eventually(t, "replay", func() bool { return get[replayView](rig, "/webhooks/replays/"+job.ID).State == "done" })
		if done := get[replayView](rig, "/webhooks/replays/"+job.ID); done.Replayed != 1 {
			t.Errorf("replayed: %+v", done)
		}
	})
}

// TestPendingIsNotHeld wants one meaning of pending and held in lists and in replays: what waits at a destination that takes nothing is held and not pending.
func TestPendingIsNotHeld(t *testing.T) {
	eachStore(t, func(t *testing.T, store string) {
		rig, _, _ := startOperated(t, store)
		rig.send("/careful", "evt_1", "charge.failed", "") // for slow, which is paused, and for bad
		rig.settledAll("bad")
		order := func(destination string, states ...string) map[string]any {
			return map[string]any{"filter": map[string]any{"destination": destination, "states": states}, "to": "good", "dry_run": true}
		}
		for _, destination := range []string{"slow", ""} {
			for _, states := range [][]string{{"held"}, {"pending", "held"}, {"held", "pending", "delivering"}} {
				if got := postJSON[replayView](rig, "/webhooks/replay", order(destination, states...)).Estimate; got.Deliveries != 1 {
					t.Errorf("replay of what is %v at %q: %+v", states, destination, got)
				}
			}
		}
		if got := postJSON[replayView](rig, "/webhooks/replay", order("", "pending")).Estimate; got.Deliveries != 0 {
			t.Errorf("replay of what is pending somewhere: %+v", got)
		}
		if got := postJSON[replayView](rig, "/webhooks/replay", order("slow", "pending", "dead")).Estimate; got.Deliveries != 0 {
			t.Errorf("replay of what is pending or dead at slow: %+v", got)
		}
		for _, nothing := range []map[string]any{order("slow", "pending"), order("bad", "held")} {
			if got := postJSON[replayView](rig, "/webhooks/replay", nothing).Estimate; got.Events != 0 || !got.Complete {
				t.Errorf("replay of %v: %+v", nothing, got)
			}
			nothing["dry_run"] = false
			job := postJSON[replayView](rig, "/webhooks/replay", nothing)
			eventually(t, "a replay of nothing ends", func() bool { return get[replayView](rig, "/webhooks/replays/"+job.ID).State == "done" })
			if f := job.Request.Filter; f.EventID != "" || f.Destination != nothing["filter"].(map[string]any)["destination"] {
				t.Errorf("the job shows %+v", f)
			}
		}
		for want, body := range map[string]any{
			"one by one":          order("", "pending", "dead"),
			"name one, or ask":    order("", "held", "dead"),
			"want pending, deliv": order("slow", "waiting"),
		} {
			if status, answer, _ := rig.call("POST", "/webhooks/replay", body); status != 400 || !strings.Contains(string(answer), want) {
				t.Errorf("replay of %v: %d %s, want 400 with %q", body, status, answer, want)
			}
		}
		moved := order("", "held")
		moved["move"], moved["dry_run"] = true, false
		job := postJSON[replayView](rig, "/webhooks/replay", moved)
		if f := job.Request.Filter; f == nil || len(f.States) != 1 || f.States[0].String() != "held" {
			t.Errorf("the job shows %+v", job.Request)
		}
		eventually(t, "move", func() bool { return get[replayView](rig, "/webhooks/replays/"+job.ID).State == "done" })
		if got := eventIDs(get[eventPage](rig, "/webhooks/events?destination=slow&state=cancelled")); !slices.Equal(got, []string{"evt_1"}) {
			t.Errorf("moved away: %v", got)
		}
	})
}
