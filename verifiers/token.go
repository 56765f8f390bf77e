package verifiers

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"
)

// tokenScheme compares a shared secret that is sent as it is. Where several values are found (an element each of an array) all must be right.
type tokenScheme struct{ p *Provider }

func (s tokenScheme) verify(_ context.Context, a *attempt, secrets []Secret) (Proof, error) {
	if err := s.p.sig.read(a); err != nil {
		return Proof{}, err
	}
	if err := s.p.sig.decode(a, s.p.signatureEncoding()); err != nil {
		return Proof{}, err
	}
	index := -1
	for i := range a.sigs {
		item := &a.sigs[i]
		index = -1
		s.p.usable(secrets, s.p.keyID.eval(a), func(n int, k *key) bool {
			if !item.skip(k) && subtle.ConstantTimeCompare(a.encoded[item.from:item.to], k.bytes) == 1 {
				index = n
			}
			return index >= 0
		})
		if index < 0 {
			return Proof{}, fmt.Errorf("%w: token", ErrMismatch)
		}
	}
	return Proof{SecretIndex: index}, nil
}

func (s tokenScheme) sign(a *attempt, secret Secret) error {
	k, err := s.p.key(secret)
	if err != nil {
		return err
	}
	return s.p.sig.write(a, encodeSignature(s.p.signatureEncoding(), s.p.spec.Signature.Upper, k.bytes), "", k.id)
}

// basicScheme is HTTP Basic; the secret is "user:password".
type basicScheme struct{ p *Provider }

func (s basicScheme) verify(_ context.Context, a *attempt, secrets []Secret) (Proof, error) {
	values := a.r.Header["Authorization"]
	if len(values) == 0 || values[0] == "" {
		return Proof{}, fmt.Errorf("%w: header Authorization", ErrUnsigned)
	}
	const prefix = "Basic "
	v := values[0]
	if len(values) > 1 || len(v) > maxSignatureValue || len(v) < len(prefix) || !strings.EqualFold(v[:len(prefix)], prefix) {
		return Proof{}, fmt.Errorf("%w: expected Basic credentials", ErrMalformed)
	}
	credentials, err := base64.StdEncoding.DecodeString(v[len(prefix):])
	if err != nil || !strings.Contains(string(credentials), ":") {
		return Proof{}, fmt.Errorf("%w: expected Basic credentials", ErrMalformed)
	}
	index := -1
	s.p.usable(secrets, "", func(n int, k *key) bool {
		if subtle.ConstantTimeCompare(credentials, k.bytes) == 1 {
			index = n
		}
		return index >= 0
	})
	if index < 0 {
		return Proof{}, fmt.Errorf("%w: credentials", ErrMismatch)
	}
	return Proof{SecretIndex: index}, nil
}

func (s basicScheme) sign(a *attempt, secret Secret) error {
	k, err := s.p.key(secret)
	if err != nil {
		return err
	}
	a.r.Header["Authorization"] = []string{"Basic " + base64.StdEncoding.EncodeToString(k.bytes)}
	return nil
}

// noneScheme is for providers that sign nothing. Whoever configures one must fence it in some other way.
type noneScheme struct{}

func (noneScheme) verify(context.Context, *attempt, []Secret) (Proof, error) {
	return Proof{SecretIndex: -1}, nil
}

func (noneScheme) sign(*attempt, Secret) error { return nil }
