package caddymodule

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/verifiers"
)

func TestPathsMeet(t *testing.T) {
	for _, test := range []struct {
		mask, path string
		want       bool
	}{
		{"a.b", "a.b", true}, {"a", "a.b", true}, {"a.b.c", "a.b", true}, {"a.b", "a.c", false}, {"a.b", "a", true}, {"ab", "a", false},
		{"a.*.c", "a.b.c", true}, {"a.*.c", "a.b.d", false}, {"*", "x", true}, {"#", "0", true}, {"items.price", "items.0.price", true}, {"items.price", "items.#.price", true},
		{"items.#.price", "items.price", true}, {"items.0.price", "items.price", true}, {"items.price", "items.0.name", false}, {"items.price", "items.#(x==1).y", true},
		{"a.b", "a.@this", true}, {"a.b", "c.@this", false}, {"b", "a*", false}, {"ab", "a*", true}, {`a\.b`, `a\.b`, true}, {`a\.b`, "a.b", false}, {"a.b", "@this", true}, {"a", "{x}", true},
	} {
		if got := pathsMeet(splitPath(test.mask), splitPath(test.path)); got != test.want && !(got && strings.ContainsAny(test.path, "*?")) {
			t.Errorf("mask %s, path %s: %v", test.mask, test.path, got)
		}
	}
}

func TestPrivacyHidesExpressions(t *testing.T) {
	masks, redacts, open := &privacy{privacyRules: privacyRules{Mask: []string{"data.email"}}}, &privacy{privacyRules: privacyRules{Redact: true}}, new(privacy)
	for text, want := range map[string][2]bool{ // masked, redacted
		"json:data.email": {true, true}, "json:data.email>sha256": {true, true}, "json:id || json:data": {true, true}, "json:id": {false, true}, "header:X-Id": {false, false},
		"form:data.email": {true, true}, "form:x": {false, true}, "form:data>json:email": {true, true}, "form:data>json:id": {false, true}, "form:data": {true, true},
		"form:payload>json:data.email": {true, true}, "form:payload>json:data.id>lower": {false, true}, "form:data>json:#(a>1).id": {true, true}, "form:data[email]": {false, true}, "raw>xml:a": {true, true}, "body": {false, false}, "literal:x json:data.email": {true, true}, "url": {false, false},
	} {
		expr, err := verifiers.ParseExpr(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := [2]bool{masks.hides(expr, true, ofRequest), redacts.hides(expr, true, ofRequest)}; got != want || open.hides(expr, true, ofRequest) || redacts.hides(expr, false, ofRequest) {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
	spec := &verifiers.Spec{MessageID: "json:data.email"}
	if !masks.hidesText("id", spec, false, ofRequest) || masks.hidesText("id", new(verifiers.Spec), false, ofRequest) || !masks.hidesText("json:", spec, false, ofRequest) || open.hidesText("json:", spec, true, ofRequest) {
		t.Error("the message's id, or an expression that cannot be read")
	}
}

const (
	hiddenID, hiddenType, hiddenSubject, hiddenOrder = "evt_HUSH1", "HUSH2.paid", "HUSH3", "HUSH4"
	hiddenTime                                       = 1700000007
)

// sendHidden brings an event whose fields and payload must not be seen.
func (rig *adminRig) sendHidden(path string) {
	rig.t.Helper()
	body := fmt.Sprintf(`{"id":%q,"type":%q,"created":%d,"data":{"object":{"id":%q,"customer":%q}}}`, hiddenID, hiddenType, hiddenTime, hiddenSubject, hiddenOrder)
	header := signedRequest(rig.t, provider(rig.t, "stripe"), testSecret, "http://x/", body, time.Now()).Header
	if resp, answer := rig.do(http.MethodPost, path, header, body); resp.StatusCode != http.StatusOK {
		rig.t.Fatalf("%d %s", resp.StatusCode, answer)
	}
}

// everywhere collects what is shown of all events.
func (rig *adminRig) everywhere(own string) map[string]string {
	rig.t.Helper()
	out := rig.onPages(own)
	for _, command := range []string{"events", "show " + own, "show " + own + " --payload", "show " + own + " --normalised", "dead", "export"} {
		words := strings.Fields(command)
		o := rig.webhooks(words[0], words[1:]...)
		out["command "+command] = o.stdout + o.stderr
	}
	return out
}

// onPages collects what the API and the dashboard show of all events.
func (rig *adminRig) onPages(own string) map[string]string {
	rig.t.Helper()
	out := rig.answers("events", "events?state=dead", "events/"+own, "events/"+own+"/payload", "events/"+own+"/payload?format=normalised", "requests", "export", "sources", "destinations", "dead", "status", "audit")
	rig.pages(out, "", "events", "events/"+own, "events/"+own+"/payload", "events/"+own+"/payload?format=normalised", "requests", "dead", "replay?state=dead")
	return out
}

// answers collects what the API says.
func (rig *adminRig) answers(paths ...string) map[string]string {
	rig.t.Helper()
	out := map[string]string{}
	for _, path := range paths {
		if status, body, _ := rig.call(http.MethodGet, "/webhooks/"+path, nil); status == http.StatusOK {
			out[path] = string(body)
		}
	}
	return out
}

// pages adds what the dashboard shows.
func (rig *adminRig) pages(to map[string]string, paths ...string) {
	rig.t.Helper()
	for _, path := range paths {
		if resp, body := rig.do(http.MethodGet, "/dash/"+path, nil, ""); resp.StatusCode == http.StatusOK {
			to["page /"+path] = body
		}
	}
}

// TestDerivedFieldsAreHidden masks the paths that an event's fields are read from, and looks for the values wherever events are shown.
func TestDerivedFieldsAreHidden(t *testing.T) {
	source := func(rules string) string {
		return "webhooks_dashboard /dash* {\n unprotected_ok\n}\nwebhook /hooks stripe {\n secret " + testSecret + "\n " + rules + "\n forward there {\n order by json:data.object.customer\n }\n}"
	}
	app := startApplication(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) })
	options := "destination there {\n to " + app.URL + "\n dead_on 410\n}"
	for name, test := range map[string]struct {
		rules  string
		hidden []string
	}{
		"each":     {"mask id type created data.object.id data.object.customer", []string{hiddenID, hiddenType, hiddenSubject, hiddenOrder, "2023-11-14", fmt.Sprint(hiddenTime)}},
		"above":    {"mask data", []string{hiddenSubject, hiddenOrder}},
		"any":      {"mask *", []string{hiddenID, hiddenType, hiddenSubject, hiddenOrder, "2023-11-14"}},
		"redacted": {"redact", []string{hiddenSubject, hiddenOrder}},
		"open":     {"", nil},
	} {
		t.Run(name, func(t *testing.T) {
			rig := startAdmin(t, "memory", options, source(test.rules))
			tail := rig.openTail()
			rig.sendHidden("/hooks")
			var own string
			eventually(t, "dead", func() bool {
				page := get[eventPage](rig, "/webhooks/events")
				if len(page.Events) == 1 {
					own = page.Events[0].ID.String()
				}
				return len(page.Events) == 1 && page.Events[0].Deliveries[0].State == queue.StateDead
			})
			shown := rig.everywhere(own)
			shown["tail"] = readUntil(t, tail, `"kind":"delivery"`)
			if len(shown) < 18 {
				t.Errorf("only %d places", len(shown))
			}
			for place, text := range shown {
				for _, value := range test.hidden {
					if strings.Contains(text, value) {
						t.Errorf("%s shows %s: %s", place, value, text)
					}
				}
			}
			if test.hidden == nil {
				for value, least := range map[string]int{hiddenID: 13, hiddenType: 13, hiddenSubject: 9, hiddenOrder: 5} {
					places := 0
					for _, text := range shown {
						if strings.Contains(text, value) {
							places++
						}
					}
					if places < least || !strings.Contains(shown["events"], value) { // else the others prove nothing
						t.Errorf("%s is in %d places only", value, places)
					}
				}
				return
			}
			if strings.Contains(test.rules, "mask id") && (!strings.Contains(shown["events"], `"event_id":"***"`) || !strings.Contains(shown["export"], `"payloadstate":"masked"`)) {
				t.Errorf("events: %s\nexport: %s", shown["events"], shown["export"])
			}
			for _, filter := range []string{"id=" + hiddenID, "type=" + hiddenType} { // who knows a value finds it
				if page := get[eventPage](rig, "/webhooks/events?"+filter); len(page.Events) != 1 || page.Events[0].ID.String() != own {
					t.Errorf("%s finds %+v", filter, page.Events)
				}
			}
			// a source that left the configuration hides what it hid
			rig.reload(options, "webhooks_dashboard /dash* {\n unprotected_ok\n}\nwebhook github {\n secret x\n}")
			for place, text := range rig.everywhere(own) {
				for _, value := range test.hidden {
					if strings.Contains(text, value) {
						t.Errorf("without the source, %s shows %s: %s", place, value, text)
					}
				}
			}
		})
	}
}

// TestDerivedFieldsOfUnknown: of a source of which nothing is known, no subject and no order key is shown; while its rules cannot be read, nothing is.
func TestDerivedFieldsOfUnknown(t *testing.T) {
	app := &App{sources: map[string]*Handler{}}
	e := &queue.Event{ID: 7, Source: "gone", Provider: "stripe", EventID: "evt_1", Type: "t", Subject: "s", Time: time.Unix(1, 0)}
	if got := app.shown(e); got.ID != 7 || got.EventID != maskText || got.Type != maskText || got.Subject != maskText || !got.Time.IsZero() || e.Subject != "s" {
		t.Errorf("%+v", got)
	}
	if _, kept := app.hidden.Load(derivedKey{"gone", "stripe"}); kept {
		t.Error("what could not be read is kept")
	}
	alert := &queue.Event{Source: alertSource, Subject: "stripe"}
	if app.shown(alert) != alert {
		t.Error("alerts are hidden")
	}
}

// TestMaskOfWhatCameBefore adds a mask to a source: what came before it is hidden too, wherever it is remembered.
func TestMaskOfWhatCameBefore(t *testing.T) {
	source := func(rules string) string {
		return "webhooks_dashboard /dash* {\n unprotected_ok\n}\nwebhook /hooks stripe {\n secret " + testSecret + "\n " + rules + "\n}"
	}
	const options = "destination there {\n to http://127.0.0.1:9\n}"
	rig := startAdmin(t, "memory", options, source(""))
	rig.sendHidden("/hooks")
	own := get[eventPage](rig, "/webhooks/events").Events[0].ID.String()
	requests := func() string { return fmt.Sprint(rig.onPages(own)) }
	if shown := requests(); !strings.Contains(shown, hiddenID) || !strings.Contains(shown, hiddenType) {
		t.Fatal("nothing is shown that could be hidden")
	}
	if resp, err := rig.client.Head("http://localhost/webhooks/tail?source=stripe&type=HUSH*"); err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("tail of a type: %v %v", resp, err)
	}
	rig.reload(options, source("mask id type"))
	if shown := requests(); strings.Contains(shown, hiddenID) || strings.Contains(shown, hiddenType) {
		t.Errorf("%s", shown)
	}
	if r := get[requestPage](rig, "/webhooks/requests").Requests; len(r) != 1 || r[0].EventID != maskText || r[0].Type != maskText {
		t.Errorf("%+v", r)
	}
	if v := postJSON[resendView](rig, "/webhooks/events/"+own+"/resend?dry_run=true&to=there", json.RawMessage(`{"id":"evt_HUSH1","type":"HUSH2.paid"}`)); v.Type != maskText {
		t.Errorf("%+v", v)
	}
	rig.refused(http.MethodGet, "/webhooks/tail?source=stripe&type=HUSH*", nil, http.StatusBadRequest, "bad_request")
}

// openTail begins to follow what happens.
func (rig *adminRig) openTail() *bufio.Scanner {
	rig.t.Helper()
	resp, err := rig.client.Get("http://localhost/webhooks/tail")
	if err != nil {
		rig.t.Fatal(err)
	}
	rig.t.Cleanup(func() { resp.Body.Close() })
	lines := bufio.NewScanner(resp.Body)
	lines.Scan() // the comment that says that the subscription stands
	return lines
}

// readUntil reads lines up to one that has a text in it.
func readUntil(t *testing.T, lines *bufio.Scanner, text string) string {
	t.Helper()
	var all strings.Builder
	for lines.Scan() {
		all.WriteString(lines.Text() + "\n")
		if strings.Contains(lines.Text(), text) {
			return all.String()
		}
	}
	t.Fatalf("no %s in %s", text, all.String())
	return ""
}
