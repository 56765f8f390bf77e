package verifiers

import "context"

// WithVerifier has v verify in place of a scheme, for a Spec of scheme [SchemeGuest]. If v is a [Signer] as well, the Provider signs with it.
func WithVerifier(v Verifier) Option { return func(p *Provider) { p.guest = v } }

// guestScheme is code from outside of this package.
type guestScheme struct{ guest Verifier }

func (s guestScheme) verify(ctx context.Context, a *attempt, secrets []Secret) (Proof, error) {
	return s.guest.Verify(ctx, a.r, secrets)
}

func (s guestScheme) sign(a *attempt, secret Secret) error {
	signer, ok := s.guest.(Signer)
	if !ok {
		return ErrCannotSign
	}
	return signer.Sign(a.r, secret, a.id, a.at)
}
