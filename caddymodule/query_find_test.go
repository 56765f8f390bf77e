package caddymodule

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-webhooks/sluice/queue"
)

// TestFindBySameID looks for a provider's id that one source takes once and another as often as it comes: the newest of all is meant, and lists have them all.
func TestFindBySameID(t *testing.T) {
	eachStore(t, func(t *testing.T, store string) {
		source := func(name, more string) string {
			return "handle /" + name + " {\n webhook stripe {\n name " + name + "\n secret " + testSecret + "\n " + more + "\n forward slow\n}\n}\n"
		}
		rig := startAdmin(t, store, "destination slow {\n to http://127.0.0.1:1\n}", source("once", "")+source("often", "dedup off"))
		postJSON[destinationView](rig, "/webhooks/destinations/slow/pause", nil)
		for _, path := range []string{"/once", "/often", "/often", "/once"} { // the last one is a duplicate
			rig.send(path, "evt_1", "invoice.paid", "")
		}
		all := get[eventPage](rig, "/webhooks/events").Events
		if len(all) != 3 {
			t.Fatalf("stored: %+v", all)
		}
		var sources []string
		for _, e := range get[eventPage](rig, "/webhooks/events?id=evt_1").Events {
			sources = append(sources, e.Source)
		}
		if want := []string{"often", "often", "once"}; !slices.Equal(sources, want) {
			t.Errorf("list by the id: %v, want %v", sources, want)
		}
		newest := get[eventDetail](rig, "/webhooks/events/evt_1")
		if newest.ID != all[0].ID || !slices.Equal(newest.SameProviderIDs, []queue.ID{all[1].ID, all[2].ID}) {
			t.Errorf("found %s and %v, want %s first", newest.ID, newest.SameProviderIDs, all[0].ID)
		}
		if one := get[eventDetail](rig, "/webhooks/events/evt_1?source=once"); one.ID != all[2].ID || len(one.SameProviderIDs) != 0 {
			t.Errorf("of its source: %s %v", one.ID, one.SameProviderIDs)
		}
		if _, lines, _ := rig.call("GET", "/webhooks/export?id=evt_1", nil); strings.Count(string(lines), "\n") != 3 {
			t.Errorf("export: %s", lines)
		}
		if order := postJSON[replayView](rig, "/webhooks/replay", map[string]any{"ids": []string{"evt_1"}}); !slices.Equal(order.Request.IDs, []string{all[0].ID.String()}) {
			t.Errorf("replay of %v, want %s", order.Request.IDs, all[0].ID)
		}
	})
}

// stalledLists is a store that is still making its index: a list takes longer than anybody waits.
type stalledLists struct{ queue.Inspector }

func (stalledLists) Events(ctx context.Context, _ queue.Filter) (queue.Page, error) {
	<-ctx.Done()
	return queue.Page{}, ctx.Err()
}

// TestFindWithoutIndex shows that a dedup claim leads to an event where a list takes too long.
func TestFindWithoutIndex(t *testing.T) {
	rig, _, _ := startOperated(t, "badger")
	rig.send("/pay", "evt_1", "invoice.paid", "")
	g, err := activeGateway(t.Context(), "test")
	if err != nil {
		t.Fatal(err)
	}
	g.inspect = stalledLists{g.inspect}
	want := get[eventPage](rig, "/webhooks/events").Events[0].ID
	if got, others, err := g.find(t.Context(), "evt_1", ""); got != want || len(others) != 0 || err != nil {
		t.Errorf("found %s %v %v, want %s", got, others, err, want)
	}
	if problem := func() *apiProblem { _, _, err := g.find(t.Context(), "evt_2", ""); return problemOf(err) }(); problem.Code != "search_limit" {
		t.Errorf("an id that nobody claims: %+v", problem)
	}
}
