package catalogue_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/verifiers"
	"github.com/sluice-webhooks/sluice/verifiers/catalogue"
	"github.com/sluice-webhooks/sluice/verifiers/verifierstest"
)

// TestProviders runs the conformance suite over every entry.
func TestProviders(t *testing.T) {
	for _, id := range catalogue.IDs() {
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			spec, err := catalogue.Lookup(id)
			if err != nil {
				t.Fatal(err)
			}
			verifierstest.Run(t, spec)
		})
	}
}

// TestLookupUnknown checks that names which are no providers are told from those that cannot be read.
func TestLookupUnknown(t *testing.T) {
	for _, id := range []string{"", "nobody", "../spec", "stripe.yaml", "README.md", `a\b`} {
		if _, err := catalogue.Lookup(id); !errors.Is(err, catalogue.ErrUnknown) {
			t.Errorf("%q: %v", id, err)
		}
	}
}

// TestSchemes checks that each bare scheme can be looked up and asks for what it needs.
func TestSchemes(t *testing.T) {
	for _, id := range catalogue.Schemes() {
		spec, err := catalogue.Lookup(id)
		if err != nil || spec.Scheme != id {
			t.Errorf("%s: %v", id, err)
		}
		if slices.Contains(catalogue.IDs(), id) {
			t.Errorf("%s is a provider as well", id)
		}
	}
	hmac, err := catalogue.Lookup(verifiers.SchemeHMAC)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := verifiers.Compile(hmac); err == nil {
		t.Error("hmac without a header compiles")
	}
}

// TestKindeTokens checks that of the tokens which an account's keys sign only webhooks are taken.
func TestKindeTokens(t *testing.T) {
	spec, err := catalogue.Lookup("kinde")
	if err != nil {
		t.Fatal(err)
	}
	spec = spec.Merge(&verifiers.Spec{Values: map[string]string{"domain": "example.kinde.com"}})
	token := *spec.JWT
	token.Claims = nil
	anyToken := *spec
	anyToken.JWT = &token
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	secret := verifiers.NewSecret([]byte(base64.StdEncoding.EncodeToString(der)))
	for body, want := range map[string]error{
		`{"type":"user.created","event_id":"event_1","data":{}}`: nil,
		`{"sub":"kp_1","scp":["openid"],"azp":"app"}`:            verifiers.ErrMismatch,
		`{"sub":"kp_1","type":"user.created"}`:                   verifiers.ErrMismatch,
	} {
		r := &verifiers.Request{Method: http.MethodPost, URL: &url.URL{Scheme: "https", Host: "hooks.example.com", Path: "/"}, Header: http.Header{}, Body: []byte(body), At: time.Unix(1700000000, 0)}
		if err := compile(t, &anyToken).Sign(r, secret, "", r.At); err != nil {
			t.Fatal(err)
		}
		if _, err := compile(t, spec).Verify(t.Context(), r, []verifiers.Secret{secret}); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", body, err, want)
		}
	}
}

func compile(t *testing.T, spec *verifiers.Spec) *verifiers.Provider {
	t.Helper()
	p, err := verifiers.Compile(spec)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
