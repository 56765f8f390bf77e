package caddymodule

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestAdminDescription(t *testing.T) {
	rig, _, _ := startOperated(t, "memory")
	described := map[string]bool{}
	for path, operations := range rig.schema.paths() {
		for method := range operations.(map[string]any) {
			described[strings.ToUpper(method)+" "+path] = true
		}
	}
	for path, methods := range adminRoutes {
		for method := range methods {
			if call := method + " " + adminPrefix + path; !described[call] {
				t.Errorf("%s is not described", call)
			}
			delete(described, method+" "+adminPrefix+path)
		}
	}
	delete(described, "GET /webhooks/openapi.json")
	for call := range described {
		t.Errorf("%s is described and does not exist", call)
	}
	status, body, _ := rig.call("GET", "/webhooks/openapi.json", nil)
	if status != 200 || string(body) != string(openAPI) {
		t.Errorf("openapi.json: %d", status)
	}
	if got := get[struct{ Providers []providerView }](rig, "/webhooks/providers"); len(got.Providers) < 5 {
		t.Errorf("providers: %+v", got)
	}
	if stripe := get[providerDetail](rig, "/webhooks/providers/stripe"); stripe.Spec == nil || len(stripe.Sources) != 3 {
		t.Errorf("stripe: %+v", stripe)
	}
	get[struct{ Sources []sourceView }](rig, "/webhooks/sources")
	get[struct{ Destinations []destinationView }](rig, "/webhooks/destinations")
	rig.refused("GET", "/webhooks/providers/no_such", nil, 404, "not_found")
	rig.refused("GET", "/webhooks/odd", nil, 404, "not_found")
	rig.refused("POST", "/webhooks/openapi.json", nil, 405, "method_not_allowed")
	rig.refused("POST", "/webhooks/sources/payments/handshake", nil, 404, "not_found")
	if err := runningStore(t).PutMeta(t.Context(), metaHandshakeSurface+"payments", []byte("paste-me")); err != nil {
		t.Fatal(err)
	}
	if token := postJSON[handshakeToken](rig, "/webhooks/sources/payments/handshake", nil); token.Token != "paste-me" {
		t.Errorf("token: %+v", token)
	}
}

// TestAdminShowsNoSecrets calls everything and looks for what must not be there.
func TestAdminShowsNoSecrets(t *testing.T) {
	rig, _, _ := startOperated(t, "memory")
	signed := signedRequest(t, provider(t, "stripe"), testSecret, "http://"+rig.addr+"/pay?token=in-the-query", stripeEvent, time.Now())
	signed.Header.Set("Authorization", "Bearer of-the-sender")
	signed.Header.Set("Cookie", "session=of-the-sender")
	if resp, body := rig.do("POST", "/pay?token=in-the-query", signed.Header, stripeEvent); resp.StatusCode != 200 {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	rig.settledAll("good")
	signature := signed.Header.Get("Stripe-Signature")
	for _, path := range []string{
		"status", "sources", "destinations", "destinations/good", "events", "events/evt_1", "events/evt_1/payload", "replays", "dead", "providers", "audit", "openapi.json",
	} {
		status, body, header := rig.call("GET", "/webhooks/"+path, nil)
		if status != 200 {
			t.Errorf("%s: %d", path, status)
		}
		for _, secret := range []string{testSecret, "in-the-query", "of-the-sender", "app-secret", signature} {
			if strings.Contains(string(body), secret) || strings.Contains(fmt.Sprint(header), secret) {
				t.Errorf("%s shows %s", path, secret)
			}
		}
	}
}

// TestAdminWithoutGateway shows what the API says when the running configuration has no webhooks.
func TestAdminWithoutGateway(t *testing.T) {
	rig := startAdmin(t, "memory", "", "respond 204")
	rig.call("GET", "/webhooks/status", nil)
	config := []byte(fmt.Sprintf(`{"admin":{"listen":"unix/%s","config":{"persist":false}},"logging":{"logs":{"default":{"level":"ERROR"}}}}`, rig.socket))
	if err := loadRaw(config); err != nil {
		t.Fatal(err)
	}
	rig.refused("GET", "/webhooks/status", nil, 503, "no_webhooks")
	rig.refused("POST", "/webhooks/replay", map[string]any{"all": true}, 503, "no_webhooks")
}
