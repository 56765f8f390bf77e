package examples_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestMonitoring(t *testing.T) {
	t.Setenv("STRIPE_SECRET", "whsec_1")
	t.Setenv("OTEL_TRACES_EXPORTER", "none")
	app, pager, gateway, prometheus := startApplication(t), startApplication(t), freeAddress(t), freeAddress(t)
	run(t, "monitoring/Caddyfile", "http://127.0.0.1:9000", app.URL, "http://127.0.0.1:9001", pager.URL,
		"http://localhost:8080", "http://"+gateway, ":9180", "http://"+prometheus)
	expect(t, "event", send(t, "stripe", "whsec_1", "http://"+gateway+"/stripe", "invoice.paid", nil), 200)
	app.await(t, 1)
	resp, err := http.Get("http://" + prometheus + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`caddy_webhooks_requests_total{provider="stripe",result="accepted",source="stripe"}`, `caddy_webhooks_pending{destination="billing"}`,
		`caddy_webhooks_pending{destination="pager"}`, "caddy_http_requests_total",
	} {
		if !strings.Contains(string(raw), want) {
			t.Errorf("no %s", want)
		}
	}
	pager.none(t, 0)
}
