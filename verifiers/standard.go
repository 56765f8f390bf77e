package verifiers

import (
	"bytes"
	"context"
	"errors"
)

// standardScheme is Standard Webhooks: v1 with shared secrets (whsec_), v1a with public keys (whpk_). Both may stand in one header.
type standardScheme struct {
	v1, v1a contentScheme
}

// standardDefaults fills in what Standard Webhooks lays down. A provider may differ in the names of headers and in how its secret is written.
func standardDefaults(s *Spec) {
	if len(s.Signature.Names) == 0 {
		s.Signature.Names = []string{"webhook-signature"}
	}
	if s.Signature.Format == "" {
		s.Signature.Format, s.Signature.Separator = "v1,{signature}", " "
	}
	if len(s.Signed) == 0 {
		s.Signed = []string{"{id}.{timestamp}.{body}"}
	}
	if s.MessageID == "" {
		s.MessageID = "header:webhook-id"
	}
	if s.Timestamp.In == "" {
		s.Timestamp.In, s.Timestamp.Names = "header", []string{"webhook-timestamp"}
	}
	if s.Key.Decode == "" {
		s.Key.Decode = "base64"
	}
	if s.Key.Decode == "base64" && s.Key.StripPrefix == "" && s.Key.DecodePrefix == "" {
		s.Key.StripPrefix = "whsec_"
	}
	if s.Event.ID == "" {
		s.Event.ID = s.MessageID
	}
	if s.Event.Type == "" {
		s.Event.Type = "json:type"
	}
	if s.Event.Time == "" {
		s.Event.Time = "json:timestamp"
	}
}

func newStandardScheme(p *Provider) (*standardScheme, error) {
	asymmetric := p.sig
	format, err := parseFormat("v1a,{signature}", " ")
	if err != nil {
		return nil, err
	}
	asymmetric.format = format
	return &standardScheme{
		v1:  contentScheme{p: p, sig: &p.sig, enc: "base64", algo: hmacAlgorithm{p}, takes: func(s Secret) bool { return !isKeyPair(s.value) }},
		v1a: contentScheme{p: p, sig: &asymmetric, enc: "base64", algo: ed25519Algorithm{p}, takes: func(s Secret) bool { return isKeyPair(s.value) }},
	}, nil
}

// isKeyPair tells a v1a key from a v1 secret.
func isKeyPair(secret []byte) bool {
	return bytes.HasPrefix(secret, []byte("whpk_")) || bytes.HasPrefix(secret, []byte("whsk_"))
}

func (s *standardScheme) verify(ctx context.Context, a *attempt, secrets []Secret) (Proof, error) {
	var shared, pairs bool
	for _, secret := range secrets {
		if isKeyPair(secret.value) {
			pairs = true
		} else {
			shared = true
		}
	}
	if !pairs {
		return s.v1.verify(ctx, a, secrets)
	}
	proof, err := s.v1a.verify(ctx, a, secrets)
	if err == nil || !shared {
		return proof, err
	}
	proof, sharedErr := s.v1.verify(ctx, a, secrets)
	// Of two refusals the one that got further says more.
	if sharedErr != nil && errors.Is(err, ErrMismatch) {
		return Proof{}, err
	}
	return proof, sharedErr
}

func (s *standardScheme) sign(a *attempt, secret Secret) error {
	if isKeyPair(secret.value) {
		return s.v1a.sign(a, secret)
	}
	return s.v1.sign(a, secret)
}
