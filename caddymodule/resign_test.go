package caddymodule

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/sluice-webhooks/sluice/verifiers"
)

// TestSigningSecretForm checks that a changed file which is no key leaves the last good value to sign with.
func TestSigningSecretForm(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	const good = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	if err := os.WriteFile(path, []byte(good), 0o600); err != nil {
		t.Fatal(err)
	}
	signer, err := newOutgoingSigner(&Sign{As: signStandard, Secrets: []string{"{file." + path + "}"}}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("whsec_not-base64!, and of another length"), 0o600); err != nil {
		t.Fatal(err)
	}
	if live := signer.secrets.get(time.Now().Add(time.Hour)); len(live) != 1 || string(live[0].Bytes()) != good {
		t.Error("another secret is live")
	}
}

// TestSignProviderSecretForm checks the same of what a provider cannot sign with, which each source that forwards here has a say in.
func TestSignProviderSecretForm(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	const good = "44782DEF547AAA06"
	if err := os.WriteFile(path, []byte(good), 0o600); err != nil {
		t.Fatal(err)
	}
	signer, err := newOutgoingSigner(&Sign{As: signProvider, Secrets: []string{"{file." + path + "}"}}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"adyen_platform", "stripe"} {
		if err := signer.signFor(provider(t, id)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(path, []byte("which is not hexadecimal"), 0o600); err != nil {
		t.Fatal(err)
	}
	if live := signer.secrets.get(time.Now().Add(time.Hour)); len(live) != 1 || string(live[0].Bytes()) != good {
		t.Error("another secret is live")
	}
	if err := signer.signFor(provider(t, "plaid")); err == nil || !strings.Contains(err.Error(), "secret {file."+path+"}: cannot sign as provider plaid") {
		t.Errorf("plaid: %v", err)
	}
}

// TestSignProviderUnderOtherNames forwards requests whose signature, id and time came under other names than the first ones. An application that reads those, and
// one that reads the first, finds all that it needs there, and nothing that the provider signed.
func TestSignProviderUnderOtherNames(t *testing.T) {
	const secret, own = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
	app := startApplication(t, nil)
	var sources strings.Builder
	for id, options := range map[string]string{"shopify": "", "incident_io": "tolerance 1h", "svix": "tolerance 1h"} {
		fmt.Fprintf(&sources, "handle /%[1]s {\n webhook %[1]s {\n secret %s\n dedup off\n %s\n forward %s/%[1]s {\n sign provider %[5]s\n }\n }\n}\n", id, secret, options, app.URL, own)
	}
	g := startGateway(t, "", sources.String())
	for i, c := range []struct {
		provider string
		renamed  map[string]string // what came, by the name under which the catalogue signs
		read     []string          // sets of names that an application may read, by their beginning; empty: all
		gateways bool              // webhook-id is the gateway's
	}{
		{"shopify", map[string]string{"X-Shopify-Hmac-Sha256": "Shopify-Hmac-Sha256"}, []string{"Shopify-", "X-Shopify-"}, true},
		{"incident_io", nil, []string{"Webhook-"}, false},
		{"incident_io", map[string]string{"Webhook-Id": "Svix-Id", "Webhook-Timestamp": "Svix-Timestamp", "Webhook-Signature": "Svix-Signature"}, []string{"Svix-", "Webhook-"}, false},
		{"svix", nil, []string{"Svix-"}, true},
		{"svix", map[string]string{"Svix-Id": "Webhook-Id", "Svix-Timestamp": "Webhook-Timestamp", "Svix-Signature": "Webhook-Signature"}, []string{"Svix-", "Webhook-"}, false},
	} {
		p, at := provider(t, c.provider), time.Now().Add(-30*time.Minute)
		sent := signedRequest(t, p, secret, "http://"+g.addr+"/"+c.provider, `{"type":"a"}`, at).Header
		for from, to := range c.renamed {
			sent.Set(to, sent.Get(from))
			sent.Del(from)
		}
		if resp, text := g.do(http.MethodPost, "/"+c.provider, sent, `{"type":"a"}`); resp.StatusCode >= 300 {
			t.Fatalf("%s: %d %s", c.provider, resp.StatusCode, text)
		}
		got := app.await(t, i+1)[i]
		for _, beginning := range c.read {
			header := http.Header{}
			for name, values := range got.header {
				if strings.HasPrefix(name, beginning) {
					header[name] = values
				}
			}
			r := &verifiers.Request{Method: http.MethodPost, URL: new(url.URL), Header: header, Body: got.body, At: got.at}
			if _, err := p.Verify(t.Context(), r, []verifiers.Secret{verifiers.NewSecret([]byte(own))}); err != nil {
				t.Errorf("%s as %v, read as %s: %v", c.provider, c.renamed, beginning, err)
			}
		}
		if id := got.header.Get("Webhook-Id"); strings.HasPrefix(id, "wh_") != c.gateways {
			t.Errorf("%s as %v: webhook-id %q", c.provider, c.renamed, id)
		}
	}
}

// TestSignProviderMessageID forwards an event whose id is made of a text that no header can hold: the request keeps the id that it came with.
func TestSignProviderMessageID(t *testing.T) {
	app := startApplication(t, nil)
	g := startGateway(t, "", "webhook plivo_v3 {\n secret s\n forward "+app.URL+"/ {\n sign provider own\n }\n}")
	p := provider(t, "plivo_v3")
	u := &url.URL{Scheme: "http", Host: g.addr, Path: "/"}
	r := &verifiers.Request{Method: http.MethodPost, URL: u, Header: http.Header{"Content-Type": {formType}}, Body: []byte("MessageUUID=1&Text=a%0Ab%C3%A9"), At: time.Now()}
	if err := p.Sign(r, verifiers.NewSecret([]byte("s")), "12345", r.At); err != nil {
		t.Fatal(err)
	}
	if resp, text := g.do(http.MethodPost, "/", r.Header, string(r.Body)); resp.StatusCode >= 300 {
		t.Fatalf("%d %s", resp.StatusCode, text)
	}
	got := app.await(t, 1)[0]
	if err := app.verify(t, p, "own", &got); err != nil || got.header.Get("X-Plivo-Signature-V3-Nonce") != "12345" {
		t.Errorf("%v, with %v", err, got.header)
	}
}

// TestSignProviderRewritten forwards to a path that the proxy rewrites, with a signature that covers the address.
func TestSignProviderRewritten(t *testing.T) {
	app := startApplication(t, nil)
	g := startGateway(t, "", "webhook square {\n secret "+testSecret+"\n forward "+app.URL+"/hooks {\n sign provider own\n header +X-Added once\n"+
		" proxy {\n rewrite /v2{http.request.uri.path}?by={webhook.provider}\n }\n }\n}")
	p := provider(t, "square")
	if resp, answer := g.sendSigned(p, testSecret, "/", stripeEvent, time.Now()); resp.StatusCode >= 300 {
		t.Fatalf("%d %s", resp.StatusCode, answer)
	}
	got := app.await(t, 1)[0]
	if err := app.verify(t, p, "own", &got); err != nil || got.path != "/v2/hooks?by=square" || len(got.header["X-Added"]) != 1 {
		t.Errorf("%v at %s with %v", err, got.path, got.header)
	}
}
