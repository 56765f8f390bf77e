package sender

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"net/http"
	"strings"

	"github.com/sluice-webhooks/sluice/verifiers"
)

// TrialSecret makes a new secret of the kind that a provider uses, for trying a gateway: of a key pair the private half, with which the gateway can verify as well.
// It is empty for a provider that signs nothing.
func TrialSecret(spec *verifiers.Spec) (string, error) {
	switch spec.Scheme {
	case verifiers.SchemeNone:
		return "", nil
	case verifiers.SchemeEd25519:
		return trialKey("EdDSA")
	case verifiers.SchemeECDSA:
		return trialKey("ES256")
	case verifiers.SchemeRSA, verifiers.SchemeRSACert:
		return trialKey("RS256")
	case verifiers.SchemeJWT, verifiers.SchemeJWS:
		if spec.JWT != nil && len(spec.JWT.Algorithms) > 0 && !strings.HasPrefix(spec.JWT.Algorithms[0], "HS") {
			return trialKey(spec.JWT.Algorithms[0])
		}
	case verifiers.SchemeBasic:
		return "trial:" + rand.Text(), nil
	}
	return sharedTrialSecret(spec), nil
}

// sharedTrialSecret is written as the provider's secrets are.
func sharedTrialSecret(spec *verifiers.Spec) string {
	random := make([]byte, 32)
	_, _ = rand.Read(random) // it never fails
	decode := spec.Key.Decode
	if decode == "" && spec.Scheme == verifiers.SchemeStandard {
		decode = "base64"
	}
	text := hex.EncodeToString(random)
	switch decode {
	case "base64":
		text = base64.StdEncoding.EncodeToString(random)
	case "base64url":
		text = base64.RawURLEncoding.EncodeToString(random)
	}
	if spec.Key.Split != "" {
		text = "trial" + spec.Key.Split + text
	}
	return spec.Key.DecodePrefix + spec.Key.StripPrefix + text
}

// trialKey makes a private key in PEM for an algorithm.
func trialKey(algorithm string) (string, error) {
	var key crypto.PrivateKey
	var err error
	switch algorithm {
	case "EdDSA":
		_, key, err = ed25519.GenerateKey(rand.Reader)
	case "ES256":
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ES384":
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "ES512":
		key, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	default:
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		return "", fmt.Errorf("making a key for %s: %w", algorithm, err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", fmt.Errorf("making a key for %s: %w", algorithm, err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), nil
}

// TrialParams are values for the params that a provider must be given: what its example has where the two must agree, else those of a request that is
// known to verify, else a word.
func TrialParams(spec *verifiers.Spec) map[string]string {
	values := make(map[string]string)
	for _, p := range spec.Params {
		if !p.Required || p.Default != "" {
			continue
		}
		values[p.Name] = "trial"
		if known := vectorParam(spec, p.Name); known != "" {
			values[p.Name] = known
		}
		if shown := exampleParam(spec, p.Name); shown != "" {
			values[p.Name] = shown
		}
	}
	return values
}

func vectorParam(spec *verifiers.Spec, name string) string {
	for _, v := range spec.Vectors {
		if known, ok := v.Params[name]; ok {
			return known
		}
	}
	return ""
}

// exampleParam reads the value that a check compares with the param from the most usual example.
func exampleParam(spec *verifiers.Spec, name string) string {
	if len(spec.Examples) == 0 {
		return ""
	}
	example := &verifiers.Request{Header: make(http.Header), Body: []byte(spec.Examples[0].Body)}
	for header, value := range spec.Examples[0].Headers {
		example.Header.Set(header, value)
	}
	for _, c := range spec.Checks {
		if c.Equals != "param:"+name {
			continue
		}
		if expr, err := verifiers.ParseExpr(c.Expr); err == nil {
			return expr.Eval(example)
		}
	}
	return ""
}
