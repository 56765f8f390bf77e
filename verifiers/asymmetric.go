package verifiers

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// wantsPublicKey tells whether a configured secret is one half of a key pair.
func (p *Provider) wantsPublicKey(secret []byte) bool {
	switch p.spec.Scheme {
	case SchemeEd25519, SchemeECDSA, SchemeRSA, SchemeRSACert:
		return true
	case SchemeStandard:
		return isKeyPair(secret)
	}
	return false
}

// parseAsymmetric reads k.bytes as a key of the provider's scheme. A private key is taken as well: it signs, and verifies with its public half.
func (k *key) parseAsymmetric(p *Provider) error {
	var pair crypto.PublicKey
	var err error
	if p.spec.Scheme == SchemeEd25519 || p.spec.Scheme == SchemeStandard {
		pair, err = parseEd25519(k.bytes, p.spec.Key.Decode)
	} else {
		pair, err = parseKeyPair(k.bytes)
	}
	if err != nil {
		return err
	}
	if signer, ok := pair.(crypto.Signer); ok {
		k.private, pair = signer, signer.Public()
	}
	k.public = pair
	switch p.spec.Scheme {
	case SchemeEd25519, SchemeStandard:
		_, ok := pair.(ed25519.PublicKey)
		return kindError(ok, "an Ed25519 key")
	case SchemeECDSA:
		_, ok := pair.(*ecdsa.PublicKey)
		return kindError(ok, "an ECDSA key")
	default:
		pub, ok := pair.(*rsa.PublicKey)
		return kindError(ok && pub.N.BitLen() >= minRSABits, "an RSA key of at least 1024 bits")
	}
}

// minRSABits refuses keys that anyone can factor.
const minRSABits = 1024

func kindError(ok bool, what string) error {
	if ok {
		return nil
	}
	return fmt.Errorf("%w: expected %s", errSecretFormat, what)
}

// parseEd25519 reads 32 bytes of a public key, or 64 of a private one (whsk_: seed and public key), in the given encoding, or what parseKeyPair takes.
func parseEd25519(b []byte, decode string) (crypto.PublicKey, error) {
	text := string(b)
	var raw []byte
	var err error
	private := strings.HasPrefix(text, "whsk_")
	text = strings.TrimPrefix(strings.TrimPrefix(text, "whsk_"), "whpk_")
	switch decode {
	case "hex":
		raw, err = hex.DecodeString(text)
	case "base64url":
		raw, err = decodeBase64URL(text)
	default:
		raw, err = decodeBase64(text)
	}
	switch {
	case err == nil && len(raw) == ed25519.PublicKeySize && !private:
		return ed25519.PublicKey(raw), nil
	case err == nil && len(raw) == ed25519.SeedSize:
		return ed25519.NewKeyFromSeed(raw), nil
	case err == nil && len(raw) == ed25519.PrivateKeySize:
		return ed25519.NewKeyFromSeed(raw[:ed25519.SeedSize]), nil
	}
	return parseKeyPair(b)
}

// parseKeyPair reads a public or private key: PEM (SPKI, PKCS#1, PKCS#8, SEC 1, a certificate), the base64 of such DER, or a JWK.
func parseKeyPair(b []byte) (crypto.PublicKey, error) {
	text := strings.TrimSpace(string(b))
	if strings.HasPrefix(text, "{") {
		var jwk jose.JSONWebKey
		if err := json.Unmarshal([]byte(text), &jwk); err != nil || !jwk.Valid() {
			return nil, fmt.Errorf("%w: not a valid JWK", errSecretFormat)
		}
		return jwk.Key, nil
	}
	if block, _ := pem.Decode([]byte(repairPEM(text))); block != nil {
		return parseDER(block.Bytes)
	}
	der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		return nil, fmt.Errorf("%w: expected PEM, base64 of DER, or a JWK", errSecretFormat)
	}
	return parseDER(der)
}

// repairPEM puts line breaks back that an environment variable or a one-line key lost.
func repairPEM(text string) string {
	text = strings.ReplaceAll(text, `\n`, "\n")
	if strings.Contains(text, "\n") || !strings.HasPrefix(text, "-----BEGIN ") {
		return text
	}
	head, rest, ok := strings.Cut(text[len("-----BEGIN "):], "-----")
	body, _, ok2 := strings.Cut(rest, "-----END ")
	if !ok || !ok2 {
		return text
	}
	return "-----BEGIN " + head + "-----\n" + strings.Join(strings.Fields(body), "\n") + "\n-----END " + head + "-----\n"
}

func parseDER(der []byte) (crypto.PublicKey, error) {
	if k, err := x509.ParsePKIXPublicKey(der); err == nil {
		return k, nil
	}
	if k, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		return k, nil
	}
	if k, err := x509.ParsePKCS1PublicKey(der); err == nil {
		return k, nil
	}
	if k, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return k, nil
	}
	if k, err := x509.ParseECPrivateKey(der); err == nil {
		return k, nil
	}
	if c, err := x509.ParseCertificate(der); err == nil {
		return c.PublicKey, nil
	}
	return nil, fmt.Errorf("%w: expected a public or private key or a certificate", errSecretFormat)
}
