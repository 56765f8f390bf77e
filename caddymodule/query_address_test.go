package caddymodule

import (
	"net/http"
	"strings"
	"testing"

	"github.com/sluice-webhooks/sluice/verifiers"
)

// queryRig has sources whose payload is the query, and an application.
func queryRig(t *testing.T) (*adminRig, *application) {
	app := startApplication(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusGone)
		_ = r.Write(w) // an application that echoes what it was sent
	})
	site := "webhooks_dashboard /dash* {\n unprotected_ok\n}\n"
	for name, rules := range map[string]string{"red": "redact\n subject query:priv", "masked": "mask priv nested.deep\n subject query:priv", "open": ""} {
		site += "webhook /" + name + " none {\n name " + name + "\n unsigned_ok\n methods GET POST\n event_id query:id\n " + rules + "\n forward there\n}\n"
		site += "webhook /refused/" + name + " none {\n name refused-" + name + "\n token header:X-Room s\n methods GET POST\n " + rules + "\n}\n"
	}
	return startAdmin(t, "memory", "destination there {\n to "+app.URL+"\n dead_on 410\n}", site), app
}

func (rig *adminRig) getEvent(name, query string) string {
	rig.t.Helper()
	if resp, answer := rig.do(http.MethodGet, "/"+name+"?"+query, nil, ""); resp.StatusCode/100 != 2 {
		rig.t.Fatalf("%d %s", resp.StatusCode, answer)
	}
	rig.settledAll("there")
	return get[eventPage](rig, "/webhooks/events?source="+name).Events[0].ID.String()
}

// TestQueryIsHiddenAsAnyPayload has providers call by GET, and looks for what their sources hide wherever events and refused requests are shown.
func TestQueryIsHiddenAsAnyPayload(t *testing.T) {
	rig, _ := queryRig(t)
	const query = "id=7&priv=HUSH1&open=SHOWN&nested=%7B%22deep%22%3A%22HUSH2%22%7D"
	for name, shown := range map[string]string{"red": "?***", "masked": "?id=7&priv=***&open=SHOWN&nested=%7B%22deep%22%3A%22%2A%2A%2A%22%7D", "open": "?" + query} {
		own := rig.getEvent(name, query)
		if resp, _ := rig.do(http.MethodGet, "/refused/"+name+"?"+query, nil, ""); resp.StatusCode != http.StatusUnauthorized {
			t.Fatal(resp.Status)
		}
		var refused string
		eventually(t, "in the quarantine", func() bool {
			for _, r := range get[refusedPage](rig, "/webhooks/quarantine?source=refused-"+name).Requests {
				refused = r.ID
			}
			return refused != ""
		})
		if e := get[eventDetail](rig, "/webhooks/events/"+own); !strings.HasSuffix(e.URL, "/"+name+shown) {
			t.Errorf("%s: %s", name, e.URL)
		}
		if r := get[refusedDetail](rig, "/webhooks/quarantine/"+refused); !strings.HasSuffix(r.URL, "/"+name+shown) {
			t.Errorf("%s, refused: %s", name, r.URL)
		}
		places := rig.answers("events?source="+name, "events/"+own, "events/"+own+"/payload", "events/"+own+"/payload?format=normalised", "export?source="+name, "quarantine/"+refused)
		rig.pages(places, "events?source="+name, "events/"+own, "events/"+own+"/payload", "quarantine/"+refused)
		for _, command := range []string{"show " + own, "show " + own + " --payload", "events --source " + name} {
			o := rig.webhooks(strings.Fields(command)[0], strings.Fields(command)[1:]...)
			places[command] = o.stdout + o.stderr
		}
		seen := 0
		for place, text := range places {
			if strings.Contains(text, "HUSH") {
				seen++
				if name != "open" {
					t.Errorf("%s of %s shows what is hidden: %s", place, name, text)
				}
			}
		}
		if name == "open" && seen < 6 { // else the others prove nothing
			t.Errorf("the payload is in %d places", seen)
		}
	}
}

// TestAlteredQueryIsNotImported: a query that is the payload and is exported with masks, whatever they mask, is not taken for the payload again.
func TestAlteredQueryIsNotImported(t *testing.T) {
	rig, _ := queryRig(t)
	for _, event := range []struct{ name, query, state, address string }{
		{"open", "id=1&card_token=abc", payloadMasked, "?id=1&card_token=***"}, {"open", "id=2&a=b", "", "?id=2&a=b"},
		{"masked", "id=3&priv=x", payloadMasked, "?id=3&priv=***"}, {"red", "id=5&a=b", payloadHidden, "?***"},
	} {
		own := rig.getEvent(event.name, event.query)
		_, line, _ := rig.call(http.MethodGet, "/webhooks/export?id="+own, nil)
		a, _, err := parseArchived(line)
		if a.Payload != event.state || (err != nil) != (event.state != "") || !strings.HasSuffix(a.URL, event.address) || strings.Contains(string(line), `"data`) {
			t.Errorf("%s: %s %v", event.query, line, err)
		}
	}
}

func TestQueryOfPrivacy(t *testing.T) {
	for _, c := range []struct {
		p         privacy
		raw, want string // want is empty if nothing may be shown
		hit       bool
	}{
		{privacy{}, "a=1&b", "a=1&b", false},
		{privacy{}, "token=***&a=1", "token=***&a=1", false}, // taken out before it was stored
		{privacy{privacyRules: privacyRules{places: places{Queries: []string{"pwx"}}}}, "PwX=1&a=1", "PwX=***&a=1", true},
		{privacy{privacyRules: privacyRules{Mask: []string{"a"}}}, "%zz=1&a=1", "", false},
		{privacy{privacyRules: privacyRules{Redact: true}}, "a=1", "", false},
	} {
		body, hit, err := c.p.query(c.raw)
		address := c.p.address("http://h/x?"+c.raw, true)
		if (err != nil) != (c.want == "") || err == nil && (string(body) != c.want || hit != c.hit || address != "http://h/x?"+c.want) || err != nil && address != "http://h/x?***" {
			t.Errorf("%s: %s %v %v, %s", c.raw, body, hit, err, address)
		}
	}
	byGet := &privacy{privacyRules: privacyRules{Mask: []string{"a"}, places: places{ByGet: true}}}
	for text, want := range map[string]bool{"query:a": true, "query:b": false, "query": true, "url": true, "header:a": false} {
		expr, err := verifiers.ParseExpr(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := byGet.hides(expr, false, ofRequest); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

// TestResendOfAQuery delivers an event that came by GET with another payload: it is the query, as the first one was.
func TestResendOfAQuery(t *testing.T) {
	app := startApplication(t, nil)
	rig := startAdmin(t, "memory", "destination there {\n to "+app.URL+"/ce\n}\ndestination orig {\n to "+app.URL+"/orig\n}\ndestination jq {\n to "+app.URL+"/jq\n}",
		"webhook none {\n name open\n unsigned_ok\n methods GET POST\n event_id query:id\n forward there\n forward orig {\n format original\n }\n forward jq {\n format original\n transform jq \"{text: .text}\"\n }\n}")
	own := rig.getEvent("", "id=7&text=old")
	app.await(t, 3)
	if _, body, header := rig.call(http.MethodGet, "/webhooks/events/"+own+"/payload", nil); string(body) != "id=7&text=old" || header.Get("Webhook-Content-Type") != formType {
		t.Errorf("payload: %s %v", body, header)
	}
	for _, bad := range []string{`{"text":"new"}`, "<xml a='1'/>", "text=a b", "text", "a=1;b=2"} {
		resp, err := rig.client.Post("http://localhost/webhooks/events/"+own+"/resend", "", strings.NewReader(bad))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %s", bad, resp.Status)
		}
	}
	t.Setenv("VISUAL", "sed -i s/old/new/;s/id=7/id=8/")
	wantParts(t, "--edit", rig.good("replay", own, "--edit"), "13 bytes", "is event wh_") // an editor that ends the line is one that others have
	for _, r := range app.await(t, 6)[3:] {
		switch path, query, _ := strings.Cut(r.path, "?"); path {
		case "/orig":
			if query != "id=8&text=new" || len(r.body) != 0 {
				t.Errorf("original: %s %s", r.path, r.body)
			}
		case "/jq":
			if string(r.body) != `{"text":"new"}` {
				t.Errorf("transformed: %s", r.body)
			}
		case "/ce":
			if !strings.Contains(string(r.body), `"datacontenttype":"`+formType) {
				t.Errorf("event: %s", r.body)
			}
		}
	}
	eventually(t, "copy", func() bool { return get[eventPage](rig, "/webhooks/events").Events[0].EventID == "8" })
}

func TestEditedQuery(t *testing.T) {
	if query, err := editedQuery([]byte("a=1&b=%20\r\n")); err != nil || string(query) != "a=1&b=%20" {
		t.Errorf("%s %v", query, err)
	}
	if _, err := editedQuery([]byte("a=" + strings.Repeat("x", http.DefaultMaxHeaderBytes))); err == nil {
		t.Error("a query without a bound")
	}
}
