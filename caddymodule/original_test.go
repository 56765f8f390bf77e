package caddymodule

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/verifiers"
)

// TestQueryIsForwarded sends by GET, as some providers do: everything that the event says is in the query.
func TestQueryIsForwarded(t *testing.T) {
	type arrived struct{ method, query string }
	got := make(chan arrived, 8)
	app := startApplication(t, func(_ http.ResponseWriter, r *http.Request) { got <- arrived{method: r.Method, query: r.URL.RawQuery} })
	g := startGateway(t, "", `webhook messagebird_legacy {
		secret provider_secret
		forward `+app.URL+`/signed?tenant=7&reference=own {
			sign provider application_secret
		}
		forward `+app.URL+`/structured {
			when "event.data.status == 'delivered'"
		}
		forward `+app.URL+`/transformed {
			format original
			transform jq "{text: .recipient}"
		}
		forward `+app.URL+`/filtered {
			when "event.data.status == 'failed'"
		}
	}`)
	const query = "id=m1&recipient=31612345678&reference=theirs&status=delivered&statusDatetime=2026-05-01T12%3A00%3A00Z"
	r := &verifiers.Request{Method: http.MethodGet, URL: &url.URL{Scheme: "http", Host: g.addr, Path: "/", RawQuery: query}, Header: http.Header{}, At: time.Now()}
	scheme := provider(t, "messagebird_legacy")
	if err := scheme.Sign(r, verifiers.NewSecret([]byte("provider_secret")), "", r.At); err != nil {
		t.Fatal(err)
	}
	if resp, body := g.do(http.MethodGet, "/?"+query, r.Header, ""); resp.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	for _, request := range app.await(t, 3) {
		a := <-got
		path, rest, _ := strings.Cut(request.path, "?")
		switch path {
		case "/signed":
			const want = "tenant=7&reference=own&id=m1&recipient=31612345678&status=delivered&statusDatetime=2026-05-01T12%3A00%3A00Z"
			if rest != want || len(request.body) != 0 {
				t.Errorf("query %q, body %q", rest, request.body)
			}
			u, err := url.Parse(app.URL + request.path)
			if err != nil {
				t.Fatal(err)
			}
			signed := &verifiers.Request{Method: http.MethodGet, URL: u, Header: request.header, At: request.at}
			if _, err := scheme.Verify(t.Context(), signed, []verifiers.Secret{verifiers.NewSecret([]byte("application_secret"))}); err != nil {
				t.Errorf("signed request does not verify: %v", err)
			}
		case "/structured":
			var ce struct {
				ContentType string `json:"datacontenttype"`
				Data        string `json:"data_base64"`
			}
			if err := json.Unmarshal(request.body, &ce); err != nil {
				t.Fatal(err)
			}
			if data, err := base64.StdEncoding.DecodeString(ce.Data); err != nil || string(data) != query || ce.ContentType != formType {
				t.Errorf("data %q of %s: %v", data, ce.ContentType, err)
			}
		case "/transformed":
			if string(request.body) != `{"text":"31612345678"}` || rest != "" {
				t.Errorf("query %q, body %q", rest, request.body)
			}
		default:
			t.Errorf("unexpected request for %s", request.path)
		}
		if wantGet := a.query != ""; wantGet != (a.method == http.MethodGet) {
			t.Errorf("%s with query %q", a.method, a.query)
		}
	}
}

// TestSignatureInQuery signs for an application where the provider's signature is in the query.
func TestSignatureInQuery(t *testing.T) {
	app := startApplication(t, nil)
	g := startGateway(t, "", "webhook pandadoc {\n secret provider_secret\n forward "+app.URL+"/?tenant=7 {\n sign provider application_secret\n}\n}")
	scheme := provider(t, "pandadoc")
	r, err := scheme.Example("", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := scheme.Sign(r, verifiers.NewSecret([]byte("provider_secret")), "", r.At); err != nil {
		t.Fatal(err)
	}
	if resp, body := g.do(r.Method, "/?"+r.URL.RawQuery, r.Header, string(r.Body)); resp.StatusCode >= 300 {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	request := app.await(t, 1)[0]
	if err := app.verify(t, scheme, "application_secret", &request); err != nil || !strings.HasSuffix(request.path, "&tenant=7") {
		t.Errorf("%s does not verify: %v", request.path, err)
	}
}

// TestBatchesOfOriginals has an application get batches as the provider sends them, where that is all that is forwarded and nothing else is said.
func TestBatchesOfOriginals(t *testing.T) {
	const batch = `{"events":[{"id":"EV1","resource_type":"payments","action":"confirmed"},{"id":"EV2","resource_type":"payments","action":"paid_out"}]}`
	const first, second = `{"id":"EV1","resource_type":"payments","action":"confirmed"}`, `{"id":"EV2","resource_type":"payments","action":"paid_out"}`
	for name, tc := range map[string]struct {
		options string
		want    []string // bodies at the application
	}{
		"originals":              {"forward %s/original {\n sign provider s\n}", []string{batch}},
		"originals, split":       {"split\n forward %s/original {\n sign provider s\n}", []string{first, second}},
		"beside something else":  {"forward %s/original {\n sign provider s\n}\n forward %s/events", []string{first, second}},
		"beside it, split off":   {"split off\n forward %s/original {\n sign provider s\n}\n forward %s/events", []string{batch}},
		"originals, transformed": {"forward %s/original {\n format original\n transform jq .\n}", []string{`{"action":"confirmed","id":"EV1","resource_type":"payments"}`, `{"action":"paid_out","id":"EV2","resource_type":"payments"}`}},
	} {
		t.Run(name, func(t *testing.T) {
			app := startApplication(t, nil)
			g := startGateway(t, "", "webhook gocardless {\n secret s\n "+strings.ReplaceAll(tc.options, "%s", app.URL)+"\n}")
			if resp, _ := g.sendSigned(provider(t, "gocardless"), "s", "/", batch, time.Now()); resp.StatusCode >= 300 {
				t.Fatal(resp.Status)
			}
			all := len(tc.want) * strings.Count(tc.options, "forward ")
			var got []string
			for _, r := range app.await(t, all) {
				if r.path == "/original" {
					got = append(got, string(r.body))
				}
			}
			if slices.Sort(got); !slices.Equal(got, tc.want) {
				t.Errorf("application got %q, want %q", got, tc.want)
			}
		})
	}
}

// TestOriginalHeadersAreNotSpoofed sends webhook-* headers that nobody signed along with a genuine request: the application gets the gateway's.
func TestOriginalHeadersAreNotSpoofed(t *testing.T) {
	const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	app := startApplication(t, nil)
	var sources strings.Builder
	for _, id := range []string{"stripe", "gocardless", "standard", "svix", "resend"} {
		sources.WriteString("handle /" + id + " {\n webhook " + id + " {\n secret " + secret + "\n dedup off\n forward " + app.URL + "/" + id + " {\n format original\n }\n }\n}\n")
	}
	g := startGateway(t, "", sources.String())
	all, none := []string{"Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"}, []string(nil)
	for i, c := range []struct {
		provider string
		add      map[string]string
		kept     []string // of what the sender sent
	}{
		{"stripe", map[string]string{"Webhook-Id": "x", "Webhook-Timestamp": "1", "Webhook-Signature": "v1,x"}, none},
		{"stripe", map[string]string{"Webhook-Id": "x"}, none},
		{"gocardless", map[string]string{"Webhook-Id": "x", "Webhook-Timestamp": "1"}, []string{"Webhook-Signature"}},
		{"standard", nil, all},
		{"svix", map[string]string{"Webhook-Id": "x", "Webhook-Signature": "v1,x"}, none},
		{"svix", map[string]string{"Webhook-Id": "Svix-Id", "Webhook-Timestamp": "Svix-Timestamp", "Webhook-Signature": "Svix-Signature"}, all},
		{"resend", map[string]string{"Webhook-Id": "x", "Webhook-Timestamp": "1", "Webhook-Signature": "v1,x"}, none},
	} {
		body := `{"type":"a","events":[{"id":"EV1","resource_type":"a","action":"b"}]}`
		sent := signedRequest(t, provider(t, c.provider), secret, "http://"+g.addr+"/"+c.provider, body, time.Now()).Header
		for name, value := range c.add {
			if sent.Get(value) != "" {
				value = sent.Get(value) // the same as under its other name
			}
			sent.Set(name, value)
		}
		if resp, text := g.do(http.MethodPost, "/"+c.provider, sent, body); resp.StatusCode >= 300 {
			t.Fatalf("%s: %d %s", c.provider, resp.StatusCode, text)
		}
		got := app.await(t, i+1)[i].header
		for _, name := range all {
			if kept := got.Get(name) != "" && got.Get(name) == sent.Get(name); kept != slices.Contains(c.kept, name) {
				t.Errorf("%s with %v: %s is %q, sent was %q", c.provider, c.add, name, got.Get(name), sent.Get(name))
			}
		}
		if id := got.Get("Webhook-Id"); !slices.Contains(c.kept, "Webhook-Id") && !strings.HasPrefix(id, "wh_") {
			t.Errorf("%s: webhook-id %q", c.provider, id)
		}
	}
}
