package caddymodule

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/sluice-webhooks/sluice/queue"
)

// TestFailuresBeforeTheApplication checks that an event that cannot be sent stops nothing for the others: the breaker opens with the first failure that counts.
func TestFailuresBeforeTheApplication(t *testing.T) {
	api := startApplication(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/bad") {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		_, _ = w.Write([]byte(`{}`))
	})
	for name, c := range map[string]struct {
		destination, forward, bad string
		class                     string
		state                     queue.State
	}{
		"header": {"header X-Type {webhook.type}", "", `{"id":"1","type":"a\nb"}`, "header", queue.StateDead},
		"host":   {"header Host {webhook.type}", "", `{"id":"1","type":"a\nb"}`, "header", queue.StateDead},
		"proxy":  {"proxy {\n header_up X-Type {webhook.type}\n}", "", `{"id":"1","type":"a\nb"}`, "header", queue.StateDead},
		"jq":     {"timeout 900ms", "{\n transform jq `if .type == \"slow\" then def f: f; f else . end`\n}", `{"id":"1","type":"slow"}`, "transform", queue.StatePending},
		"enrich": {"", "{\n enrich " + api.URL + "/{json.type}\n}", `{"id":"1","type":"bad"}`, "enrich", queue.StatePending},
	} {
		t.Run(name, func(t *testing.T) {
			app := startApplication(t, nil)
			options := fmt.Sprintf("destination d {\n to %s\n breaker 1 1h\n retry exponential 1h 1h for 72h\n %s\n}", app.URL, c.destination)
			g := startGateway(t, options, "webhook none {\n unsigned_ok\n event_id json:id\n event_type json:type\n forward d "+c.forward+"\n}")
			send := func(body string) {
				if resp, answer := g.do(http.MethodPost, "/", http.Header{"Content-Type": {"application/json"}}, body); resp.StatusCode != http.StatusOK {
					t.Fatalf("%d %s", resp.StatusCode, answer)
				}
			}
			send(c.bad)
			d, attempts := onlyDelivery(t, "d", func(d queue.Delivery) bool { return d.Attempts == 1 && d.State != queue.StateDelivering })
			if d.State != c.state || len(attempts) != 1 || attempts[0].Class != c.class || strings.Contains(attempts[0].Error, "a\nb") {
				t.Errorf("%+v %+v", d, attempts)
			}
			send(`{"id":"2","type":"good"}`)
			if got := app.await(t, 1); !strings.Contains(string(got[0].body), `"id":"2"`) {
				t.Errorf("the application got %s", got[0].body)
			}
		})
	}
}
