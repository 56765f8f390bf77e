package verifiers_test

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/verifiers"
)

// TestTokenIsSignedAnew signs what arrived as a token once more, for another receiver and at another time.
func TestTokenIsSignedAnew(t *testing.T) {
	key := func() verifiers.Secret {
		der, err := x509.MarshalPKCS8PrivateKey(newECKey(t))
		if err != nil {
			t.Fatal(err)
		}
		return verifiers.NewSecret(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	}
	p, err := verifiers.Compile(&verifiers.Spec{
		ID: "tokens", Scheme: verifiers.SchemeJWT, Signature: verifiers.Signature{In: "body"},
		JWT: &verifiers.JWT{Algorithms: []string{"ES256"}, Claims: map[string]string{"verified": "true"}, RequireExpiry: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	first, second := key(), key()
	at := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	const claims = `{"amount":12345678901234567890,"text":"a.YWJj.c"}`
	r := &verifiers.Request{Method: http.MethodPost, URL: new(url.URL), Header: http.Header{}, Body: []byte(claims), At: at}
	if err := p.Sign(r, first, "", at); err != nil {
		t.Fatal(err)
	}
	later := at.Add(72 * time.Hour)
	r.At = later
	if _, err := p.Verify(t.Context(), r, []verifiers.Secret{first}); err == nil {
		t.Error("an old token verifies")
	}
	r.Body = append(r.Body, '\n')
	if err := p.Sign(r, second, "", later); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Verify(t.Context(), r, []verifiers.Secret{second}); err != nil {
		t.Errorf("does not verify: %v", err)
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(string(r.Body), ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]json.RawMessage
	if err := json.Unmarshal(payload, &got); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"amount": "12345678901234567890", "text": `"a.YWJj.c"`, "verified": "true"} {
		if string(got[name]) != want {
			t.Errorf("claim %s is %s, want %s", name, got[name], want)
		}
	}
}
