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
)

// TestClaimsOfRequest checks claims that must name the key and agree with the address: with another address or another key's name the token is refused.
func TestClaimsOfRequest(t *testing.T) {
	p, err := verifiers.Compile(&verifiers.Spec{
		ID: "tokens", Scheme: verifiers.SchemeJWT, Signature: verifiers.Signature{Names: []string{"Authorization"}}, Key: verifiers.Key{Split: ":"},
		JWT: &verifiers.JWT{Algorithms: []string{"HS256"}, Claims: map[string]string{
			"iss": "{secret_id}", "qsh": "{method+literal:&+path+literal:&+query_encoded>sha256>hex}",
			"canonical": "{canonical_request>sha256>hex}",
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	secret := verifiers.NewSecret([]byte("app-1:a shared secret of some length"))
	request := func() *verifiers.Request {
		return &verifiers.Request{
			Method: http.MethodPost, URL: &url.URL{Scheme: "https", Host: "hooks.example.com", Path: "/in", RawQuery: "b=2&a=1"}, Header: http.Header{}, At: at,
		}
	}
	r := request()
	if err := p.Sign(r, secret, "", at); err != nil {
		t.Fatal(err)
	}
	verify := func(r *verifiers.Request, secrets ...verifiers.Secret) error {
		_, err := p.Verify(context.Background(), r, secrets)
		return err
	}
	if err := verify(r, secret); err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func(r *verifiers.Request){
		"another path":   func(r *verifiers.Request) { r.URL.Path = "/other" },
		"another query":  func(r *verifiers.Request) { r.URL.RawQuery = "a=1&b=3" },
		"another method": func(r *verifiers.Request) { r.Method = http.MethodPut },
	} {
		changed := request()
		changed.Header = r.Header
		change(changed)
		if err := verify(changed, secret); !errors.Is(err, verifiers.ErrMismatch) {
			t.Errorf("%s: %v, expected ErrMismatch", what, err)
		}
	}
	if err := verify(r, verifiers.NewSecret([]byte("app-2:a shared secret of some length"))); !errors.Is(err, verifiers.ErrMismatch) {
		t.Errorf("under another key's name: %v, expected ErrMismatch", err)
	}
	if err := verify(r, verifiers.NewSecret([]byte("a shared secret of some length"))); err != nil {
		t.Errorf("with a key without a name: %v", err)
	}
}

// TestClaimsCannotBeEmptied checks that a claim cannot be bound to what the sender may leave out.
func TestClaimsCannotBeEmptied(t *testing.T) {
	for _, claim := range []string{"{header.X-Id}", "{query}", "{body}", "{path>sha256>hex}", "{param.p}{query.id}"} {
		_, err := verifiers.Compile(&verifiers.Spec{
			ID: "tokens", Scheme: verifiers.SchemeJWT, Signature: verifiers.Signature{Names: []string{"Authorization"}},
			JWT: &verifiers.JWT{Algorithms: []string{"HS256"}, Claims: map[string]string{"x": claim}}, Params: []verifiers.Param{{Name: "p"}},
		})
		if err == nil || !strings.Contains(err.Error(), "jwt.claims.x") {
			t.Errorf("%s: %v, expected a refusal that names the claim", claim, err)
		}
	}
}
