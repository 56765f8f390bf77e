package verifierstest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"strings"
	"sync"

	"github.com/sluice-webhooks/sluice/verifiers"
)

// testSecret makes the n-th secret of the kind that a provider uses; of key pairs the private half.
func testSecret(spec *verifiers.Spec, n int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", spec.ID, n))
	switch spec.Scheme {
	case verifiers.SchemeEd25519:
		return privatePEM("ed25519", n)
	case verifiers.SchemeECDSA:
		return privatePEM("ES256", n)
	case verifiers.SchemeRSA, verifiers.SchemeRSACert:
		return privatePEM("RS256", n)
	case verifiers.SchemeJWT, verifiers.SchemeJWS:
		if spec.JWT != nil && len(spec.JWT.Algorithms) > 0 && !strings.HasPrefix(spec.JWT.Algorithms[0], "HS") {
			return privatePEM(spec.JWT.Algorithms[0], n)
		}
	case verifiers.SchemeBasic:
		return "user:" + hex.EncodeToString(sum[:12])
	}
	return withAffixes(spec, sum[:])
}

// withAffixes writes a shared secret as the provider's configuration expects it.
func withAffixes(spec *verifiers.Spec, b []byte) string {
	k := &spec.Key
	text := hex.EncodeToString(b)
	decode := k.Decode
	if decode == "" && spec.Scheme == verifiers.SchemeStandard {
		decode = "base64"
	}
	switch decode {
	case "base64":
		text = base64.StdEncoding.EncodeToString(b)
	case "base64url":
		text = base64.RawURLEncoding.EncodeToString(b)
	}
	if k.Split != "" {
		text = "key1" + k.Split + text
	}
	return k.DecodePrefix + k.StripPrefix + text
}

// otherSecret makes a secret of the same kind that is not the given one.
func otherSecret(spec *verifiers.Spec, secret string) (string, bool) {
	if spec.JWT != nil && spec.JWT.X5C != nil {
		return "", false
	}
	if strings.HasPrefix(secret, "whpk_") || strings.HasPrefix(secret, "whsk_") {
		sum := sha256.Sum256([]byte(secret))
		return "whsk_" + base64.StdEncoding.EncodeToString(sum[:]), true
	}
	other := testSecret(spec, 2)
	if id, _, ok := strings.Cut(secret, spec.Key.Split); ok && spec.Key.Split != "" {
		_, rest, _ := strings.Cut(other, spec.Key.Split)
		other = id + spec.Key.Split + rest
	}
	return other, true
}

var pairs = struct {
	sync.Mutex
	private map[string]string
}{private: map[string]string{}}

// privatePEM makes a key pair for an algorithm once.
func privatePEM(alg string, n int) string {
	pairs.Lock()
	defer pairs.Unlock()
	id := fmt.Sprint(alg, n)
	if p, ok := pairs.private[id]; ok {
		return p
	}
	var k crypto.PrivateKey
	var err error
	switch alg {
	case "ed25519", "EdDSA":
		_, k, err = ed25519.GenerateKey(rand.Reader)
	case "ES256":
		k, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ES384":
		k, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "ES512":
		k, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	default:
		k, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		panic(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		panic(err)
	}
	pairs.private[id] = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	return pairs.private[id]
}

// publicHalf returns the public key of a private one in PEM.
func publicHalf(secrets []verifiers.Secret) (string, bool) {
	if len(secrets) == 0 {
		return "", false
	}
	block, _ := pem.Decode(secrets[0].Bytes())
	if block == nil {
		return "", false
	}
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return "", false
	}
	signer, ok := k.(crypto.Signer)
	if !ok {
		return "", false
	}
	der, err := x509.MarshalPKIXPublicKey(signer.Public())
	if err != nil {
		return "", false
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), true
}
