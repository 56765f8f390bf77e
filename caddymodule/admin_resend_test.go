package caddymodule

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-webhooks/sluice/queue"
)

const editedCharge = `{"id":"evt_1","type":"charge.fixed","created":1700000000,"data":{"object":{"id":"in_1","amount":7}}}`

func TestAdminResend(t *testing.T) {
	eachStore(t, func(t *testing.T, store string) {
		rig, _, _ := startOperated(t, store)
		rig.send("/pay", "evt_1", "charge.failed", "")
		rig.settledAll("good")
		rig.settledAll("bad")
		original := get[eventDetail](rig, "/webhooks/events/evt_1")
		path := "/webhooks/events/" + original.ID.String() + "/resend"
		body := json.RawMessage(editedCharge)

		if dry := postJSON[resendView](rig, path+"?dry_run=true", body); dry.ID != 0 || strings.Join(dry.Destinations, " ") != "bad good" || dry.Type != "charge.fixed" {
			t.Errorf("dry run: %+v", dry)
		}
		all := postJSON[resendView](rig, path, body)
		if all.ReplayOf != original.ID || all.ID <= original.ID || strings.Join(all.Destinations, " ") != "bad good" || all.Size != len(editedCharge) {
			t.Errorf("resent: %+v", all)
		}
		one := postJSON[resendView](rig, path+"?destination=good", body)
		other := postJSON[resendView](rig, path+"?to=slow", body)
		eventually(t, "deliveries", func() bool {
			copied := get[eventDetail](rig, "/webhooks/events/"+one.ID.String())
			return copied.Deliveries[0].State == queue.StateDelivered
		})
		copied := get[eventDetail](rig, "/webhooks/events/"+all.ID.String())
		if copied.ReplayOf != original.ID.String() || copied.EventID != "evt_1" || copied.Type != "charge.fixed" || len(copied.Deliveries) != 2 || copied.SecretIndex != nil {
			t.Errorf("copy: %+v", copied)
		}
		if _, signed := copied.Header["Stripe-Signature"]; signed {
			t.Error("the copy has the signature of the original")
		}
		if held := get[eventDetail](rig, "/webhooks/events/"+other.ID.String()); len(held.Deliveries) != 1 || held.Deliveries[0].Destination != "slow" {
			t.Errorf("to another destination: %+v", held)
		}
		if status, payload, _ := rig.call("GET", "/webhooks/events/"+all.ID.String()+"/payload", nil); status != 200 || string(payload) != editedCharge {
			t.Errorf("payload of the copy: %d %s", status, payload)
		}
		if now := get[eventDetail](rig, "/webhooks/events/"+original.ID.String()); now.Type != "charge.failed" || len(now.Deliveries) != 2 {
			t.Errorf("original: %+v", now)
		}
		entry := get[auditPage](rig, "/webhooks/audit?limit=1").Entries[0]
		if entry.Action != "resend" || entry.Target != other.ID.String() || !strings.Contains(entry.Detail, original.ID.String()) || strings.Contains(entry.Detail, "amount") {
			t.Errorf("audit: %+v", entry)
		}

		rig.refused("POST", path+"?to=nowhere", body, 404, "unknown_destination")
		rig.refused("POST", path+"?to=slow&destination=good", body, 400, "bad_request")
		rig.refused("POST", path+"?destination=slow", body, 400, "bad_request")
		rig.refused("POST", path, nil, 400, "bad_request")
		rig.refused("POST", path, strings.Repeat("x", 6<<20), 400, "bad_request")
		rig.refused("POST", "/webhooks/events/wh_1/resend", body, 404, "not_found")
	})
}

func TestCommandResend(t *testing.T) {
	rig, _, _ := startOperated(t, "memory")
	rig.send("/pay", "evt_1", "invoice.paid", "")
	rig.send("/careful", "evt_masked", "invoice.paid", `,"card":"4242"`)
	rig.settledAll("good")
	file := filepath.Join(t.TempDir(), "payload.json")
	if err := os.WriteFile(file, []byte(editedCharge), 0o600); err != nil {
		t.Fatal(err)
	}
	first := get[eventDetail](rig, "/webhooks/events/evt_1").ID.String() // copies have the same id of the provider
	wantParts(t, "--dry-run", rig.good("replay", "evt_1", "--body", file, "--dry-run"), "Would deliver wh_", "to good")
	wantParts(t, "--body", rig.good("replay", first, "--body", file, "--to", "slow"), "is event wh_", "to slow")
	var view resendView
	if err := json.Unmarshal([]byte(rig.good("replay", first, "--body", file, "--json")), &view); err != nil || view.ReplayOf == 0 {
		t.Errorf("--json: %+v %v", view, err)
	}
	wantParts(t, "show", rig.good("show", view.ID.String()), "replay of", first, "Delivery to good")

	t.Setenv("VISUAL", "sed -i s/in_1/in_edited/")
	resent := rig.good("replay", view.ReplayOf.String(), "--edit")
	id := resent[strings.LastIndex(resent, "wh_"):]
	id, _, _ = strings.Cut(id, ",")
	wantParts(t, "--edit", rig.good("show", id, "--raw"), "in_edited")
	for name, args := range map[string][]string{
		"no id":    {"--edit"},
		"two ids":  {"evt_1", "evt_masked", "--body", file},
		"filter":   {"evt_1", "--body", file, "--state", "dead"},
		"rate":     {"evt_1", "--body", file, "--rate", "5"},
		"no file":  {"evt_1", "--body", file + ".absent"},
		"no place": {first, "--body", file, "--destination", "slow"},
	} {
		if got := rig.webhooks("replay", args...); got.code != exitUsage || got.stdout != "" {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if got := rig.webhooks("replay", "evt_masked", "--edit"); got.code != exitFailed || !strings.Contains(got.stderr, "masked") {
		t.Errorf("--edit of a masked payload: %+v", got)
	}
	t.Setenv("VISUAL", "true")
	if got := rig.webhooks("replay", view.ReplayOf.String(), "--edit"); got.code != exitFailed || !strings.Contains(got.stderr, "not changed") {
		t.Errorf("--edit without a change: %+v", got)
	}
}
