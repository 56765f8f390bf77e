package caddymodule

import (
	"net/http"
	"testing"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/verifiers"
)

// TestContentEncoding checks that a packed payload says how it is packed, and one that is not does not.
func TestContentEncoding(t *testing.T) {
	for payload, want := range map[string]string{"\x1f\x8b": "gzip", `{"a":1}`: ""} {
		e := &queue.Event{EventID: "1", Source: "s", Provider: "p", Header: http.Header{"Content-Encoding": {"gzip"}}, Body: []byte(payload)}
		m, err := render(formatCloudEvents, e, e.Body, false)
		if got := gjson.GetBytes(m.body, "contentencoding").String(); err != nil || got != want {
			t.Errorf("%q: %q (%v)", payload, got, err)
		}
	}
}

// TestEnvelopes checks that a structured CloudEvent is JSON whatever the payload is, in what is forwarded and in an export.
func TestEnvelopes(t *testing.T) {
	for name, c := range map[string]struct{ contentType, payload, data string }{
		"json":          {"application/json", `{"a":1.10}`, `data {"a":1.10}`},
		"not UTF-8":     {"application/json", "{\"a\":\"\xff\"}", `data_base64 "eyJhIjoi/yJ9"`},
		"no valid JSON": {"application/json", `{"a":`, `data_base64 "eyJhIjo="`},
	} {
		t.Run(name, func(t *testing.T) {
			e := &queue.Event{EventID: "1", Source: "s", Provider: "p", Header: http.Header{"Content-Type": {c.contentType}}, Body: []byte(c.payload)}
			m, err := render(formatCloudEvents, e, e.Body, false)
			if err != nil {
				t.Fatal(err)
			}
			archived, err := (&archivedEvent{cloudEvent: newCloudEvent(e, c.contentType)}).encode(e.Body, false)
			if err != nil {
				t.Fatal(err)
			}
			for _, envelope := range [][]byte{m.body, archived} {
				got := "data " + gjson.GetBytes(envelope, "data").Raw
				if packed := gjson.GetBytes(envelope, "data_base64"); packed.Exists() {
					got = "data_base64 " + packed.Raw
				}
				if !utf8.Valid(envelope) || !verifiers.ValidJSON(envelope) || got != c.data {
					t.Errorf("%q", envelope)
				}
			}
		})
	}
}
