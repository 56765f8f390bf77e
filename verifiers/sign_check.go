package verifiers

import (
	"fmt"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// CheckSigning tells at configuration time whether Sign can use a secret. Verify makes do with a public key, and so does [Provider.CheckSecret]; Sign does not.
func (p *Provider) CheckSigning(s Secret) error {
	switch scheme := p.scheme.(type) {
	case noneScheme:
		return nil
	case guestScheme:
		if _, ok := scheme.guest.(Signer); !ok {
			return fmt.Errorf("%w: its plugin only verifies", ErrCannotSign)
		}
	}
	err := p.CheckSecret(s)
	if err == nil {
		err = p.tryKey(s)
	}
	if want := p.privateKey(s); err != nil && want != "" {
		return fmt.Errorf("%w: expected %s", errSecretFormat, want)
	}
	return err
}

// tryKey tells whether the key that a secret is can sign.
func (p *Provider) tryKey(s Secret) error {
	k, err := p.key(s)
	if err != nil {
		return err
	}
	if tokens, ok := p.scheme.(*jwtScheme); ok {
		return tokens.tryKey(k)
	}
	if k.public != nil && k.private == nil {
		return errPublicKey
	}
	return nil
}

// tryKey signs nothing in particular: only then is a key of the wrong curve known.
func (s *jwtScheme) tryKey(k *key) error {
	alg, signingKey, err := s.signingKey(k)
	if err != nil {
		return err
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: signingKey}, nil)
	if err == nil {
		_, err = signer.Sign([]byte("{}"))
	}
	return err
}

// keyForms are the ways to write one half of a key pair.
const keyForms = " (PEM, base64 of DER, or a JWK)"

// privateKey says which key can sign in place of the provider's; empty if none can, or any secret.
func (p *Provider) privateKey(s Secret) string {
	switch {
	case p.spec.Scheme == SchemeJWT || p.spec.Scheme == SchemeJWS:
		if p.spec.JWT.X5C != nil {
			return ""
		}
		return p.tokenKey()
	case !p.wantsPublicKey(s.value):
		return ""
	case p.spec.Scheme == SchemeECDSA:
		return "an ECDSA private key" + keyForms
	case p.spec.Scheme == SchemeEd25519 || p.spec.Scheme == SchemeStandard:
		return "an Ed25519 private key"
	}
	return "an RSA private key" + keyForms
}

// tokenKey says which key can sign tokens.
func (p *Provider) tokenKey() string {
	var pairs []string
	shared := ""
	for _, alg := range p.spec.JWT.Algorithms {
		if strings.HasPrefix(alg, "HS") {
			shared = "a shared secret"
			continue
		}
		pairs = append(pairs, alg)
	}
	if len(pairs) == 0 {
		return shared
	}
	if shared != "" {
		shared += " or "
	}
	return shared + "a private key for " + strings.Join(pairs, ", ") + keyForms
}
