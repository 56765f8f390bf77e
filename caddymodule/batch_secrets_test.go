package caddymodule

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"github.com/sluice-webhooks/sluice/queue"
)

const hiddenState = "gHUSHstate"

// notifications is a batch of Microsoft Graph.
func notifications(states ...string) string {
	var out []string
	for i, state := range states {
		out = append(out, fmt.Sprintf(`{"id":"n%d","subscriptionId":"sub","changeType":"updated","resource":"me/messages","clientState":%q,"resourceData":{"mail":"HUSHmail"}}`, i, state))
	}
	return `{"value":[` + strings.Join(out, ",") + `]}`
}

// TestSecretsInBatches stores batches whose elements carry the secret, split and whole, and looks for it and for what is masked, under each configuration that may follow.
func TestSecretsInBatches(t *testing.T) {
	app := startApplication(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusGone) })
	options := "destination there {\n to " + app.URL + "\n dead_on 410\n}"
	const dashboard = "webhooks_dashboard /dash* {\n unprotected_ok\n}\n"
	source := func(rules string) string {
		return dashboard + "webhook /hooks microsoft_graph {\n name hooks\n secret " + hiddenState + "\n " + rules + "\n forward there\n}"
	}
	for _, rules := range []string{"", "mask value.#.resourceData", "mask resourceData", "split off", "split off\nmask value.#.resourceData", "split off\nmask resourceData", "redact"} {
		t.Run(rules, func(t *testing.T) {
			hidden := []string{hiddenState}
			if strings.Contains(rules, "mask") || rules == "redact" {
				hidden = append(hidden, "HUSHmail")
			}
			rig := startAdmin(t, "memory", options, source(rules))
			tail := rig.openTail()
			contentType := http.Header{"Content-Type": {"application/json"}}
			if resp, body := rig.do(http.MethodPost, "/hooks", contentType, notifications(hiddenState)); resp.StatusCode != http.StatusAccepted {
				t.Fatalf("%d %s", resp.StatusCode, body)
			}
			if resp, _ := rig.do(http.MethodPost, "/hooks", contentType, notifications(hiddenState, "wrong")); resp.StatusCode != http.StatusUnauthorized {
				t.Fatal(resp.Status)
			}
			var own, refused string
			eventually(t, "dead, and refused", func() bool {
				events, kept := get[eventPage](rig, "/webhooks/events").Events, get[refusedPage](rig, "/webhooks/quarantine").Requests
				if len(events) != 1 || len(kept) != 1 {
					return false
				}
				own, refused = events[0].ID.String(), kept[0].ID
				return events[0].Deliveries[0].State == queue.StateDead
			})
			look := func(when string, shown map[string]string) {
				for place, text := range shown {
					for _, value := range hidden {
						if strings.Contains(text, value) {
							t.Errorf("%s, %s shows %s", when, place, value)
						}
					}
				}
			}
			after := func(when, site string) {
				rig.reload(options, site)
				look(when, rig.answers("events", "events/"+own, "events/"+own+"/payload", "events/"+own+"/payload?format=normalised", "export", "quarantine/"+refused, "quarantine/"+refused+"/payload"))
			}
			commands := rules == "" || rules == "redact" // they take their time, and ask the API
			shown := rig.onPages(own)
			if commands {
				shown = rig.everywhere(own)
			}
			rig.quarantined(shown, refused, commands)
			shown["tail"] = readUntil(t, tail, `"kind":"delivery"`)
			look("as configured", shown)
			wantShown(t, shown, rules != "redact", own, refused)
			others := strings.ReplaceAll(rules, "split off", "")
			after("split on", source(others))
			after("split off", source("split off\n"+others))
			after("another provider", dashboard+"webhook /hooks github {\n name hooks\n secret x\n "+others+"\n}")
			after("as before", source(rules))
			after("without the source", dashboard+"webhook github {\n secret x\n}")
		})
	}
}

// quarantined adds what is shown of a refused request.
func (rig *adminRig) quarantined(to map[string]string, id string, commands bool) {
	rig.t.Helper()
	paths := []string{"quarantine", "quarantine/" + id, "quarantine/" + id + "/payload"}
	maps.Copy(to, rig.answers(paths...))
	rig.pages(to, paths...)
	if !commands {
		return
	}
	for _, args := range [][]string{{"list"}, {"show", id}, {"show", id, "--raw"}} {
		o := rig.webhooks("quarantine", args...)
		to["command quarantine "+strings.Join(args, " ")] = o.stdout + o.stderr
	}
}

// wantShown expects what is no secret of a notification, so that the search for what is one proves something.
func wantShown(t *testing.T, shown map[string]string, payloads bool, own, refused string) {
	t.Helper()
	places := map[string][]string{
		"events": {`"type":"updated"`}, "events/" + own: {`"type":"updated"`}, "page /events/" + own: {"updated"}, "command show " + own: {"updated"},
		"export": {`"type":"updated"`, `"payloadstate":"hidden"`}, "tail": {`"type":"updated"`}, "quarantine": {`"provider":"microsoft_graph"`},
	}
	if payloads {
		for _, place := range []string{"events", "events/" + own, "page /events/" + own, "command show " + own, "command show " + own + " --payload"} {
			places[place] = append(places[place], "me/messages")
		}
		masked := []string{`"clientState":"***"`, `"resource":"me/messages"`}
		places["export"] = append([]string{`"payloadstate":"masked"`}, masked...)
		for _, place := range []string{"events/" + own + "/payload", "events/" + own + "/payload?format=normalised", "quarantine/" + refused + "/payload", "command quarantine show " + refused + " --raw"} {
			places[place] = masked
		}
		places["page /events/"+own+"/payload"], places["page /quarantine/"+refused+"/payload"] = []string{"clientState"}, []string{"clientState"}
	}
	for place, parts := range places {
		if strings.HasPrefix(place, "command ") && shown["command events"] == "" {
			continue
		}
		if slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(strings.ReplaceAll(shown[place], `": `, `":`), part) }) {
			t.Errorf("%s has not %v: %s", place, parts, shown[place])
		}
	}
}

// TestBatchesOfFormerSources hides what a source hid whose provider is another one by now, and what one hid that is gone with the provider that it described itself.
func TestBatchesOfFormerSources(t *testing.T) {
	rig := startAdmin(t, "memory", "", "webhook /hooks microsoft_graph {\n name hooks\n secret "+hiddenState+"\n mask value.#.changeType value.#.resourceData\n}\n"+
		"webhook /own token {\n name own\n secret HUSHkey\n json list.#.key\n elements list\n split on\n event_type json:kind\n mask list\n}")
	contentType := http.Header{"Content-Type": {"application/json"}}
	for path, body := range map[string]string{"/hooks": notifications(hiddenState), "/own": `{"list":[{"kind":"HUSHkind","key":"HUSHkey"}],"more":"seen"}`} {
		if resp, answer := rig.do(http.MethodPost, path, contentType, body); resp.StatusCode/100 != 2 {
			t.Fatalf("%s: %d %s", path, resp.StatusCode, answer)
		}
	}
	if resp, _ := rig.do(http.MethodPost, "/own", contentType, `{"list":[{"key":"wrong HUSH"}],"more":"seen"}`); resp.StatusCode != http.StatusUnauthorized {
		t.Fatal(resp.Status)
	}
	eventually(t, "refused request is kept", func() bool { return len(get[refusedPage](rig, "/webhooks/quarantine").Requests) == 1 })
	refused := "quarantine/" + get[refusedPage](rig, "/webhooks/quarantine").Requests[0].ID + "/payload"
	look := func(when string) {
		paths := []string{"events", "export", "requests", refused}
		for _, e := range get[eventPage](rig, "/webhooks/events").Events {
			paths = append(paths, "events/"+e.ID.String(), "events/"+e.ID.String()+"/payload")
		}
		shown := rig.answers(paths...)
		for place, text := range shown {
			for _, value := range []string{"HUSH", "updated"} {
				if strings.Contains(text, value) {
					t.Errorf("%s, %s shows %s: %s", when, place, value, text)
				}
			}
		}
		if len(shown) < 8 || shown[refused] != `{"list":"***","more":"seen"}` || !strings.Contains(shown["events"], "me/messages") {
			t.Errorf("%s: %d places, %s, %s", when, len(shown), shown[refused], shown["events"])
		}
	}
	look("as configured")
	rig.reload("", "webhook /hooks github {\n name hooks\n secret x\n mask value.#.changeType value.#.resourceData\n}")
	header := signedRequest(t, provider(t, "github"), "x", "http://x/", `{"a":1}`, time.Now()).Header
	header.Set("X-Github-Delivery", "d1")
	header.Set("X-Github-Event", "push")
	if resp, answer := rig.do(http.MethodPost, "/hooks", header, `{"a":1}`); resp.StatusCode/100 != 2 {
		t.Fatalf("%d %s", resp.StatusCode, answer)
	}
	look("with another provider")
	if payload := rig.answers("export?type=push")["export?type=push"]; gjson.Get(payload, "data").Raw != `{"a":1}` || gjson.Get(payload, "payloadstate").Exists() {
		t.Errorf("of the new provider: %s", payload)
	}
}
