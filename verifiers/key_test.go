package verifiers

import (
	"strings"
	"testing"
)

// TestCheckSecret refuses, at configuration time, secrets that are not written as the provider's are, and quotes none of them.
func TestCheckSecret(t *testing.T) {
	const pair = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEF3FSKoosmmhkihJLsHWzd+DlBBb0fYs+CUUwr5QLEcNuiQjbAAEPFr9QVw3/FS19nz3Uam1L+HLSqHBqOpmA/w==\n-----END PUBLIC KEY-----"
	token := func(algorithms ...string) Spec {
		return Spec{
			Scheme: SchemeJWT, Signature: Signature{Names: []string{"Authorization"}}, JWT: &JWT{Algorithms: algorithms, Claims: map[string]string{"iss": "me"}},
		}
	}
	header := Signature{Names: []string{"X-Signature"}}
	for name, c := range map[string]struct {
		spec   Spec
		secret string
		ok     bool
	}{
		"token, public key":          {token("ES256"), pair, true},
		"token, text for a key":      {token("ES256", "RS256"), "hunter2-hunter2", false},
		"token, text":                {token("HS256"), "hunter2-hunter2", true},
		"token, either":              {token("HS256", "ES256"), "hunter2-hunter2", true},
		"empty":                      {token("HS256"), "", false},
		"base64":                     {Spec{Scheme: SchemeHMAC, Signature: header, Key: Key{Decode: "base64"}}, "aHVudGVyMg==", true},
		"not base64":                 {Spec{Scheme: SchemeHMAC, Signature: header, Key: Key{Decode: "base64"}}, "hunter2-hunter2!", false},
		"nothing after the prefix":   {Spec{Scheme: SchemeHMAC, Signature: header, Key: Key{StripPrefix: "whsec_"}}, "whsec_", false},
		"standard":                   {Spec{Scheme: SchemeStandard}, "whsec_aHVudGVyMg==", true},
		"standard, not base64":       {Spec{Scheme: SchemeStandard}, "whsec_hunter2-hunter2!", false},
		"ed25519, another curve":     {Spec{Scheme: SchemeEd25519, Signature: header}, pair, false},
		"ecdsa":                      {Spec{Scheme: SchemeECDSA, Signature: header}, pair, true},
		"ecdsa in one line":          {Spec{Scheme: SchemeECDSA, Signature: header}, strings.ReplaceAll(pair, "\n", `\n`), true},
		"rsa, an elliptic curve key": {Spec{Scheme: SchemeRSA, Signature: header}, pair, false},
	} {
		c.spec.ID = "x"
		p, err := Compile(&c.spec)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		err = p.CheckSecret(NewSecret([]byte(c.secret)))
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the secret is in %v", name, err)
		}
	}
}
