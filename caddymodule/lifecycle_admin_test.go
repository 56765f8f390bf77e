package caddymodule

import (
	"net"
	"net/http"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// TestAdminAfterFailedReload asks the API, whose router was made for the configuration that failed: it answers for the one that runs.
func TestAdminAfterFailedReload(t *testing.T) {
	app := startApplication(t, nil)
	options, site := "destination good {\n to "+app.URL+"\n}", "webhook stripe {\n secret "+testSecret+"\n forward good\n}"
	rig := startAdmin(t, "badger", options, site)
	rig.send("/", "evt_1", "invoice.paid", "")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for name, broken := range map[string]string{
		"provisioning fails":         rig.config("destination good {\n to "+app.URL+"\n sign standard {env.SLUICE_TEST_NOT_SET}\n}", site),
		"another app fails to start": rig.config(options, site) + "\nhttp://" + taken.Addr().String() + " {\n respond hello\n}\n",
	} {
		config, err := adapt(broken)
		if err != nil {
			t.Fatal(err)
		}
		if err := caddy.Load(config, true); err == nil {
			t.Fatalf("%s: loading succeeded", name)
		}
		if v := get[statusView](rig, "/webhooks/status"); v.Totals.Accepted != 1 || len(v.Destinations) != 1 {
			t.Errorf("%s: %+v", name, v.Totals)
		}
		for _, verb := range []string{"pause", "resume"} {
			if status, body, _ := rig.call(http.MethodPost, "/webhooks/destinations/good/"+verb, nil); status != http.StatusOK {
				t.Errorf("%s: %s: %d %s", name, verb, status, body)
			}
		}
	}
	rig.send("/", "evt_2", "invoice.paid", "")
	app.await(t, 2)
}

// TestMetricsAfterReload scrapes the registry that each configuration has of its own: counters go on.
func TestMetricsAfterReload(t *testing.T) {
	app := startApplication(t, nil)
	options, site := "destination reloaded {\n to "+app.URL+"\n}", "webhook stripe {\n name reloaded\n secret "+testSecret+"\n forward reloaded\n}"
	rig := startAdmin(t, "badger", options, site)
	const series = `caddy_webhooks_requests_total{provider="stripe",result="accepted",source="reloaded"}`
	before := scrape(t, rig)["caddy_webhooks_requests_total"].values[series] // the counters are the process's
	for i, id := range []string{"evt_1", "evt_2", "evt_3"} {
		rig.send("/", id, "invoice.paid", "")
		if got := scrape(t, rig)["caddy_webhooks_requests_total"].values[series]; got != before+float64(i+1) {
			t.Errorf("after %d events and reloads: %v", i+1, got)
		}
		rig.reload(options+"\nalert a"+id+" {\n on dead\n to reloaded\n}", site)
	}
}
