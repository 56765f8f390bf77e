package caddymodule

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/caddymodule/reconcile/reconciletest"
)

// stripeEvents are what Stripe says it has sent, newest first, one in a minute.
func stripeEvents(n int, newest time.Time) (events []map[string]any) {
	for i := range n {
		events = append(events, map[string]any{
			"id": fmt.Sprintf("evt_%d", i), "object": "event", "type": "invoice.paid", "created": int(newest.Add(-time.Duration(i) * time.Minute).Unix()),
			"data": map[string]any{"object": map[string]any{"id": "in_1"}},
		})
	}
	return events
}

func TestReconcileStripe(t *testing.T) {
	eachStore(t, func(t *testing.T, store string) {
		t.Setenv("STRIPE_API_KEY", "sk_test_of_the_api")
		newest := time.Now().Add(-time.Minute)
		stripe := reconciletest.Stripe(t, "sk_test_of_the_api", stripeEvents(150, newest))
		app := startApplication(t, nil)
		rig := startAdmin(t, store, "destination there {\n to "+app.URL+"\n}", fmt.Sprintf(`webhook stripe {
			name payments
			secret %s
			reconcile stripe {env.STRIPE_API_KEY} %s {
				types invoice.paid invoice.payment_failed
			}
			forward there
		}`, testSecret, stripe.URL))
		for i := range 3 { // the gateway was down for all others
			rig.send("/", fmt.Sprintf("evt_%d", i), "invoice.paid", "")
		}
		dry := postJSON[reconcileView](rig, "/webhooks/sources/payments/reconcile?since=1h&dry_run", nil)
		if dry.Listed != 59 || dry.Known != 3 || dry.Missing != 56 || dry.Stored != 0 || dry.Pages != 1 || len(dry.Events) != 56 || dry.Events[0].ID != "evt_3" || !dry.DryRun {
			t.Errorf("dry run: %+v", dry)
		}
		if n := len(get[eventPage](rig, "/webhooks/events?limit=1000").Events); n != 3 {
			t.Errorf("dry run stored something: %d", n)
		}
		shown := rig.good("reconcile", "payments", "--since", "1h", "--dry-run")
		wantParts(t, "dry run", shown, "stripe lists 59 events", "3 of them arrived", "56 are missing, from ", "HAPPENED", "invoice.paid", "evt_3", "Without --dry-run they are fetched")

		done := rig.good("reconcile", "payments")
		wantParts(t, "reconcile", done, "stripe lists 150 events", "147 are missing", "... and 47 more", "147 were fetched and accepted, 0 had been accepted all the same, 0 failed")
		app.await(t, 150)
		again := postJSON[reconcileView](rig, "/webhooks/sources/payments/reconcile", nil)
		if again.Known != 150 || again.Missing != 0 || again.Pages != 2 {
			t.Errorf("again: %+v", again)
		}
		// the provider's own retry of one that was fetched is a duplicate
		rig.send("/", "evt_100", "invoice.paid", "")
		if n := len(get[eventPage](rig, "/webhooks/events?limit=1000").Events); n != 150 {
			t.Errorf("%d events", n)
		}
		event := get[eventDetail](rig, "/webhooks/events/evt_100")
		if event.SecretIndex != nil || event.URL != "sluice:reconcile" || event.Type != "invoice.paid" || event.Time.IsZero() {
			t.Errorf("%+v", event)
		}
		if actions := get[auditPage](rig, "/webhooks/audit").Entries; len(actions) != 1 || actions[0].Action != "reconcile" || actions[0].Detail != "150 listed, 147 missing, 147 stored" {
			t.Errorf("audit: %+v", actions)
		}
		for _, path := range []string{"sources", "status", "audit"} {
			if _, body, _ := rig.call("GET", "/webhooks/"+path, nil); strings.Contains(string(body), "sk_test") {
				t.Errorf("%s shows the key", path)
			}
		}
	})
}

func TestReconcileGitHub(t *testing.T) {
	const hook = "repos/acme/shop/hooks/1234"
	var deliveries []reconciletest.Delivery
	for i := range 5 {
		deliveries = append(deliveries, reconciletest.Delivery{
			ID: int64(100 - i), GUID: fmt.Sprintf("guid-%d", i), At: time.Now().Add(-time.Duration(i+1) * time.Hour), Event: "push", Payload: map[string]any{"n": i},
		})
	}
	deliveries = slices.Insert(deliveries, 2, deliveries[1]) // a redelivery has the same guid
	deliveries[1].ID = 1000
	github := reconciletest.GitHub(t, "ghp_1", hook, deliveries)
	app := startApplication(t, nil)
	rig := startAdmin(t, "memory", "destination there {\n to "+app.URL+"\n}", fmt.Sprintf(
		"webhook github {\n secret %s\n reconcile github %s ghp_1 %s\n forward there\n}", testSecret, hook, github.URL))
	arrived := signedRequest(t, provider(t, "github"), testSecret, "http://"+rig.addr+"/", `{"n":0}`, time.Now())
	arrived.Header.Set("X-GitHub-Delivery", "guid-0")
	arrived.Header.Set("X-GitHub-Event", "push")
	if resp, answer := rig.do("POST", "/", arrived.Header, `{"n":0}`); resp.StatusCode >= 300 {
		t.Fatalf("%d %s", resp.StatusCode, answer)
	}
	view := postJSON[reconcileView](rig, "/webhooks/sources/github/reconcile?since=4h30m", nil)
	if view.Listed != 4 || view.Known != 1 || view.Missing != 3 || view.Stored != 3 {
		t.Errorf("%+v", view)
	}
	for _, got := range app.await(t, 4) {
		if !strings.Contains(string(got.body), `"type":"push"`) {
			t.Errorf("%s", got.body)
		}
	}
}

func TestReconcileShopify(t *testing.T) {
	updated := func(i int) string { return time.Now().Add(-time.Duration(i) * time.Hour).UTC().Format(time.RFC3339) }
	orders := []map[string]any{{"id": 1, "updated_at": updated(3)}, {"id": 2, "updated_at": updated(2)}, {"id": 3, "updated_at": updated(1)}}
	shop := reconciletest.Shopify(t, "shpat_1", orders)
	rig := startAdmin(t, "memory", "", fmt.Sprintf("webhook shopify {\n secret %s\n reconcile shopify example.myshopify.com orders shpat_1 %s\n}", testSecret, shop.URL))
	body := fmt.Sprintf(`{"id":2,"updated_at":%q}`, orders[1]["updated_at"])
	arrived := signedRequest(t, provider(t, "shopify"), testSecret, "http://"+rig.addr+"/", body, time.Now())
	arrived.Header.Set("X-Shopify-Event-Id", "of-shopify")
	arrived.Header.Set("X-Shopify-Topic", "orders/updated")
	if resp, answer := rig.do("POST", "/", arrived.Header, body); resp.StatusCode >= 300 {
		t.Fatalf("%d %s", resp.StatusCode, answer)
	}
	first := postJSON[reconcileView](rig, "/webhooks/sources/shopify/reconcile", nil)
	second := postJSON[reconcileView](rig, "/webhooks/sources/shopify/reconcile", nil)
	if first.Missing != 2 || first.Stored != 2 || second.Missing != 0 || second.Known != 3 {
		t.Errorf("%+v, then %+v", first, second)
	}
	if e := get[eventPage](rig, "/webhooks/events").Events[0]; e.Type != "orders/updated" || !strings.HasPrefix(e.EventID, "reconcile-3-") {
		t.Errorf("%+v", e)
	}
}

// TestReconcilePages uses a format of one's own, and an event that cannot be fetched.
func TestReconcilePages(t *testing.T) {
	t.Setenv("ACME_TOKEN", "token of acme")
	at := time.Now().Add(-time.Hour).UTC().Truncate(time.Second)
	acme := reconciletest.Serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer token of acme" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		switch r.URL.Path {
		case "/sent":
			reconciletest.Respond(t, w, map[string]any{"sent": []any{
				map[string]any{"ref": "a/1", "when": at.Format(time.RFC3339)}, map[string]any{"ref": "gone", "when": at.Format(time.RFC3339)},
			}})
		case "/sent/a/1":
			if r.URL.EscapedPath() != "/sent/a%2F1" {
				t.Errorf("path %s", r.URL.EscapedPath())
			}
			reconciletest.Respond(t, w, map[string]any{"webhook": map[string]any{"headers": map[string]string{"X-Id": "a/1"}, "body": `{"kind":"order.paid"}`}})
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	})
	site := `webhook hmac {
		name acme
		secret ` + testSecret + `
		header X-Sig
		event_id header:X-Id
		event_type json:kind
		reconcile pages ` + acme.URL + `/sent?from={since}&to={until} {
			header Authorization "Bearer {env.ACME_TOKEN}"
			times rfc3339
			items sent
			id ref
			time when
			detail ` + acme.URL + `/sent/{ref}
			payload webhook.body
			headers webhook.headers
			next none
		}
	}`
	rig := startAdmin(t, "memory", "", site)
	o := rig.webhooks("reconcile", "acme", "--json")
	if o.code != exitFailed || !strings.Contains(o.stdout, `"missing":2,"stored":1`) || !strings.Contains(o.stderr, "1 missing events could not be fetched") {
		t.Errorf("%+v", o)
	}
	e := get[eventPage](rig, "/webhooks/events").Events[0]
	if e.EventID != "a/1" || e.Type != "order.paid" || !e.Time.Equal(at) {
		t.Errorf("%+v", e)
	}
	t.Setenv("ACME_TOKEN", "revoked")
	if o := rig.webhooks("reconcile", "acme"); o.code != exitFailed || !strings.Contains(o.stderr, "provider refuses: ") || strings.Contains(o.stderr, "revoked") {
		t.Errorf("refused: %+v", o)
	}
	rig.refused("POST", "/webhooks/sources/acme/reconcile", nil, 502, "provider_refuses")
	rig.refused("POST", "/webhooks/sources/none/reconcile", nil, 404, "not_found")
	rig.refused("POST", "/webhooks/sources/acme/reconcile?since=8d", nil, 400, "bad_request")
	rig.refused("POST", "/webhooks/sources/acme/reconcile?since=1h&until=2h", nil, 400, "bad_request")
	rig.reload("", "webhook stripe {\n name plain\n secret "+testSecret+"\n}")
	rig.refused("POST", "/webhooks/sources/plain/reconcile", nil, 409, "not_reconcilable")
}

func TestReconcileConfiguration(t *testing.T) {
	for text, want := range map[string]string{
		"reconcile":        "want stripe <key>",
		"reconcile stripe": "want stripe <key>",
		"reconcile odd x":  "want stripe <key>",
		"reconcile stripe {env.SLUICE_NO_SUCH_KEY}":                                               "{env.SLUICE_NO_SUCH_KEY}: is not set",
		"reconcile github users/x ghp":                                                            "want repos/<owner>",
		"reconcile shopify a.myshopify.com ../x shp":                                              "want one such as orders",
		"reconcile pages https://x/y":                                                             "want the path of the events' id",
		"reconcile pages https://x/y {\n odd\n}":                                                  "unrecognized option 'odd'",
		"reconcile pages https://x/y {\n next up\n}":                                              "next: want link",
		"reconcile pages https://x/y {\n header A\n}":                                             "want a name and a value",
		"reconcile stripe k {\n id x\n}":                                                          "unrecognized option 'id' of reconcile stripe",
		"reconcile shopify a.myshopify.com orders shp {\n types x\n}":                             "unrecognized option 'types' of reconcile shopify",
		"reconcile pages https://x/y {\n id i\n next none\n types x\n}":                           "types: want the path of the events' type",
		"reconcile stripe k {\n types\n}":                                                         "types of events such as",
		"reconcile stripe k\nreconcile stripe k":                                                  "already specified",
		"reconcile pages https://x/y {\n id i\n next none\n header A {env.SLUICE_NO_SUCH_KEY}\n}": "header A: secret {env.SLUICE_NO_SUCH_KEY}: is not set",
	} {
		g := &testGateway{t: t, addr: "127.0.0.1:1", dir: t.TempDir()}
		config, err := adapt(g.caddyfile("", "webhook stripe {\n secret x\n "+text+"\n}"))
		if err == nil {
			err = validate(config)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}
