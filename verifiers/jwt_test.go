package verifiers_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/sluice-webhooks/sluice/verifiers"
)

const jwksURL = "https://keys.example.com/jwks.json"

// keyServer is a KeyFetcher that can be refreshed, over documents that tests change.
type keyServer struct {
	documents map[string]string // what is there now
	kept      map[string]string // what was fetched last
	fetched   []string
	refreshed int
}

func (s *keyServer) Fetch(ctx context.Context, rawURL string, allowed func(string) bool) ([]byte, error) {
	if doc, ok := s.kept[rawURL]; ok {
		return []byte(doc), nil
	}
	return s.get(rawURL, allowed)
}

func (s *keyServer) Refresh(_ context.Context, rawURL string, _ time.Time, allowed func(string) bool) ([]byte, error) {
	s.refreshed++
	return s.get(rawURL, allowed)
}

func (s *keyServer) get(rawURL string, allowed func(string) bool) ([]byte, error) {
	s.fetched = append(s.fetched, rawURL)
	u, err := url.Parse(rawURL)
	if err != nil || !allowed(u.Hostname()) {
		return nil, verifiers.ErrMismatch
	}
	doc, ok := s.documents[rawURL]
	if !ok {
		return nil, verifiers.ErrKeysUnavailable
	}
	if s.kept == nil {
		s.kept = map[string]string{}
	}
	s.kept[rawURL] = doc
	return []byte(doc), nil
}

func newECKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// keySet writes public keys by id as JWKS.
func keySet(t *testing.T, keys map[string]any) string {
	t.Helper()
	var set jose.JSONWebKeySet
	for id, k := range keys {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: k, KeyID: id})
	}
	b, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// token signs claims.
func token(t *testing.T, alg jose.SignatureAlgorithm, key any, kid string, claims map[string]any) string {
	t.Helper()
	opts := &jose.SignerOptions{}
	if kid != "" {
		opts.WithHeader("kid", kid)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, opts)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	text, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// bearer is a request with a token.
func bearer(text string) *verifiers.Request {
	return &verifiers.Request{
		Method: http.MethodPost, URL: &url.URL{Scheme: "https", Host: "hooks.example.com", Path: "/"}, Body: []byte("{}"), At: time.Unix(1700000000, 0),
		Header: http.Header{"Authorization": {"Bearer " + text}},
	}
}

func jwtProvider(t *testing.T, s *verifiers.Spec, fetcher verifiers.KeyFetcher) *verifiers.Provider {
	t.Helper()
	s.ID, s.Scheme, s.Signature = "acme", verifiers.SchemeJWT, verifiers.Signature{Names: []string{"Authorization"}, Format: "Bearer {signature}"}
	p, err := verifiers.Compile(s, verifiers.WithKeyFetcher(fetcher))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func expectErr(t *testing.T, name string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, expected %v", name, err, want)
	}
}

func verifyErr(p *verifiers.Provider, r *verifiers.Request, secrets ...string) error {
	var live []verifiers.Secret
	for _, s := range secrets {
		live = append(live, verifiers.NewSecret([]byte(s)))
	}
	_, err := p.Verify(context.Background(), r, live)
	return err
}

// TestJWKSRotation changes the published keys under a running provider.
func TestJWKSRotation(t *testing.T) {
	first, second := newECKey(t), newECKey(t)
	server := &keyServer{documents: map[string]string{jwksURL: keySet(t, map[string]any{"k1": first.Public()})}}
	p := jwtProvider(t, &verifiers.Spec{JWT: &verifiers.JWT{Algorithms: []string{"ES256"}}, KeySource: &verifiers.KeySource{URL: jwksURL, Kind: "jwks"}}, server)
	claims := map[string]any{"sub": "x"}
	expectErr(t, "first key", verifyErr(p, bearer(token(t, jose.ES256, first, "k1", claims))), nil)
	expectErr(t, "forged with a known id", verifyErr(p, bearer(token(t, jose.ES256, second, "k1", claims))), verifiers.ErrMismatch)
	if server.refreshed != 0 {
		t.Errorf("a bad signature made %d refreshes", server.refreshed)
	}
	server.documents[jwksURL] = keySet(t, map[string]any{"k1": first.Public(), "k2": second.Public()})
	expectErr(t, "rotated key", verifyErr(p, bearer(token(t, jose.ES256, second, "k2", claims))), nil)
	expectErr(t, "old key", verifyErr(p, bearer(token(t, jose.ES256, first, "k1", claims))), nil)
	if server.refreshed != 1 {
		t.Errorf("%d refreshes, expected 1", server.refreshed)
	}
	expectErr(t, "unknown id", verifyErr(p, bearer(token(t, jose.ES256, first, "k9", claims))), verifiers.ErrMismatch)
	delete(server.documents, jwksURL)
	server.kept = nil
	expectErr(t, "outage", verifyErr(p, bearer(token(t, jose.ES256, first, "k1", claims))), verifiers.ErrKeysUnavailable)
	server.documents[jwksURL] = "<html>"
	expectErr(t, "not a key set", verifyErr(p, bearer(token(t, jose.ES256, first, "k1", claims))), verifiers.ErrKeysUnavailable)
}

// TestJWTAlgorithms tries to talk a provider into another algorithm than its own.
func TestJWTAlgorithms(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(rsaKey.Public())
	if err != nil {
		t.Fatal(err)
	}
	public := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	p := jwtProvider(t, &verifiers.Spec{JWT: &verifiers.JWT{Algorithms: []string{"RS256", "HS256"}}}, nil)
	claims := map[string]any{"sub": "x"}
	expectErr(t, "RS256", verifyErr(p, bearer(token(t, jose.RS256, rsaKey, "", claims)), public), nil)
	// The public key's file as shared secret: what everybody knows must not sign.
	key := []byte(public)
	expectErr(t, "HS256 with the public key", verifyErr(p, bearer(token(t, jose.HS256, key, "", claims)), public), verifiers.ErrMismatch)
	expectErr(t, "RS512", verifyErr(p, bearer(token(t, jose.RS512, rsaKey, "", claims)), public), verifiers.ErrMalformed)
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + base64.RawURLEncoding.EncodeToString([]byte(`{}`)) + "."
	expectErr(t, "none", verifyErr(p, bearer(none), public), verifiers.ErrMalformed)
	secret := strings.Repeat("s", 8)
	expectErr(t, "short secret", verifyErr(p, bearer(token(t, jose.HS256, []byte(secret+strings.Repeat("\x00", 24)), "", claims)), secret), nil)
	for _, text := range []string{"", "a", "a.b", "a.b.c", "....", "a.b.c.d.e"} {
		if err := verifyErr(p, bearer(text), public); err == nil {
			t.Errorf("accepted %q", text)
		}
	}
}

func TestJWTClaims(t *testing.T) {
	const secret = "0123456789abcdef0123456789abcdef"
	spec := &verifiers.Spec{
		JWT: &verifiers.JWT{
			Algorithms: []string{"HS256"}, RequireExpiry: true,
			Claims: map[string]string{"iss": "acme", "aud": "{param.audience}", "email_verified": "true", "sub": "*", "org": "{param.org}"},
		},
		Params: []verifiers.Param{{Name: "audience", Required: true}, {Name: "org"}}, Values: map[string]string{"audience": "me"},
		Timestamp: verifiers.Timestamp{In: "claim", Names: []string{"iat"}},
	}
	p := jwtProvider(t, spec, nil)
	const now = 1700000000
	good := map[string]any{"iss": "acme", "aud": "me", "email_verified": true, "sub": "s", "iat": now, "exp": now + 60}
	for _, c := range []struct {
		name, claim string
		value       any
		want        error
	}{
		{"good", "x", 1, nil},
		{"issuer", "iss", "other", verifiers.ErrMismatch},
		{"issuer absent", "iss", nil, verifiers.ErrMismatch},
		{"one of several audiences", "aud", []string{"you", "me"}, nil},
		{"other audiences", "aud", []string{"you"}, verifiers.ErrMismatch},
		{"not verified", "email_verified", false, verifiers.ErrMismatch},
		{"no subject", "sub", nil, verifiers.ErrMismatch},
		{"expired within the leeway", "exp", now - 59, nil},
		{"expired", "exp", now - 60, verifiers.ErrStale},
		{"no expiry", "exp", nil, verifiers.ErrUnsigned},
		{"expiry as text", "exp", "never", verifiers.ErrUnsigned},
		{"not yet", "nbf", now + 61, verifiers.ErrStale},
		{"not yet within the leeway", "nbf", now + 60, nil},
		{"old", "iat", now - 301, verifiers.ErrStale},
		{"fraction of a second", "iat", json.Number("1700000000.75"), nil},
		{"exponent", "iat", json.Number("1.7e9"), nil},
		{"old, with a fraction", "iat", json.Number("1699999698.5"), verifiers.ErrStale},
		{"long ago", "iat", json.Number("-0.5"), verifiers.ErrMalformed},
		{"never", "iat", json.Number("1e300"), verifiers.ErrMalformed},
		{"fraction as text", "iat", "1700000000.75", verifiers.ErrMalformed},
		{"no time", "iat", nil, verifiers.ErrUnsigned},
		{"time as text", "iat", "yesterday", verifiers.ErrMalformed},
	} {
		claims := map[string]any{}
		for k, v := range good {
			claims[k] = v
		}
		claims[c.claim] = c.value
		if c.value == nil {
			delete(claims, c.claim)
		}
		expectErr(t, c.name, verifyErr(p, bearer(token(t, jose.HS256, []byte(secret), "", claims)), secret), c.want)
	}
}

// TestJKU lets the token name the address of its keys, out of a list.
func TestJKU(t *testing.T) {
	key := newECKey(t)
	const other = "https://keys.example.com/attacker.json"
	server := &keyServer{documents: map[string]string{jwksURL: keySet(t, map[string]any{"k1": key.Public()}), other: keySet(t, map[string]any{"k1": key.Public()})}}
	p := jwtProvider(t, &verifiers.Spec{JWT: &verifiers.JWT{Algorithms: []string{"ES256"}, JKU: []string{jwksURL}}}, server)
	for _, c := range []struct {
		jku  string
		want error
	}{{jwksURL, nil}, {other, verifiers.ErrMismatch}, {"https://evil.test/", verifiers.ErrMismatch}, {"", verifiers.ErrMismatch}} {
		opts := (&jose.SignerOptions{}).WithHeader("kid", "k1")
		if c.jku != "" {
			opts = opts.WithHeader("jku", c.jku)
		}
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, opts)
		if err != nil {
			t.Fatal(err)
		}
		jws, err := signer.Sign([]byte(`{}`))
		if err != nil {
			t.Fatal(err)
		}
		text, err := jws.CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		expectErr(t, "jku "+c.jku, verifyErr(p, bearer(text)), c.want)
	}
	if slices.ContainsFunc(server.fetched, func(u string) bool { return u != jwksURL }) {
		t.Errorf("fetched %v", server.fetched)
	}
}
