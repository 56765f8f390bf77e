// Package examples_test runs each example as it stands, but for the addresses: names of the internet become addresses of this machine.
package examples_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/sluice-webhooks/sluice/caddymodule"
	"github.com/sluice-webhooks/sluice/caddymodule/sender"
	"github.com/sluice-webhooks/sluice/verifiers"
	"github.com/sluice-webhooks/sluice/verifiers/catalogue"
)

// run loads the configuration of an example. The replacements, old and new in turn, must all be found in it.
func run(t *testing.T, path string, replacements ...string) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if formatted := caddyfile.Format(raw); !bytes.Equal(formatted, raw) {
		t.Errorf("%s is not formatted: run caddy fmt on it", path)
	}
	text := string(raw)
	for i := 0; i < len(replacements); i += 2 {
		if !strings.Contains(text, replacements[i]) {
			t.Fatalf("%s has no %q", path, replacements[i])
		}
		text = strings.ReplaceAll(text, replacements[i], replacements[i+1])
	}
	// the test must neither use the user's own directories nor the disk's last gigabyte
	store := fmt.Sprintf("webhooks {\n\t\tstore badger %q {\n\t\t\tmin_free 1MiB\n\t\t}\n", t.TempDir())
	text = strings.Replace(text, "webhooks {\n", store, 1)
	if !strings.Contains(text, "\tlog {") {
		text = strings.Replace(text, "{\n", "{\n\tlog {\n\t\toutput discard\n\t}\n", 1)
	}
	text = strings.Replace(text, "{\n", "{\n\tadmin off\n\tpersist_config off\n\tauto_https off\n\tstorage_clean_interval off\n\tgrace_period 2s\n", 1)
	adapter := caddyfile.Adapter{ServerType: httpcaddyfile.ServerType{}}
	config, _, err := adapter.Adapt([]byte(text), map[string]any{"filename": path})
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Errorf("stopping caddy: %v", err)
		}
	})
	if err := caddy.Load(config, true); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// delivery is what an application got.
type delivery struct {
	header http.Header
	body   []byte
}

// application collects what it gets.
type application struct {
	*httptest.Server
	mu       sync.Mutex
	got      []delivery
	arrivals chan struct{}
}

func startApplication(t *testing.T) *application {
	a := &application{arrivals: make(chan struct{}, 1000)}
	a.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("application: %v", err)
		}
		a.mu.Lock()
		a.got = append(a.got, delivery{header: r.Header.Clone(), body: body})
		a.mu.Unlock()
		a.arrivals <- struct{}{}
	}))
	t.Cleanup(a.Close)
	return a
}

// await returns the deliveries when there are n.
func (a *application) await(t *testing.T, n int) []delivery {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		a.mu.Lock()
		got := append([]delivery(nil), a.got...)
		a.mu.Unlock()
		if len(got) >= n {
			return got
		}
		select {
		case <-a.arrivals:
		case <-deadline:
			t.Fatalf("application got %d deliveries, want %d", len(got), n)
		}
	}
}

// none fails if the application got more than n deliveries.
func (a *application) none(t *testing.T, n int) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.got) != n {
		t.Errorf("application got %d deliveries, want %d", len(a.got), n)
	}
}

// send signs as a provider of the catalogue and returns the status of the answer.
func send(t *testing.T, provider, secret, address, eventType string, body []byte) int {
	t.Helper()
	spec, err := catalogue.Lookup(provider)
	if err != nil {
		t.Fatal(err)
	}
	p, err := verifiers.Compile(spec)
	if err != nil {
		t.Fatal(err)
	}
	to, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	m := sender.Message{Provider: p, Secret: verifiers.NewSecret([]byte(secret)), To: to, Type: eventType, Body: body, At: time.Now()}
	r, err := m.Build()
	if err != nil {
		t.Fatal(err)
	}
	client := sender.NewClient(10*time.Second, time.Now)
	defer client.HTTP.CloseIdleConnections()
	answer, err := client.Send(t.Context(), r, nil)
	if err != nil {
		t.Fatal(err)
	}
	return answer.Status
}

func expect(t *testing.T, what string, got, want int) {
	t.Helper()
	if got != want {
		t.Errorf("%s: answered %d, want %d", what, got, want)
	}
}

// verifyStandard checks a delivery's signature by Standard Webhooks, with code of its own, and returns the CloudEvent.
func verifyStandard(t *testing.T, d delivery, secret string) (event struct {
	Type, Source, Provider string
	Data                   json.RawMessage
}) {
	t.Helper()
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", d.header.Get("webhook-id"), d.header.Get("webhook-timestamp"), d.body)
	if got, want := d.header.Get("webhook-signature"), "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)); got != want {
		t.Errorf("signature %q, want %q", got, want)
	}
	if err := json.Unmarshal(d.body, &event); err != nil {
		t.Fatalf("not a CloudEvent: %v: %s", err, d.body)
	}
	return event
}

const signing = "whsec_c2lnbnMgZXZlbnRzIGZvciB0aGUgYXBwbGljYXRpb24="

func TestOneApplication(t *testing.T) {
	t.Setenv("STRIPE_SECRET", "whsec_new")
	t.Setenv("STRIPE_SECRET_OLD", "whsec_old")
	t.Setenv("BILLING_SIGNING_SECRET", signing)
	app, gateway := startApplication(t), freeAddress(t)
	run(t, "one-application/Caddyfile", "https://billing.internal", app.URL, "hooks.example.com", "http://"+gateway)
	to := "http://" + gateway + "/stripe"
	expect(t, "new secret", send(t, "stripe", "whsec_new", to, "invoice.paid", nil), 200)
	expect(t, "old secret", send(t, "stripe", "whsec_old", to, "invoice.paid", nil), 200)
	expect(t, "another secret", send(t, "stripe", "whsec_guess", to, "invoice.paid", nil), 401)
	for _, d := range app.await(t, 2) {
		if event := verifyStandard(t, d, signing); event.Type != "invoice.paid" || event.Source != "/webhooks/stripe" || event.Provider != "stripe" {
			t.Errorf("event %+v", event)
		}
	}
	// one that does not pass the filter, and one that does: when that is there, the other would have been
	customer := []byte(`{"id":"evt_customer","object":"event","type":"customer.created","data":{"object":{}}}`)
	charge := []byte(`{"id":"evt_charge","object":"event","type":"charge.succeeded","data":{"object":{}}}`)
	expect(t, "customer", send(t, "stripe", "whsec_new", to, "", customer), 200)
	expect(t, "charge", send(t, "stripe", "whsec_new", to, "", charge), 200)
	if event := verifyStandard(t, app.await(t, 3)[2], signing); event.Type != "charge.succeeded" || !bytes.Equal(event.Data, charge) {
		t.Errorf("event %+v", event)
	}
	app.none(t, 3)
}

func TestFanOut(t *testing.T) {
	for name, value := range map[string]string{
		"SHOPIFY_SECRET": "shop", "STRIPE_SECRET": "whsec_stripe", "GITHUB_SECRET": "hub", "ORDERS_SIGNING_SECRET": signing, "ARCHIVE_TOKEN": "archive-token",
	} {
		t.Setenv(name, value)
	}
	one, two, archive := startApplication(t), startApplication(t), startApplication(t)
	gateway := freeAddress(t)
	run(t, "fan-out/Caddyfile", "http://orders-1.internal:8080", one.URL, "http://orders-2.internal:8080", two.URL,
		"http://archive.internal", archive.URL, "hooks.example.com", "http://"+gateway)
	to := "http://" + gateway
	live := []byte(`{"id":"evt_live","object":"event","type":"charge.succeeded","livemode":true,"data":{"object":{}}}`)
	test := []byte(`{"id":"evt_test","object":"event","type":"charge.succeeded","livemode":false,"data":{"object":{}}}`)
	expect(t, "shopify", send(t, "shopify", "shop", to+"/shopify", "orders/create", nil), 200)
	expect(t, "github", send(t, "github", "hub", to+"/github", "push", nil), 200)
	expect(t, "test charge", send(t, "stripe", "whsec_stripe", to+"/stripe", "", test), 200)
	expect(t, "live charge", send(t, "stripe", "whsec_stripe", to+"/stripe", "", live), 200)

	original := 0
	for _, d := range archive.await(t, 4) {
		if got := d.header.Get("Authorization"); got != "Bearer archive-token" || d.header.Get("X-Team") != "platform" {
			t.Errorf("archive got headers %v", d.header)
		}
		if bytes.Equal(d.body, live) || bytes.Equal(d.body, test) {
			original++
			if d.header.Get("Stripe-Signature") == "" {
				t.Error("the original has lost its signature")
			}
		}
	}
	if original != 2 {
		t.Errorf("%d bodies of Stripe came through unchanged, want 2", original)
	}
	// in turn to the two machines of the orders application
	types := make(map[string]bool)
	for _, app := range []*application{one, two} {
		types[verifyStandard(t, app.await(t, 1)[0], signing).Type] = true
	}
	if !types["orders/create"] || !types["charge.succeeded"] {
		t.Errorf("orders got %v", types)
	}
	one.none(t, 1)
	two.none(t, 1)
	archive.none(t, 4)
}

// acme signs as the fictional provider does, with nothing of the gateway's code.
func acme(t *testing.T, address, secret, id string, at time.Time, body string) *http.Response {
	t.Helper()
	ms := strconv.FormatInt(at.UnixMilli(), 10)
	mac := hmac.New(sha512.New, []byte(secret))
	fmt.Fprintf(mac, "%s:%s", ms, body)
	req, err := http.NewRequest(http.MethodPost, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Acme-Delivery", id)
	req.Header.Set("X-Acme-Signature", "ts="+ms+";sig="+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp
}

func TestOwnFormat(t *testing.T) {
	t.Setenv("ACME_SECRET", "acme secret")
	app, gateway := startApplication(t), freeAddress(t)
	run(t, "own-format/Caddyfile", "http://app.internal", app.URL, "hooks.example.com", "http://"+gateway)
	to, now := "http://"+gateway+"/acme", time.Now()
	const body = `{"event":{"kind":"order.paid","order":"A-17","at":"2026-01-01T00:00:00Z"}}`
	expect(t, "genuine", acme(t, to, "acme secret", "d-1", now, body).StatusCode, 202)
	expect(t, "once more", acme(t, to, "acme secret", "d-1", now.Add(time.Second), body).StatusCode, 202)
	expect(t, "wrong secret", acme(t, to, "guess", "d-2", now, body).StatusCode, 401)
	expect(t, "too old", acme(t, to, "acme secret", "d-3", now.Add(-3*time.Minute), body).StatusCode, 401)
	expect(t, "another event", acme(t, to, "acme secret", "d-4", now, body).StatusCode, 202)
	ids := make(map[string]bool)
	for _, d := range app.await(t, 2) {
		var event struct{ ID, Type, Subject, Time string }
		if err := json.Unmarshal(d.body, &event); err != nil {
			t.Fatal(err)
		}
		ids[event.ID] = true
		if event.Type != "order.paid" || event.Subject != "A-17" || event.Time != "2026-01-01T00:00:00Z" {
			t.Errorf("event %+v", event)
		}
	}
	if !ids["d-1"] || !ids["d-4"] {
		t.Errorf("application got %v", ids)
	}
	app.none(t, 2)
}

// TestCaddyfileExample runs the example at the root with an application in place of its stand-in, and looks for secrets in its log.
func TestCaddyfileExample(t *testing.T) {
	gateway, app := freeAddress(t), freeAddress(t)
	log := filepath.Join(t.TempDir(), "log")
	arrived := startApplication(t)
	run(t, "../Caddyfile.example",
		"http://localhost:8080", "http://"+gateway, "http://localhost:8081/events", "http://"+app+"/events", "http://localhost:8081", "http://"+app,
		"\tlog {\n\t\tformat", "\tlog {\n\t\toutput file "+strconv.Quote(log)+"\n\t\tformat",
		"\trespond /events 200\n\trespond 404\n", "\treverse_proxy "+arrived.URL+"\n")
	const secret, token = "whsec_ZXhhbXBsZSBvbmx5OiBjaGFuZ2UgbWU=", "change-me-too"
	to := "http://" + gateway
	expect(t, "standard", send(t, "standard", secret, to+"/standard?key=in-the-query", "", nil), 200)
	expect(t, "vericato", send(t, "vericato", "", to+"/vericato/"+token, "", nil), 200)
	expect(t, "guessed token", send(t, "vericato", "", to+"/vericato/guess", "", nil), 401)
	expect(t, "nothing there", send(t, "standard", secret, to+"/elsewhere", "", nil), 404)
	for _, d := range arrived.await(t, 2) {
		verifyStandard(t, d, "whsec_YWxzbyBhbiBleGFtcGxlIG9ubHk6IGNoYW5nZQ==")
	}
	if err := caddy.Stop(); err != nil { // what is still in its buffers is written
		t.Fatal(err)
	}
	raw, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(raw, []byte(`"handled request"`)); n < 4 {
		t.Errorf("log has %d requests, want 4 or more:\n%s", n, raw)
	}
	for _, leak := range []string{token, "in-the-query", secret, "webhook-signature", "Webhook-Signature", "v1,"} {
		if bytes.Contains(raw, []byte(leak)) {
			t.Errorf("log has %q:\n%s", leak, raw)
		}
	}
}
