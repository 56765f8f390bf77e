package verifiers_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/verifiers"
	"github.com/sluice-webhooks/sluice/verifiers/catalogue"
)

// customCase signs an example of a provider and returns what verifies requests with the same secret.
func customCase(t *testing.T, id string) (*verifiers.Request, func(*verifiers.Request) error) {
	t.Helper()
	spec, err := catalogue.Lookup(id)
	if err != nil {
		t.Fatal(err)
	}
	p, err := verifiers.Compile(spec)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	r, err := p.Example("", at)
	if err != nil {
		t.Fatal(err)
	}
	secret := verifiers.NewSecret([]byte("the secret of " + id))
	if err := p.Sign(r, secret, "", at); err != nil {
		t.Fatal(err)
	}
	verify := func(r *verifiers.Request) error {
		_, err := p.Verify(context.Background(), r, []verifiers.Secret{secret})
		return err
	}
	if err := verify(r); err != nil {
		t.Fatalf("signed example: %v", err)
	}
	return r, verify
}

func changed(r *verifiers.Request, change func(*verifiers.Request)) *verifiers.Request {
	out := *r
	out.Header, out.Body = r.Header.Clone(), append([]byte(nil), r.Body...)
	u := *r.URL
	out.URL = &u
	change(&out)
	return &out
}

func mustMismatch(t *testing.T, verify func(*verifiers.Request) error, r *verifiers.Request, changes map[string]func(*verifiers.Request)) {
	t.Helper()
	for what, change := range changes {
		if err := verify(changed(r, change)); !errors.Is(err, verifiers.ErrMismatch) {
			t.Errorf("%s: %v, expected ErrMismatch", what, err)
		}
	}
}

// TestHook0CoveredHeaders changes what only v1 covers, and gives an old signature a new time.
func TestHook0CoveredHeaders(t *testing.T) {
	r, verify := customCase(t, "hook0_v0")
	const name = "X-Hook0-Signature"
	mustMismatch(t, verify, r, map[string]func(*verifiers.Request){
		"covered header changed": func(r *verifiers.Request) { r.Header.Set("X-Event-Type", "order.order.refunded") },
		"covered header gone":    func(r *verifiers.Request) { r.Header.Del("X-Event-Id") },
		"covered header empty":   func(r *verifiers.Request) { r.Header.Set("X-Event-Id", "") },
		"list shortened": func(r *verifiers.Request) {
			r.Header.Set(name, strings.Replace(r.Header.Get(name), " x-event-type", "", 1))
		},
		"list gone": func(r *verifiers.Request) {
			h := r.Header.Get(name)
			r.Header.Set(name, h[:strings.Index(h, ",h=")]+h[strings.Index(h, ",v1="):])
		},
		"called v0": func(r *verifiers.Request) { r.Header.Set(name, strings.Replace(r.Header.Get(name), "v1=", "v0=", 1)) },
	})
	for _, h := range []string{
		strings.Replace(r.Header.Get(name), ",h=", ",v1="+strings.Repeat("ab", 32)+",t=1795270000,h=", 1), r.Header.Get(name) + ",t=1795270000",
	} {
		late := changed(r, func(r *verifiers.Request) { r.Header.Set(name, h); r.At = time.Unix(1795270000, 0) })
		if err := verify(late); err == nil {
			t.Errorf("an old signature with a new time beside it verifies: %s", h)
		}
	}
}

// TestContentfulCoveredHeaders changes each part that Contentful's signature covers.
func TestContentfulCoveredHeaders(t *testing.T) {
	r, verify := customCase(t, "contentful")
	mustMismatch(t, verify, r, map[string]func(*verifiers.Request){
		"method":               func(r *verifiers.Request) { r.Method = http.MethodPut },
		"path":                 func(r *verifiers.Request) { r.URL.Path = "/other" },
		"query":                func(r *verifiers.Request) { r.URL.RawQuery = "a=1" },
		"covered header":       func(r *verifiers.Request) { r.Header.Set("X-Contentful-Topic", "ContentManagement.Entry.delete") },
		"covered header twice": func(r *verifiers.Request) { r.Header.Add("X-Contentful-Topic", "ContentManagement.Entry.delete") },
		"covered header gone":  func(r *verifiers.Request) { r.Header.Del("X-Contentful-Topic") },
		"list without a header": func(r *verifiers.Request) {
			r.Header.Set("X-Contentful-Signed-Headers", "x-contentful-signed-headers,x-contentful-timestamp")
		},
		"list gone":     func(r *verifiers.Request) { r.Header.Del("X-Contentful-Signed-Headers") },
		"endless list":  func(r *verifiers.Request) { r.Header.Set("X-Contentful-Signed-Headers", strings.Repeat("a,", 4000)) },
		"without a URL": func(r *verifiers.Request) { r.URL = nil },
	})
	r.Header.Del("X-Contentful-Signed-Headers")
	spec, err := catalogue.Lookup("contentful")
	if err != nil {
		t.Fatal(err)
	}
	p, err := verifiers.Compile(spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Sign(r, verifiers.NewSecret([]byte("the secret of contentful")), "", r.At); err != nil {
		t.Fatal(err)
	}
	if err := verify(r); err != nil || r.Header.Get("X-Contentful-Signed-Headers") != "x-contentful-signed-headers,x-contentful-timestamp" {
		t.Errorf("signed without a list: %v, list %q", err, r.Header.Get("X-Contentful-Signed-Headers"))
	}
}

// TestPlivoCoversAll changes fields, query and nonce, and smuggles what no field shows.
func TestPlivoCoversAll(t *testing.T) {
	r, verify := customCase(t, "plivo_v3")
	mustMismatch(t, verify, r, map[string]func(*verifiers.Request){
		"field added":         func(r *verifiers.Request) { r.Body = append(r.Body, "&X=1"...) },
		"field smuggled":      func(r *verifiers.Request) { r.Body = append(r.Body, "&X=;"...) },
		"query added":         func(r *verifiers.Request) { r.URL.RawQuery = "x=1" },
		"port added":          func(r *verifiers.Request) { r.URL.Host += ":443" },
		"another nonce":       func(r *verifiers.Request) { r.Header.Set("X-Plivo-Signature-V3-Nonce", "1") },
		"as GET":              func(r *verifiers.Request) { r.Method = http.MethodGet },
		"not a form":          func(r *verifiers.Request) { r.Body = []byte(`{"a":";"}`) },
		"fields as the query": func(r *verifiers.Request) { r.URL.RawQuery, r.Body = string(r.Body), nil },
		"without a URL":       func(r *verifiers.Request) { r.URL = nil },
	})
	r.URL = &url.URL{Scheme: "https", Host: "hooks.example.com", Path: "/", Fragment: "part"}
	if err := verify(r); err != nil {
		t.Errorf("with a fragment: %v", err)
	}
}
