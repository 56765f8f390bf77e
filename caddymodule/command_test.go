package caddymodule

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/verifiers"
)

func TestCommandsShow(t *testing.T) {
	rig, _, _ := startOperated(t, "badger")
	for i := range 3 {
		rig.send("/pay", fmt.Sprintf("evt_%d", i), "charge.failed", "")
	}
	rig.send("/careful", "evt_card", "invoice.paid", `,"card":"4242"`)
	rig.send("/private", "evt_private", "invoice.paid", "")
	rig.settledAll("good")
	rig.settledAll("bad")

	wantParts(t, "status", rig.good("status"), "Gateway needs attention", "! destination bad has dead deliveries: 5", "! destination slow is paused",
		"Store   5 events", "5 accepted, 3 delivered, 1 pending (1 held), 5 dead", "SOURCE", "payments", "DESTINATION", "slow", "held: paused")
	if o := rig.webhooks("status", "--check"); o.code != exitFailed || o.stderr != "" || !strings.Contains(o.stdout, "needs attention") {
		t.Errorf("status --check: %+v", o)
	}
	var status statusView
	if err := json.Unmarshal([]byte(rig.good("status", "--json")), &status); err != nil || status.Totals.Dead != 5 {
		t.Errorf("status --json: %v %+v", err, status)
	}
	wantParts(t, "sources", rig.good("sources"), "payments", "stripe", "SECRET", "(literal)")
	wantParts(t, "destinations", rig.good("destinations"), "bad", "good", "active", "slow", "held: paused")
	wantParts(t, "dead", rig.good("dead"), "bad", "status", "5", "500×5")
	if got := rig.good("dead", "--destination", "good"); got != "No dead deliveries.\n" {
		t.Errorf("dead: %q", got)
	}

	wantParts(t, "events", rig.good("events"), "ID", "evt_private", "evt_card", "bad dead (500), slow held", "evt_2", "bad dead (500), good delivered", "evt_0")
	wantParts(t, "filtered events", rig.good("events", "--state", "held"), "ID", "evt_card")
	if got := rig.good("events", "--source", "payments", "--state", "dead", "--type", "charge.*", "--since", "1h", "--all", "--json"); strings.Count(got, "\n") != 3 {
		t.Errorf("events --all --json: %s", got)
	}
	page := rig.webhooks("events", "--limit", "2", "--source", "payments")
	_, cursor, ok := strings.Cut(strings.TrimSuffix(page.stderr, ", or --all\n"), "--cursor ")
	if !ok {
		t.Fatalf("no cursor: %+v", page)
	}
	wantParts(t, "second page", rig.good("events", "--limit", "2", "--source", "payments", "--cursor", cursor), "evt_0")

	own := get[eventDetail](rig, "/webhooks/events/evt_card").ID.String()
	wantParts(t, "show", rig.good("show", own), own, "evt_card", "careful (stripe)", "invoice.paid", "Headers", "Stripe-Signature: ***",
		"Delivery to bad dead", "1", "first", "500", "status", "Delivery to slow held")
	if got := rig.webhooks("show", "evt_card", "--raw"); got.code != 0 || !strings.Contains(got.stdout, `"card":"***"`) || !strings.Contains(got.stderr, "masked") {
		t.Errorf("show --raw: %+v", got)
	}
	if got := rig.webhooks("show", "evt_private", "--raw"); got.code != exitFailed || got.stdout != "" || !strings.Contains(got.stderr, "redact") {
		t.Errorf("show --raw of a redacted source: %+v", got)
	}
	wantParts(t, "show --normalised", rig.good("show", "evt_1", "--normalised"), `"specversion":"1.0"`, `"data":{"id":"evt_1"`)
	wantParts(t, "show --payload", rig.good("show", "evt_1", "--payload"), "Payload", `"charge.failed"`)
	wantParts(t, "providers", rig.good("providers"), "github", "stripe", "hmac", "careful payments private")
	wantParts(t, "providers stripe", rig.good("providers", "stripe"), "Stripe", "docs", "Stripe-Signature")
}

func TestCommandsOperate(t *testing.T) {
	rig, _, _ := startOperated(t, "badger")
	for i := range 3 {
		rig.send("/pay", fmt.Sprintf("evt_%d", i), "charge.failed", "")
	}
	rig.send("/careful", "evt_card", "invoice.paid", "")
	rig.settledAll("good")
	rig.settledAll("bad")

	if got := rig.good("pause", "good", "--dry-run"); got != "good would be paused, 0 deliveries pending\n" {
		t.Errorf("pause --dry-run: %q", got)
	}
	if get[destinationView](rig, "/webhooks/destinations/good").Paused {
		t.Fatal("dry run paused")
	}
	if got := rig.good("pause", "good", "bad"); got != "good is paused, 0 deliveries pending\nbad is paused, 0 deliveries pending\n" {
		t.Errorf("pause: %q", got)
	}
	rig.good("resume", "bad")
	if got := rig.good("replay", "--destination", "bad", "--dry-run"); got != "Would deliver 4 deliveries of 4 events\n" {
		t.Errorf("replay --dry-run: %q", got)
	}
	wantParts(t, "replay", rig.good("replay", "--destination", "bad", "--source", "payments", "--to", "good"), "Replay rp_", "done: 3 deliveries put back")
	if got := get[destinationView](rig, "/webhooks/destinations/good"); got.Pending != 3 {
		t.Errorf("good: %+v", got)
	}
	wantParts(t, "cancel --dry-run", rig.good("cancel", "evt_0", "--dry-run"), "would cancel the deliveries to good")
	wantParts(t, "cancel", rig.good("cancel", "evt_0", "evt_1"), "cancelled the deliveries to good", "cancelled the deliveries to good")
	wantParts(t, "cancel again", rig.good("cancel", "evt_0"), "nothing to cancel")

	started := rig.good("replay", "evt_0", "evt_1", "evt_2", "--to", "slow", "--rate", "0.001", "--detach")
	id := strings.Fields(started)[1]
	wantParts(t, "replay --list", rig.good("replay", "--list"), "REPLAY", id, "running", "slow")
	wantParts(t, "replay --cancel --dry-run", rig.good("replay", "--cancel", id, "--dry-run"), "Would stop replay "+id)
	wantParts(t, "replay --cancel", rig.good("replay", "--cancel", id), "Stopped replay "+id)
	if o := rig.webhooks("replay", "--follow", id); o.code != exitFailed || !strings.Contains(o.stdout, "cancelled") {
		t.Errorf("replay --follow: %+v", o)
	}
	wantParts(t, "audit", rig.good("audit"), "cancel_replay", id, "replay", id, "cancel", "pause", "bad", "pause", "good")

	if err := runningStore(t).PutMeta(t.Context(), metaHandshakeSurface+"payments", []byte("paste-me")); err != nil {
		t.Fatal(err)
	}
	wantParts(t, "sources", rig.good("sources"), "see --reveal")
	if got := rig.good("sources", "--reveal", "payments"); got != "paste-me\n" {
		t.Errorf("sources --reveal: %q", got)
	}
}

// TestCommandsFail shows exit codes, and that standard output stays empty.
func TestCommandsFail(t *testing.T) {
	rig, _, _ := startOperated(t, "memory")
	elsewhere := "localhost:" + strings.Split(freeAddr(t), ":")[1]
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"status", "--address", elsewhere}, exitUnreachable, "is Caddy running?"},
		{[]string{"status", "--config", "/does/not/exist"}, exitUsage, "address of the admin API"},
		{[]string{"status", "--address", rig.addr}, exitUnreachable, "not a Caddy with the webhook gateway"},
		{[]string{"odd"}, exitUsage, `unknown verb "odd"`},
		{[]string{"odd", "--address", elsewhere}, exitUsage, `unknown verb "odd"`},
		{[]string{"status", "extra"}, exitUsage, ""},
		{[]string{"status", "--odd"}, exitUsage, "unknown flag"},
		{[]string{"show"}, exitUsage, "accepts 1 arg"},
		{[]string{"events", "--state", "odd"}, exitUsage, "unknown state"},
		{[]string{"events", "--limit", "0"}, exitUsage, "limit"},
		{[]string{"events", "--since", "soon"}, exitUsage, "soon"},
		{[]string{"show", "evt_none"}, exitNotFound, "not found"},
		{[]string{"pause", "nowhere"}, exitNotFound, "nowhere"},
		{[]string{"cancel", "evt_none"}, exitNotFound, "not found"},
		{[]string{"replay"}, exitUsage, "Give ids or filters"},
		{[]string{"replay", "--all", "--to", "nowhere"}, exitNotFound, "nowhere"},
		{[]string{"replay", "--follow", "rp_none"}, exitNotFound, "rp_none"},
		{[]string{"providers", "no_such"}, exitNotFound, "no_such"},
		{[]string{"tail", "--kind", "odd"}, exitUsage, "odd"},
		{[]string{"tail", "--result", "nope"}, exitUsage, "want one of accepted"},
		{[]string{"tail", "--limit", "-1"}, exitUsage, "want 1 or more"},
		{[]string{"events", "--error", "nope"}, exitUsage, "want one of status"},
		{[]string{"replay", "--error", "nope"}, exitUsage, "want one of status"},
		{[]string{"quarantine", "--reason", "bogus"}, exitUsage, "want one of unsigned"},
		{[]string{"events", "--source", "a", "--source", "b"}, exitUsage, "more than once"},
		{[]string{"show", ""}, exitUsage, "empty"},
		{[]string{"pause", ""}, exitUsage, "empty"},
		{[]string{"cancel", "evt_none", "--destination", ""}, exitUsage, "empty"},
		{[]string{"show", "."}, exitNotFound, "not found"},
		{[]string{"cancel", ".."}, exitNotFound, "not found"},
		{[]string{"show", "evt_0", "--raw", "--payload"}, exitUsage, "Error: --payload and --raw: want one of them"},
		{[]string{"replay", "--list", "--all"}, exitUsage, "--all and --list: want one of them"},
		{[]string{"status", "--watch=1ms"}, exitUsage, "100ms"},
		{[]string{"status", "--watch", "1ms"}, exitUsage, "100ms"},
	} {
		args := c.args
		if !strings.Contains(strings.Join(args, " "), "--address") && !strings.Contains(strings.Join(args, " "), "--config") && args[0] != "odd" {
			args = append(args[:1:1], append([]string{"--address", "unix/" + rig.socket}, args[1:]...)...)
		}
		o := run(t, args...)
		if o.code != c.code || !strings.Contains(o.stderr, c.says) || !strings.HasPrefix(o.stderr, "Error: ") || strings.Count(o.stderr, "\n") != 1 || o.stdout != "" {
			t.Errorf("%v: %+v, want code %d and %q", c.args, o, c.code, c.says)
		}
	}
	for _, args := range [][]string{{"status", "--address", "unix/" + rig.socket}, {"providers"}, {"keygen"}} {
		full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		if err != nil {
			t.Skip(err) // only Linux has it
		}
		cmd := process(t, append([]string{"webhooks"}, args...)...)
		cmd.Stdout = full
		if err := cmd.Run(); cmd.ProcessState.ExitCode() != exitFailed {
			t.Errorf("%v with a full disk: %v", args, err)
		}
		if err := full.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if o := run(t); o.code != 0 || !strings.Contains(o.stdout, "Available Commands") {
		t.Errorf("without a verb: %+v", o)
	}
}

func TestKeygen(t *testing.T) {
	o := run(t, "keygen")
	secret := strings.TrimSuffix(o.stdout, "\n")
	if raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_")); err != nil || len(raw) != signingSecretBytes || o.code != 0 {
		t.Fatalf("%+v %v", o, err)
	}
	if again := run(t, "keygen").stdout; again == o.stdout {
		t.Error("the same secret twice")
	}
	var pair signingKeys
	if err := json.Unmarshal([]byte(run(t, "keygen", "--ed25519", "--json").stdout), &pair); err != nil {
		t.Fatal(err)
	}
	standard := provider(t, "standard")
	for signing, verifying := range map[string]string{secret: secret, pair.PrivateKey: pair.PublicKey} {
		at := time.Now()
		r := &verifiers.Request{Method: http.MethodPost, URL: new(url.URL), Header: http.Header{}, Body: []byte("{}"), At: at}
		if err := standard.Sign(r, verifiers.NewSecret([]byte(signing)), "msg_1", at); err != nil {
			t.Fatal(err)
		}
		if _, err := standard.Verify(t.Context(), r, []verifiers.Secret{verifiers.NewSecret([]byte(verifying))}); err != nil {
			t.Errorf("does not verify: %v", err)
		}
	}
}
