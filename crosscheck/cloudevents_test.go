package crosscheck

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2/protocol/http"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/sluice-webhooks/sluice/crosscheck/rig"
	"github.com/sluice-webhooks/sluice/verifiers"
)

// payload is an event as it comes, and what it must become.
type payload struct {
	name, provider    string
	contentType, body string
	header            http.Header
	id, eventType     string
	subject           string
	time              time.Time // zero: the provider sends none
	dataContentType   string    // of a structured event; empty: contentType
	data              string    // empty: the body
}

// payloads are each of a provider whose bodies look otherwise.
var payloads = []payload{
	{
		name: "json", provider: "stripe", contentType: "application/json; charset=utf-8",
		body: "{\n  \"id\": \"evt_1\", \"type\": \"charge.succeeded\", \"created\": 1700000000, \"amount\": 12345678901234567890, \"data\": {\"object\": {\"id\": \"ch_1\", \"text\": \"<Grüße> \\u2028 \\\"%\\\"\"}}\n}",
		id:   "evt_1", eventType: "charge.succeeded", subject: "ch_1", time: time.Unix(1700000000, 0).UTC(),
	},
	{
		name: "an id that a header cannot hold", provider: "heyvisa", contentType: "application/json",
		body: `{"id":"evt 2 \"é\" 100%","type":"visa.granted"}`, header: http.Header{"Heyvisa-Event": {"visa.granted"}},
		id: `evt 2 "é" 100%`, eventType: "visa.granted",
	},
	{
		name: "an element of an array", provider: "sendgrid", contentType: "application/json",
		body: "[{\"sg_event_id\":\"sg_1\",\"event\":\"delivered\",\"timestamp\":1700000000,\"email\":\"a@example.com\"}]\r\n",
		data: `{"sg_event_id":"sg_1","event":"delivered","timestamp":1700000000,"email":"a@example.com"}`,
		id:   "sg_1", eventType: "delivered", subject: "a@example.com", time: time.Unix(1700000000, 0).UTC(),
	},
	{
		name: "a form", provider: "twilio", contentType: "application/x-www-form-urlencoded", body: "MessageSid=SM1&MessageStatus=delivered&Body=%C3%A9+%26",
		header: http.Header{"I-Twilio-Idempotency-Token": {"idem-1"}}, id: "idem-1", eventType: "delivered", subject: "SM1",
	},
	{
		name: "json that does not say so", provider: "github", contentType: "text/plain", body: `{"repository":{"full_name":"octocat/hello"}}`,
		header: http.Header{"X-Github-Event": {"push"}, "X-Github-Delivery": {"5b9c"}},
		id:     "5b9c", eventType: "push", subject: "octocat/hello", dataContentType: "application/json",
	},
}

var formats = []string{"cloudevents", "cloudevents_binary"}

// TestCloudEvents has the official SDK read and validate what the gateway makes of events, in both modes.
func TestCloudEvents(t *testing.T) {
	secrets := make(map[string]string)
	apps := make(map[string]*rig.Application)
	gateway := startGateway(t, func(dir string) string {
		var site strings.Builder
		for _, p := range payloads {
			_, secret, _ := lookup(t, p.provider)
			secrets[p.provider] = secret
			writeFile(t, filepath.Join(dir, p.provider), secret)
			fmt.Fprintf(&site, "\thandle /%[1]s {\n\t\twebhook %[1]s {\n\t\t\tsecret \"{file.%[2]s/%[1]s}\"\n", p.provider, filepath.ToSlash(dir))
			for _, format := range formats {
				app := newApplication(t)
				apps[p.provider+format] = app
				fmt.Fprintf(&site, "\t\t\tforward %s {\n\t\t\t\tformat %s\n\t\t\t}\n", app.URL, format)
			}
			site.WriteString("\t\t}\n\t}\n")
		}
		return site.String()
	})
	for i := range payloads {
		p := &payloads[i]
		t.Run(p.name, func(t *testing.T) {
			sent := time.Now()
			answer, err := gateway.Send(t.Context(), p.request(t, secrets[p.provider]))
			if err != nil || !answer.Accepted() {
				t.Fatalf("the gateway answers %d: %v", answer.Status, err)
			}
			for _, format := range formats {
				t.Run(format, func(t *testing.T) { p.check(t, format, await(t, apps[p.provider+format]), sent) })
			}
		})
	}
}

// request is what the provider sends.
func (p *payload) request(t *testing.T, secret string) *verifiers.Request {
	t.Helper()
	provider, err := rig.Lookup(p.provider, nil)
	if err != nil {
		t.Fatal(err)
	}
	header := http.Header{"Content-Type": {p.contentType}}
	maps.Copy(header, p.header)
	r, err := provider.Signed(rig.Message{Secret: secret, Body: []byte(p.body), Header: header})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// check has the SDK read what the application got.
func (p *payload) check(t *testing.T, format string, got rig.Arrived, sent time.Time) {
	t.Helper()
	got.Request.Body = readAgain(got.Body)
	e, err := cloudevents.NewEventFromHTTPRequest(got.Request)
	if err != nil {
		t.Fatalf("the SDK does not read it: %v", err)
	}
	if err := e.Validate(); err != nil {
		t.Errorf("the SDK does not find it valid: %v", err)
	}
	id := e.ID()
	if format == "cloudevents_binary" { // section 3.1.3.2 of the HTTP binding, which the SDK leaves to its user
		if id, err = url.PathUnescape(id); err != nil {
			t.Error(err)
		}
	}
	if id != p.id || e.Type() != p.eventType || e.Subject() != p.subject || e.Source() != "/webhooks/"+p.provider || e.Extensions()["provider"] != p.provider {
		t.Errorf("id %q, type %q, subject %q, source %q, extensions %v", id, e.Type(), e.Subject(), e.Source(), e.Extensions())
	}
	earliest, latest := p.time, p.time
	if p.time.IsZero() { // then it is when the event arrived
		earliest, latest = sent.Add(-time.Minute), sent.Add(time.Hour)
	}
	if at := e.Time(); at.Before(earliest) || at.After(latest) {
		t.Errorf("time %v, want %v", at, p.time)
	}
	contentType, body := p.contentType, []byte(p.body)
	if p.data != "" {
		body = []byte(p.data)
	}
	if format == "cloudevents" {
		body = bytes.TrimSpace(body) // blanks around JSON are not part of the value
		if p.dataContentType != "" {
			contentType = p.dataContentType
		}
	}
	if !bytes.Equal(e.Data(), body) || e.DataContentType() != contentType {
		t.Errorf("data of %s is %q", e.DataContentType(), e.Data())
	}
}

// TestSignStandard has the library of Standard Webhooks verify what the gateway signs while the application's secret is changed: with the old one and
// with the new one. Of public keys, which the library does not know, the signature is verified as the specification says.
func TestSignStandard(t *testing.T) {
	provider, secret, old := lookup(t, "standard")
	replacement := newSecret(t, provider)
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	app := newApplication(t)
	gateway := startGateway(t, func(dir string) string {
		for file, text := range map[string]string{"provider": secret, "old": old, "new": replacement, "private": "whsk_" + base64.StdEncoding.EncodeToString(private)} {
			writeFile(t, filepath.Join(dir, file), text)
		}
		return fmt.Sprintf(`	webhook standard {
		secret "{file.%[1]s/provider}"
		forward %[2]s {
			sign standard "{file.%[1]s/old}" "{file.%[1]s/new}" "{file.%[1]s/private}"
		}
	}
`, filepath.ToSlash(dir), app.URL)
	})
	r, err := provider.Signed(rig.Message{Secret: secret})
	if err != nil {
		t.Fatal(err)
	}
	if answer, err := gateway.Send(t.Context(), r); err != nil || !answer.Accepted() {
		t.Fatalf("the gateway answers %d: %v", answer.Status, err)
	}
	got := await(t, app)
	for name, text := range map[string]string{"old": old, "new": replacement} {
		w, err := standardwebhooks.NewWebhook(text)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Verify(got.Body, got.Request.Header); err != nil {
			t.Errorf("the library refuses it with the %s secret: %v", name, err)
		}
		if w.Verify(tampered(t, got.Body), got.Request.Header) == nil {
			t.Errorf("the library accepts a changed body with the %s secret", name)
		}
	}
	if w, err := standardwebhooks.NewWebhook(secret); err != nil || w.Verify(got.Body, got.Request.Header) == nil {
		t.Errorf("the library accepts it with the provider's secret: %v", err)
	}
	if !verifiesV1a(got, got.Body, public) || verifiesV1a(got, tampered(t, got.Body), public) {
		t.Errorf("v1a does not verify: %s", got.Request.Header.Get("Webhook-Signature"))
	}
}

// verifiesV1a reports whether a signature of the request is one of the public key over id, time and body.
func verifiesV1a(r rig.Arrived, body []byte, public ed25519.PublicKey) bool {
	h := r.Request.Header
	content := h.Get("Webhook-Id") + "." + h.Get("Webhook-Timestamp") + "." + string(body)
	for _, item := range strings.Fields(h.Get("Webhook-Signature")) {
		text, ok := strings.CutPrefix(item, "v1a,")
		if signature, err := base64.StdEncoding.DecodeString(text); ok && err == nil && ed25519.Verify(public, []byte(content), signature) {
			return true
		}
	}
	return false
}
