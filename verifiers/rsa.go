package verifiers

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"errors"
)

// rsaAlgorithm signs the hash of the content.
type rsaAlgorithm struct{ p *Provider }

func (s rsaAlgorithm) match(a *attempt, t *Template, k *key) int {
	pub, ok := k.public.(*rsa.PublicKey)
	fn, allowed := s.p.hashFor(a)
	if !ok || !allowed {
		return -1
	}
	content := func(timestamp string) []byte { return s.p.contentDigest(a, t, fn, timestamp) }
	return a.matchContent(k, content, func(digest, sig []byte) bool {
		if s.p.spec.Padding == "pss" {
			return rsa.VerifyPSS(pub, fn.ID, digest, sig, nil) == nil
		}
		return rsa.VerifyPKCS1v15(pub, fn.ID, digest, sig) == nil
	})
}

func (s rsaAlgorithm) sign(a *attempt, t *Template, k *key) ([]byte, error) {
	private, ok := k.private.(*rsa.PrivateKey)
	if !ok {
		return nil, errPublicKey
	}
	fn, ok := s.p.hashFor(a)
	if !ok {
		fn = s.p.hash
	}
	var opts crypto.SignerOpts = fn.ID
	if s.p.spec.Padding == "pss" {
		opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: fn.ID}
	}
	return private.Sign(rand.Reader, s.p.contentDigest(a, t, fn, a.timestamp), opts)
}

// fetchedScheme verifies with published keys, unless the configuration pins keys of its own.
type fetchedScheme struct {
	contentScheme
}

func (s *fetchedScheme) verify(ctx context.Context, a *attempt, secrets []Secret) (Proof, error) {
	if len(secrets) > 0 {
		return s.contentScheme.verify(ctx, a, secrets)
	}
	if err := s.prepare(a); err != nil {
		return Proof{}, err
	}
	keyID := s.p.keyID.eval(a)
	if keyID == "" {
		keyID = a.sigs[0].keyID
	}
	proof, err := s.tryFetched(ctx, a, keyID, keptCopy)
	if keyID == "" && errors.Is(err, ErrMismatch) && s.p.keySource.url.fixed() {
		// nothing says which key it was, so it may be one that has been published since
		return s.tryFetched(ctx, a, keyID, newerCopy)
	}
	return proof, err
}

func (s *fetchedScheme) tryFetched(ctx context.Context, a *attempt, keyID string, want copyWanted) (Proof, error) {
	keys, err := s.p.keySource.keys(ctx, a, keyID, want)
	if err != nil {
		return Proof{}, err
	}
	return s.try(a, func(f func(int, *key) bool) {
		for _, k := range keys {
			if f(-1, k) {
				return
			}
		}
	})
}
