package verifiers_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/verifiers"
)

// addressNoter fetches nothing, and notes what it was asked for if that is allowed.
type addressNoter struct{ asked string }

func (f *addressNoter) Fetch(_ context.Context, address string, allowed func(string) bool) ([]byte, error) {
	if u, err := url.Parse(address); err == nil && allowed(u.Hostname()) && !allowed("other.example.com") {
		f.asked = address
	}
	return nil, verifiers.ErrKeysUnavailable
}

// TestPresentParams changes params of providers that are in use: code of their own, and the address of published keys, read the new ones.
func TestPresentParams(t *testing.T) {
	wecom := lookup(t, "wecom")
	values := map[string]string{}
	present := verifiers.WithParams(func(name string) (string, bool) { value, ok := values[name]; return value, ok })
	vector := wecom.Handshakes[0].Vectors[0]
	p, err := verifiers.Compile(wecom.Merge(&verifiers.Spec{Values: vector.Params}), present)
	if err != nil {
		t.Fatal(err)
	}
	address, err := url.Parse(vector.URL)
	if err != nil {
		t.Fatal(err)
	}
	ask := func() error {
		t.Helper()
		r := &verifiers.Request{Method: http.MethodGet, URL: address, Header: http.Header{}}
		_, ok, err := p.Challenge(t.Context(), r, []verifiers.Secret{verifiers.NewSecret([]byte(vector.Secret))}, true)
		if !ok {
			t.Fatal("not taken for a handshake")
		}
		return err
	}
	if err := ask(); err != nil {
		t.Errorf("with the first key: %v", err)
	}
	values["encoding_aes_key"] = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
	if err := ask(); !errors.Is(err, verifiers.ErrMismatch) {
		t.Errorf("with another key: %v", err)
	}

	keys := new(addressNoter)
	spec := lookup(t, "fusionauth").Merge(&verifiers.Spec{Values: map[string]string{"instance": "https://one.example.com"}})
	if p, err = verifiers.Compile(spec, present, verifiers.WithKeyFetcher(keys)); err != nil {
		t.Fatal(err)
	}
	body := []byte("{}")
	for _, instance := range []string{"https://one.example.com", "https://two.example.com"} {
		values["instance"] = instance
		at := time.Now()
		r := &verifiers.Request{Method: http.MethodPost, URL: &url.URL{Scheme: "https", Host: "h", Path: "/"}, Header: http.Header{}, Body: body, At: at}
		// {"alg":"RS256"}, which only published keys can have made
		r.Header.Set("X-Fusionauth-Signature-Jwt", "eyJhbGciOiJSUzI1NiJ9.e30.c2ln")
		if _, err := p.Verify(t.Context(), r, nil); !errors.Is(err, verifiers.ErrKeysUnavailable) {
			t.Errorf("%s: %v", instance, err)
		}
		if want := instance + "/.well-known/jwks.json"; keys.asked != want {
			t.Errorf("keys are asked for at %q, want %s", keys.asked, want)
		}
	}
}
