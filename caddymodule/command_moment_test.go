package caddymodule

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestMomentsWithoutAZoneAreLocal(t *testing.T) {
	zone := time.FixedZone("east", 3*60*60)
	for given, want := range map[string]string{
		"2026-01-02 15:04:05":       "2026-01-02T12:04:05Z",
		"2026-01-02 15:04:05.25":    "2026-01-02T12:04:05.25Z",
		"2026-01-02T15:04:05":       "2026-01-02T12:04:05Z",
		"2026-01-02 15:04":          "2026-01-02T12:04:00Z",
		"2026-01-02T15:04":          "2026-01-02T12:04:00Z",
		"2026-01-02":                "2026-01-01T21:00:00Z",
		"2026-01-02T15:04:05Z":      "2026-01-02T15:04:05Z",
		"2026-01-02T15:04:05+01:00": "2026-01-02T15:04:05+01:00",
		"7d":                        "7d",
		"yesterday":                 "yesterday",
	} {
		if got := withZone(given, zone); got != want {
			t.Errorf("%s: %q, want %q", given, got, want)
		}
	}
}

// TestTimesOfTablesSelectTheirRows copies the time that a table shows into the filters, in a zone that is not UTC.
func TestTimesOfTablesSelectTheirRows(t *testing.T) {
	const name = "Asia/Dubai"
	zone, err := time.LoadLocation(name)
	if err != nil {
		t.Skip(err) // the machine knows no time zones
	}
	t.Setenv("TZ", name) // of the commands, which are processes
	app := startApplication(t, nil)
	rig := startAdmin(t, "memory", "", "webhook none {\n unsigned_ok\n forward "+app.URL+"\n}")
	rig.do(http.MethodPost, "/", nil, "x")
	app.await(t, 1)
	page := get[eventPage](rig, "/webhooks/events")
	if len(page.Events) != 1 {
		t.Fatalf("%+v", page)
	}
	id, at := page.Events[0].ID.String(), page.Events[0].ReceivedAt
	show := func(at time.Time) string { return at.In(zone).Format(time.DateTime) }
	shown, later := show(at), show(at.Add(time.Second))
	if table := rig.good("events"); !strings.Contains(table, id) || !strings.Contains(table, shown) {
		t.Fatalf("want %s at %s: %s", id, shown, table)
	}
	for _, c := range []struct {
		flag, moment string
		want         bool
	}{
		{"--since", shown, true}, {"--until", shown, false},
		{"--since", later, false}, {"--until", later, true},
	} {
		if got := strings.Contains(rig.webhooks("events", c.flag, c.moment).stdout, id); got != c.want {
			t.Errorf("%s %s: the event is listed: %t", c.flag, c.moment, got)
		}
	}
}
