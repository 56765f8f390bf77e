package caddymodule

import (
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/sluice-webhooks/sluice/queue"
)

// TestSecretsStayHiddenInFormerPlaces takes away and moves what carries secrets, which are live still: what came before, and what somebody sends as before, does not show them.
func TestSecretsStayHiddenInFormerPlaces(t *testing.T) {
	const before = "webhook /moved token {\n name moved\n header X-My-Pass\n secret HUSH1\n}\n webhook /gone token {\n name gone\n query pwx\n secret HUSH2\n}\n" +
		"webhook /room none {\n name room\n token header:X-Room HUSH3\n}\n webhook /own acme {\n name own\n secret HUSH4\n}\n webhook /body token {\n name body\n json pass\n secret HUSH5\n}\n" +
		"webhook /query none {\n name query\n token query:who HUSH6\n}\n"
	const after = "webhook /moved token {\n name moved\n header %s\n secret HUSH1\n}\n webhook /room none {\n name room\n token header:X-Else HUSH3\n}\n" +
		"webhook /own token {\n name own\n header X-New\n secret HUSH4\n}\n webhook /body token {\n name body\n json word\n secret HUSH5\n}\n webhook /query none {\n name query\n token query:whose HUSH6\n}\n"
	rig := startAdmin(t, "badger", "provider acme {\n scheme token\n header X-Acme\n}", before)
	send := func(path string, status int, header http.Header, body string) {
		t.Helper()
		if resp, answer := rig.do(http.MethodPost, path, header, body); resp.StatusCode != status {
			t.Errorf("%s: %d %s", path, resp.StatusCode, answer)
		}
	}
	all := func(status int) {
		t.Helper()
		for path, header := range map[string]http.Header{
			"/moved": {"X-My-Pass": {"HUSH1"}}, "/room": {"X-Room": {"HUSH3"}}, "/own": {"X-Acme": {"HUSH4"}}, "/query?who=HUSH6": nil,
		} {
			send(path, status, header, `{"shown":1}`)
		}
		send("/body", status, http.Header{"Content-Type": {"application/json"}}, `{"pass":"HUSH5","shown":1}`)
	}
	needles := map[string][]string{"the place before": {"HUSH"}}
	all(http.StatusOK)
	send("/gone?pwx=HUSH2", http.StatusOK, nil, `{"shown":1}`)
	rig.lookFor(needles)
	for i, header := range []string{"X-Other", "X-Third"} {
		rig.reload("", fmt.Sprintf(after, header))
		all(http.StatusUnauthorized)
		eventually(t, "refused requests are kept", func() bool { return len(get[refusedPage](rig, "/webhooks/quarantine").Requests) == 5*(i+1) })
		rig.lookFor(needles)
	}
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	rig.reload("", fmt.Sprintf(after, "X-Third"))
	rig.lookFor(needles)
	if events := get[eventPage](rig, "/webhooks/events").Events; len(events) != 6 {
		t.Errorf("%d events", len(events))
	}
}

// TestFormerPlacesAreBounded: what a source has now always counts, and of what it had the newest.
func TestFormerPlacesAreBounded(t *testing.T) {
	p := new(privacy)
	for i := range maxFormerPlaces + 10 {
		before := p.places
		p = new(privacy)
		p.addHeaders([]string{"X-Same", fmt.Sprintf("X-Pass-%d", i)})
		p.addMasks("form", "a")
		p.Elements = [][]string{{"value", "#"}}
		p.remember(&before)
	}
	if n := len(p.Headers); n != maxFormerPlaces+2 || slices.Contains(p.Headers, "X-Pass-8") || !slices.Contains(p.Headers, "X-Pass-9") || !slices.Contains(p.Headers, "X-Same") {
		t.Errorf("%d: %v", n, p.Headers)
	}
	before := p.places
	p.remember(&before)
	if !reflect.DeepEqual(before, p.places) || len(p.Elements) != 1 || len(p.Mask) != 1 {
		t.Errorf("%+v", p)
	}
}

// TestAlertsAreExportedWhole: nobody has configured the source of alerts, and there is nothing to hide in them. They can be imported again.
func TestAlertsAreExportedWhole(t *testing.T) {
	_, options := there(t)
	rig := startAdmin(t, "memory", options, "respond nothing")
	message := queue.Event{
		Source: alertSource, Provider: alertProvider, ReceivedAt: now(), EventID: "page/dead/1", Type: "alert.firing", Subject: "payments", Method: http.MethodPost, URL: "sluice:alerts",
		Header: http.Header{"Content-Type": {"application/json"}}, Body: []byte(`{"kind":"dead"}`), SecretIndex: -1,
	}
	alert := queue.NewEvent{Event: message, DedupKey: message.EventID, DedupWindow: alertWindow, Deliveries: []queue.NewDelivery{{Destination: "there"}}}
	if _, err := runningStore(t).Enqueue(t.Context(), []queue.NewEvent{alert}); err != nil {
		t.Fatal(err)
	}
	rig.settledAll("there")
	exported := exportOf(t, rig, "")
	if exported.stderr != "Exported 1 events.\n" || !strings.Contains(exported.stdout, `"data":{"kind":"dead"}`) {
		t.Errorf("%+v", exported)
	}
	if view := importLines(rig, "", exported.stdout); view.Duplicates != 1 || view.Refused != 0 {
		t.Errorf("%+v", view)
	}
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	rig.reload(options, "respond nothing")
	if view := importLines(rig, "deliver=all", exported.stdout); view.Stored != 1 || view.Refused != 0 {
		t.Errorf("%+v", view)
	}
	if e := stored(t)[alertSource+" page/dead/1"]; e == nil || e.Provider != alertProvider || e.Subject != "payments" || string(e.Body) != `{"kind":"dead"}` {
		t.Errorf("%+v", e)
	}
	if view := importLines(rig, "source="+alertSource, exported.stdout); view.Refused != 1 {
		t.Errorf("other events as alerts: %+v", view)
	}
}
