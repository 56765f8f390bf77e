package caddymodule

import (
	"context"
	"crypto/subtle"
	"net/http"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sluice-webhooks/sluice/verifiers"
)

// reversed is a provider of a plugin: it sends its secret backwards.
type reversed struct {
	Header string `json:"header,omitempty"`
}

func init() { caddy.RegisterModule(new(reversed)) }

func (*reversed) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "webhooks.verifiers.test_reversed", New: func() caddy.Module { return new(reversed) }}
}

func (*reversed) Provider() *verifiers.Spec {
	return &verifiers.Spec{Name: "Reversed", Key: verifiers.Key{Kind: "word"}, Event: verifiers.Event{ID: "json:id", Type: "json:type"}, Ack: verifiers.Ack{Status: 202}}
}

func (r *reversed) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	for d.Next() {
		for d.NextBlock(0) {
			if d.Val() != "header" || !d.AllArgs(&r.Header) {
				return d.Err("want header <Name>")
			}
		}
	}
	return nil
}

func (r *reversed) Verify(_ context.Context, req *verifiers.Request, secrets []verifiers.Secret) (verifiers.Proof, error) {
	for i, s := range secrets {
		if subtle.ConstantTimeCompare([]byte(backwards(string(s.Bytes()))), []byte(req.Header.Get(r.Header))) == 1 {
			return verifiers.Proof{SecretIndex: i}, nil
		}
	}
	return verifiers.Proof{SecretIndex: -1}, verifiers.ErrMismatch
}

func backwards(s string) string {
	var b strings.Builder
	for i := len(s) - 1; i >= 0; i-- {
		b.WriteByte(s[i])
	}
	return b.String()
}

// TestProviderOfAPlugin has a module in webhooks.verifiers verify in place of a scheme.
func TestProviderOfAPlugin(t *testing.T) {
	app := startApplication(t, nil)
	g := startGateway(t, "", "webhook test_reversed {\n secret abc\n verifier {\n header X-Word\n }\n forward "+app.URL+"\n}")
	resp, _ := g.do(http.MethodPost, "/", http.Header{"X-Word": {"abc"}}, `{"id":"e1","type":"t"}`)
	if resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("wrong word: %s", resp.Status)
	}
	resp, _ = g.do(http.MethodPost, "/", http.Header{"X-Word": {"cba"}}, `{"id":"e1","type":"t"}`)
	if resp.StatusCode != http.StatusAccepted {
		t.Errorf("right word: %s", resp.Status)
	}
	if got := app.await(t, 1)[0]; !strings.Contains(string(got.body), `"provider":"test_reversed"`) {
		t.Errorf("forwarded %s", got.body)
	}
	if err := g.load("", "webhook test_reversed"); err == nil || !strings.Contains(err.Error(), "secret <word>") {
		t.Errorf("without secret: %v", err)
	}
	if err := g.load("", "webhook stripe {\n secret abc\n verifier {\n }\n}"); err == nil || !strings.Contains(err.Error(), "webhooks.verifiers.stripe") {
		t.Errorf("verifier of a provider that is none of a plugin: %v", err)
	}
}
