package verifiers_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/sluice-webhooks/sluice/verifiers"
	"github.com/sluice-webhooks/sluice/verifiers/catalogue"
)

// TestCheckSigning asks before anything is signed whether a secret can sign.
func TestCheckSigning(t *testing.T) {
	ec := newECKey(t)
	other, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(ec.Public())
	if err != nil {
		t.Fatal(err)
	}
	public := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki}))
	for name, c := range map[string]struct{ provider, secret, want string }{
		"shared secret":             {"stripe", "anything", ""},
		"hex":                       {"adyen_platform", "44782DEF", ""},
		"not hex":                   {"adyen_platform", "made up", "expected hex"},
		"shared secret, token":      {"vonage", "anything", ""},
		"public key, token":         {"vonage", public, "expected a shared secret"},
		"empty":                     {"stripe", "", "secret is empty"},
		"token":                     {"telegram", "anything", ""},
		"unsigned":                  {"jotform", "anything", ""},
		"private key":               {"plaid", privatePEM(t, ec), ""},
		"public key":                {"plaid", public, "expected a private key for ES256 (PEM"},
		"made up, token":            {"plaid", "abc", "expected a private key for ES256 (PEM"},
		"private key, other curve":  {"plaid", privatePEM(t, other), "expected a private key for ES256 (PEM"},
		"made up, published keys":   {"google_pubsub_push", "made up", "expected a private key for RS256 (PEM"},
		"made up, certificate":      {"aws_sns", "made up", "expected an RSA private key (PEM"},
		"made up, certificate too":  {"paypal", "made up", "expected an RSA private key (PEM"},
		"private key, certificate":  {"paypal", privatePEM(t, mustRSA(t)), ""},
		"made up, Ed25519":          {"discord_interactions", "made up", "expected an Ed25519 private key"},
		"made up, ECDSA":            {"sendgrid", "made up", "expected an ECDSA private key (PEM"},
		"chain of certificates":     {"apple_app_store_v2", privatePEM(t, mustRSA(t)), "scheme cannot sign: the chain of certificates is the provider's own"},
		"Standard Webhooks, public": {"standard", "whpk_" + strings.Repeat("A", 43) + "=", "expected an Ed25519 private key"},
		"Standard Webhooks, shared": {"standard", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", ""},
	} {
		spec, err := catalogue.Lookup(c.provider)
		if err != nil {
			t.Fatal(err)
		}
		values := map[string]string{}
		for _, param := range spec.Params {
			values[param.Name] = "x"
		}
		p, err := verifiers.Compile(spec.Merge(&verifiers.Spec{Values: values}))
		if err != nil {
			t.Fatal(err)
		}
		err = p.CheckSigning(verifiers.NewSecret([]byte(c.secret)))
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
