package caddymodule

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"github.com/sluice-webhooks/sluice/queue"
)

// startOperated starts a gateway with sources and destinations of every kind that the API tells apart: payments goes to good and, where it is a charge, to bad,
// which always fails; private shows no payloads, careful masks some; slow is paused.
func startOperated(t *testing.T, store string) (rig *adminRig, options, site string) {
	good := startApplication(t, nil)
	bad := startApplication(t, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, `{"oops":"500","card":"4242"}`, 500) })
	options = fmt.Sprintf(`
		destination good {
			to %[1]s/hooks?key=app-secret
			sign standard %[3]s
		}
		destination bad {
			to %[2]s
			retry none
			breaker off
		}
		destination slow {
			to %[1]s/slow
		}`, good.URL, bad.URL, testSecret)
	source := func(path, name, more string) string {
		return fmt.Sprintf("handle %s {\n webhook stripe {\n name %s\n secret %s\n %s\n }\n}\n", path, name, testSecret, more)
	}
	site = source("/pay", "payments", "forward good\n forward bad {\n events charge.*\n }") +
		source("/private", "private", "redact\n forward bad") +
		source("/careful", "careful", "mask data.object.card\n forward bad\n forward slow")
	rig = startAdmin(t, store, options, site)
	postJSON[destinationView](rig, "/webhooks/destinations/slow/pause", nil)
	return rig, options, site
}

func eventIDs(page eventPage) []string {
	var ids []string
	for _, e := range page.Events {
		ids = append(ids, e.EventID)
	}
	return ids
}

func TestAdminEvents(t *testing.T) {
	eachStore(t, func(t *testing.T, store string) {
		rig, _, _ := startOperated(t, store)
		for i := range 5 {
			rig.send("/pay", fmt.Sprintf("evt_p%d", i), "invoice.paid", "")
		}
		rig.send("/pay", "evt_charge", "charge.failed", "")
		rig.send("/careful", "evt_careful", "invoice.paid", `,"card":"4242"`)
		rig.settledAll("good")
		rig.settledAll("bad")

		for query, want := range map[string][]string{
			"":                                     {"evt_careful", "evt_charge", "evt_p4", "evt_p3", "evt_p2", "evt_p1", "evt_p0"},
			"source=careful":                       {"evt_careful"},
			"provider=stripe&type=charge.*":        {"evt_charge"},
			"destination=bad":                      {"evt_careful", "evt_charge"},
			"state=dead":                           {"evt_careful", "evt_charge"},
			"state=dead&destination=good":          nil,
			"state=held":                           {"evt_careful"},
			"state=held&destination=slow":          {"evt_careful"},
			"state=held&destination=good":          nil,
			"state=pending":                        nil,
			"state=pending,held":                   {"evt_careful"},
			"state=dead&state=held&source=careful": {"evt_careful"},
			"error=status":                         {"evt_careful", "evt_charge"},
			"error=timeout":                        nil,
			"id=evt_p2":                            {"evt_p2"},
			"since=1h&until=2030-01-01":            {"evt_careful", "evt_charge", "evt_p4", "evt_p3", "evt_p2", "evt_p1", "evt_p0"},
			"until=1h":                             nil,
		} {
			if got := eventIDs(get[eventPage](rig, "/webhooks/events?"+query)); !slices.Equal(got, want) {
				t.Errorf("%s: %v, want %v", query, got, want)
			}
		}
		own := get[eventPage](rig, "/webhooks/events?id=evt_p2").Events[0].ID
		if got := eventIDs(get[eventPage](rig, "/webhooks/events?id="+own.String())); !slices.Equal(got, []string{"evt_p2"}) {
			t.Errorf("by own id: %v", got)
		}

		var paged []string
		for cursor := ""; ; {
			page := get[eventPage](rig, "/webhooks/events?limit=3&source=payments&cursor="+url.QueryEscape(cursor))
			paged = append(paged, eventIDs(page)...)
			if cursor = page.Next; cursor == "" {
				break
			}
		}
		if want := []string{"evt_charge", "evt_p4", "evt_p3", "evt_p2", "evt_p1", "evt_p0"}; !slices.Equal(paged, want) {
			t.Errorf("paged: %v, want %v", paged, want)
		}
		for _, query := range []string{"limit=0", "limit=1001", "state=odd", "type=[", "since=soon", "sorce=payments", "cursor=%00nonsense", "error=nope", "source=payments&source=careful", "since=1h&since=2h", "limit=1&limit=2"} {
			rig.refused("GET", "/webhooks/events?"+query, nil, 400, "bad_request")
		}
		for _, call := range []string{"GET /webhooks/events", "GET /webhooks/dead", "GET /webhooks/export", "POST /webhooks/replay"} {
			method, path, _ := strings.Cut(call, " ")
			if status, answer, _ := rig.call(method, path+"?type=%5B", map[string]any{}); status != 400 || !strings.Contains(string(answer), "want one such as invoice.*") {
				t.Errorf("%s of a type that is no glob: %d %s", call, status, answer)
			}
		}
	})
}

func TestAdminEventDetail(t *testing.T) {
	eachStore(t, func(t *testing.T, store string) {
		rig, options, _ := startOperated(t, store)
		rig.send("/careful", "evt_1", "invoice.paid", `,"card":"4242","n":1.50`)
		rig.send("/private", "evt_2", "invoice.paid", "")
		rig.settledAll("bad")

		detail := get[eventDetail](rig, "/webhooks/events/evt_1")
		own := get[eventDetail](rig, "/webhooks/events/"+detail.ID.String())
		if own.EventID != "evt_1" || detail.Source != "careful" || detail.Method != "POST" || detail.SecretIndex == nil || *detail.SecretIndex != 0 {
			t.Errorf("%+v", detail)
		}
		if got := detail.Header["Stripe-Signature"]; !slices.Equal(got, []string{maskText}) {
			t.Errorf("signature shown: %v", got)
		}
		if got := detail.Header["Content-Type"]; !slices.Equal(got, []string{"application/json"}) {
			t.Errorf("content type: %v", got)
		}
		byName := map[string]deliveryView{}
		for _, d := range detail.Deliveries {
			byName[d.Destination] = d
		}
		if d := byName["slow"]; d.State != queue.StateHeld || d.Attempts != 0 {
			t.Errorf("slow: %+v", d)
		}
		d := byName["bad"]
		if d.State != queue.StateDead || d.LastStatus != 500 || d.LastError != "status" || len(d.History) != 1 || d.SettledAt.IsZero() {
			t.Fatalf("bad: %+v", d)
		}
		if a := d.History[0]; a.Status != 500 || a.Trigger != "first" || a.Class != "status" || a.Response != "" {
			t.Errorf("attempt: %+v (the source masks something, so that the answer is not shown)", a)
		}

		_, body, header := rig.call("GET", "/webhooks/events/evt_1/payload", nil)
		if card, n := gjson.GetBytes(body, "data.object.card").String(), gjson.GetBytes(body, "data.object.n").Raw; card != maskText || n != "1.50" {
			t.Errorf("masked payload: %s", body)
		}
		if header.Get("Webhook-Payload-Masked") != "true" || header.Get("X-Content-Type-Options") != "nosniff" || header.Get("Content-Disposition") != "attachment" {
			t.Errorf("headers: %v", header)
		}
		_, body, _ = rig.call("GET", "/webhooks/events/evt_1/payload?format=normalised", nil)
		if gjson.GetBytes(body, "id").String() != "evt_1" || gjson.GetBytes(body, "data.data.object.card").String() != maskText {
			t.Errorf("normalised: %s", body)
		}
		if !get[eventDetail](rig, "/webhooks/events/evt_2").PayloadHidden {
			t.Error("redacted source does not say so")
		}
		rig.refused("GET", "/webhooks/events/evt_2/payload", nil, 403, "hidden")
		rig.refused("GET", "/webhooks/events/evt_1/payload?format=xml", nil, 400, "bad_request")
		rig.refused("GET", "/webhooks/events/evt_none", nil, 404, "not_found")
		rig.refused("GET", "/webhooks/events/wh_1", nil, 404, "not_found")

		// a source that left the configuration stays as private as it was
		rig.reload(options, "respond 204")
		rig.refused("GET", "/webhooks/events/evt_2/payload", nil, 403, "hidden")
		_, body, _ = rig.call("GET", "/webhooks/events/evt_1/payload", nil)
		if card := gjson.GetBytes(body, "data.object.card").String(); card != maskText {
			t.Errorf("after the source is gone: %s", body)
		}
	})
}
