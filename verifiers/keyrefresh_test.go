package verifiers

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// rotatedKeys keeps an old document until it is asked for a newer one.
type rotatedKeys struct {
	kept, newer []byte
	err         error // of asking for a newer one
	since       time.Time
}

func (f *rotatedKeys) Fetch(context.Context, string, func(string) bool) ([]byte, error) {
	return f.kept, nil
}

func (f *rotatedKeys) Refresh(_ context.Context, _ string, since time.Time, _ func(string) bool) ([]byte, error) {
	f.since = since
	if f.err == nil {
		f.kept = f.newer
	}
	return f.kept, f.err
}

// TestRotationWithoutKeyID checks that a signature which no published key fits is tried with a newer copy where nothing names the key, and that an outage
// then is no mismatch.
func TestRotationWithoutKeyID(t *testing.T) {
	rsaPEM := func() (private, public []byte) {
		k, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.MarshalPKIXPublicKey(k.Public())
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(k)}),
			pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	}
	ecSet := func() (private, public []byte) {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.MarshalPKCS8PrivateKey(k)
		if err != nil {
			t.Fatal(err)
		}
		set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: k.Public(), KeyID: "named"}}})
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), set
	}
	for name, tc := range map[string]struct {
		spec Spec
		pair func() (private, public []byte)
	}{
		"rsa": {Spec{
			ID: "x", Scheme: SchemeRSA, Signature: Signature{Names: []string{"X-Signature"}}, KeySource: &KeySource{URL: "https://keys.example.com/a", Kind: "pem"},
		}, rsaPEM},
		"jwt": {Spec{
			ID: "x", Scheme: SchemeJWT, Signature: Signature{Names: []string{"Authorization"}, Format: "Bearer {signature}"},
			JWT: &JWT{Algorithms: []string{"ES256"}, BodyHash: "hash"}, KeySource: &KeySource{URL: "https://keys.example.com/a", Kind: "jwks"},
		}, ecSet},
	} {
		_, old := tc.pair()
		private, newer := tc.pair()
		keys := &rotatedKeys{kept: old, newer: newer, err: ErrKeysUnavailable}
		p, err := Compile(&tc.spec, WithKeyFetcher(keys))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		at := time.Now()
		r := &Request{Method: http.MethodPost, URL: &url.URL{Scheme: "https", Host: "h", Path: "/"}, Header: http.Header{}, Body: []byte("{}"), At: at}
		if err := p.Sign(r, NewSecret(private), "", at); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := p.Verify(t.Context(), r, nil); !errors.Is(err, ErrKeysUnavailable) {
			t.Errorf("%s: in an outage: %v", name, err)
		}
		keys.err = nil
		if _, err := p.Verify(t.Context(), r, nil); err != nil {
			t.Errorf("%s: after the rotation: %v", name, err)
		}
		keys.newer, keys.kept = old, old
		if _, err := p.Verify(t.Context(), r, nil); !errors.Is(err, ErrMismatch) {
			t.Errorf("%s: with another key: %v", name, err)
		}
		if !keys.since.IsZero() { // else each bad signature would be an outage
			t.Errorf("%s: wants a copy from after %s", name, keys.since)
		}
	}
}
