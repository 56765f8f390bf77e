package caddymodule

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
)

// TestFormsAreMaskedEverywhere has GitHub send its payload as a field of a form, and looks for what is masked in it wherever events and refused requests are shown.
func TestFormsAreMaskedEverywhere(t *testing.T) {
	app := startApplication(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusGone)
		_ = r.Write(w) // an application that echoes what it was sent
	})
	rig := startAdmin(t, "memory", "destination there {\n to "+app.URL+"\n dead_on 410\n}",
		"webhooks_dashboard /dash* {\n unprotected_ok\n}\nwebhook /hooks github {\n secret "+testSecret+"\n mask payload.repository.full_name sender.email\n forward there {\n format original\n }\n}")
	body := url.Values{"payload": {`{"action":"opened","repository":{"full_name":"HUSH1/x"},"sender":{"email":"HUSH2@example.com","login":"octocat"}}`}}.Encode()
	header := signedRequest(t, provider(t, "github"), testSecret, "http://x/", body, time.Now()).Header
	header.Set("Content-Type", formType)
	header.Set("X-GitHub-Delivery", "d-1")
	header.Set("X-GitHub-Event", "issues")
	if resp, answer := rig.do(http.MethodPost, "/hooks", header, body); resp.StatusCode/100 != 2 {
		t.Fatalf("%d %s", resp.StatusCode, answer)
	}
	var own, refused string
	eventually(t, "dead", func() bool {
		e := get[eventPage](rig, "/webhooks/events").Events[0]
		own = e.ID.String()
		return e.Deliveries[0].State == queue.StateDead
	})
	shown := rig.everywhere(own)
	header.Set("X-Hub-Signature-256", "sha256=00")
	if resp, _ := rig.do(http.MethodPost, "/hooks", header, body); resp.StatusCode != http.StatusUnauthorized {
		t.Fatal(resp.Status)
	}
	eventually(t, "in the quarantine", func() bool {
		for _, r := range get[refusedPage](rig, "/webhooks/quarantine").Requests {
			refused = r.ID
		}
		return refused != ""
	})
	for place, text := range rig.answers("quarantine/"+refused, "quarantine/"+refused+"/payload") {
		shown[place] = text
	}
	rig.pages(shown, "quarantine/"+refused, "quarantine/"+refused+"/payload")
	seen := 0
	for place, text := range shown {
		plain, err := url.QueryUnescape(text)
		if err != nil {
			plain = text
		}
		if strings.Contains(text+plain, "HUSH") {
			t.Errorf("%s shows what is masked: %s", place, plain)
		}
		if strings.Contains(plain, "octocat") {
			seen++
		}
	}
	if seen < 4 { // else the others prove nothing
		t.Errorf("the rest of the payload is in %d places: %v", seen, sortedKeys(shown))
	}
}
