package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/sluice-webhooks/sluice/queue"
)

// TestEnrichmentAddress checks what becomes of an event's values: each is escaped for its place, and none leads to another host or out of the path.
func TestEnrichmentAddress(t *testing.T) {
	const header = "a b/c?d"
	for _, c := range []struct{ template, value, want string }{
		{"https://h/v1/{json.v}", "a b+c/d?e#f&g", "https://h/v1/a%20b+c%2Fd%3Fe%23f&g"},
		{"https://h/v1?q={json.v}&r=1", "a b+c/d?e#f&g", "https://h/v1?q=a+b%2Bc%2Fd%3Fe%23f%26g&r=1"},
		{"https://h/{json.v}?q={header.X-V}", "m1", "https://h/m1?q=a+b%2Fc%3Fd"},
		{"https://h/{json.v}/sub", "...", "https://h/.../sub"},
		{"https://h/v1/{json.v}", "..", ""},
		{"https://h/v1/{json.v}/sub", ".", ""},
		{"https://h/v1/{json.v}", "../admin", ""},
		{"https://h/v1/{json.v}", `..\admin`, ""},
		{"https://h/v1/.{json.v}", ".", ""},
		{"https://h/v1?q={json.v}", "../admin", "https://h/v1?q=..%2Fadmin"},
		{"https://h/v1/{json.v}", "", ""},
		{"https://h{path:json.v}", "/v1/billing/meters/m 1", "https://h/v1/billing/meters/m%201"},
		{"https://h/{path:json.v}", "v1/meters/", "https://h/v1/meters/"},
		{"https://h/base{path:json.v}?q=1", "/v1/m1", "https://h/base/v1/m1?q=1"},
		{"https://h{path:json.v}", "/v1/m1?admin=true#x", "https://h/v1/m1%3Fadmin=true%23x"},
		{"https://h{path:json.v}", ".evil.example/x", "https://h/.evil.example/x"},
		{"https://h{path:json.v}", "@evil.example/x", "https://h/@evil.example/x"},
		{"https://h{path:json.v}", ":1/x", "https://h/:1/x"},
		{"https://h{path:json.v}", "//evil.example/x", ""},
		{"https://h{path:json.v}", "https://evil.example/x", ""},
		{"https://h{path:json.v}", "/v1/../admin", ""},
		{"https://h{path:json.v}", `/v1/..\admin`, ""},
		{"https://h{path:json.v}", "/v1/%2e%2e/admin", "https://h/v1/%252e%252e/admin"},
	} {
		body, err := json.Marshal(map[string]string{"v": c.value})
		if err != nil {
			t.Fatal(err)
		}
		var r enrichment
		if err := r.parseURL(c.template); err != nil {
			t.Errorf("%s: %v", c.template, err)
			continue
		}
		e := &queue.Event{Header: http.Header{"Content-Type": {"application/json"}, "X-V": {header}}, Body: body}
		got, err := r.address(e)
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s with %q: %s, %v, want %s", c.template, c.value, got, err, c.want)
		}
		if c.want == "" {
			if _, err := r.apply(t.Context(), time.Now(), e, body); !errors.Is(err, errNotEnrichable) {
				t.Errorf("%s with %q: %v", c.template, c.value, err)
			}
		}
	}
}

// TestEnrichmentHost: the header Host is sent, as it is by a destination.
func TestEnrichmentHost(t *testing.T) {
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "%q", r.Host+r.Header.Get("X-Key")) }))
	t.Cleanup(api.Close)
	enrich := &Enrich{URL: api.URL, Headers: map[string]string{"host": "api.example", "x-key": "/k"}}
	if err := enrich.provision(zap.NewNop()); err != nil {
		t.Fatal(err)
	}
	if body, err := enrich.request.apply(t.Context(), time.Now(), new(queue.Event), []byte(`{}`)); err != nil || string(body) != `{"data":"api.example/k"}` {
		t.Errorf("%s, %v", body, err)
	}
}
