package verifiers_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/verifiers"
	"github.com/sluice-webhooks/sluice/verifiers/catalogue"
)

// benchSecret is one that all the providers below take.
const benchSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// signed1K makes a signed request with a body of 1 KiB.
func signed1K(tb testing.TB, id string) (*verifiers.Provider, *verifiers.Request, []verifiers.Secret) {
	tb.Helper()
	spec, err := catalogue.Lookup(id)
	if err != nil {
		tb.Fatal(err)
	}
	p, err := verifiers.Compile(spec)
	if err != nil {
		tb.Fatal(err)
	}
	body := append([]byte(`{"id":"evt_1","type":"invoice.paid","created":1700000000,"data":"`), bytes.Repeat([]byte("x"), 1024-68)...)
	r := &verifiers.Request{
		Method: http.MethodPost, URL: &url.URL{Scheme: "https", Host: "hooks.example.com", Path: "/"}, Header: http.Header{},
		Body: append(body, `"}`...), At: time.Unix(1700000000, 0),
	}
	secret := verifiers.NewSecret([]byte(benchSecret))
	if err := p.Sign(r, secret, "msg_1", r.At); err != nil {
		tb.Fatal(err)
	}
	return p, r, []verifiers.Secret{secret}
}

// BenchmarkBareHMAC is what the others are measured against: keying and hashing the same bytes.
func BenchmarkBareHMAC(b *testing.B) {
	_, r, _ := signed1K(b, "stripe")
	b.ReportAllocs()
	for b.Loop() {
		m := hmac.New(sha256.New, []byte(benchSecret))
		m.Write([]byte("1700000000."))
		m.Write(r.Body)
		m.Sum(nil)
	}
}

func BenchmarkVerify(b *testing.B) {
	for _, id := range []string{"stripe", "github", "standard"} {
		b.Run(id, func(b *testing.B) {
			p, r, secrets := signed1K(b, id)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.Verify(context.Background(), r, secrets); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkIdentify(b *testing.B) {
	p, r, _ := signed1K(b, "stripe")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Identify(r, false); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkStart is what a source costs when it is configured: reading one entry of the catalogue and compiling it.
func BenchmarkStart(b *testing.B) {
	raw := mustRead(b, "catalogue/stripe.yaml")
	b.ReportAllocs()
	for b.Loop() {
		spec, err := catalogue.Parse(raw)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := verifiers.Compile(spec); err != nil {
			b.Fatal(err)
		}
	}
}

// TestVerifyAllocations keeps the hot path free of garbage.
func TestVerifyAllocations(t *testing.T) {
	for _, id := range []string{"stripe", "github", "standard", "slack", "shopify"} {
		p, r, secrets := signed1K(t, id)
		n := testing.AllocsPerRun(100, func() {
			if _, err := p.Verify(context.Background(), r, secrets); err != nil {
				t.Fatal(err)
			}
		})
		if n > 10 {
			t.Errorf("%s: %v allocations, expected at most 10", id, n)
		}
	}
}
