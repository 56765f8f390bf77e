package verifiers

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// jwtScheme verifies tokens: a JWT whose claims may bind the body, or a JWS over the signed content.
type jwtScheme struct {
	p      *Provider
	spec   *JWT
	algs   []jose.SignatureAlgorithm
	claims map[string]*Template
	leeway time.Duration
	roots  *x509.CertPool
	leaf   asn1.ObjectIdentifier
	inter  asn1.ObjectIdentifier
	// content makes a detached payload that no template describes; header adds to the header of a token that is signed. nil: neither.
	content func(a *attempt) (string, bool)
	header  func(opts *jose.SignerOptions)
}

var knownAlgorithms = []jose.SignatureAlgorithm{
	jose.HS256, jose.HS384, jose.HS512, jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512,
	jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
}

const (
	defaultLeeway = time.Minute
	// issuedFor is how long tokens that we sign are good for.
	issuedFor = 5 * time.Minute
)

func (s *jwtScheme) verify(ctx context.Context, a *attempt, secrets []Secret) (Proof, error) {
	if err := s.p.sig.read(a); err != nil {
		return Proof{}, err
	}
	if len(a.sigs) > 1 {
		return Proof{}, fmt.Errorf("%w: several tokens", ErrMalformed)
	}
	if err := s.readTimestamp(a); err != nil {
		return Proof{}, err
	}
	a.key = nil
	token, err := s.parse(a, a.sigs[0].value)
	if err != nil {
		return Proof{}, fmt.Errorf("%w: not a token of the allowed algorithms", ErrMalformed)
	}
	if err := s.checkHeader(&token.Signatures[0].Protected); err != nil {
		return Proof{}, err
	}
	payload, proof, err := s.verifyToken(ctx, a, token, secrets)
	if err != nil {
		return Proof{}, err
	}
	if s.p.spec.Scheme == SchemeJWS {
		if a.timestamp != "" {
			proof.SignedAt, err = parseTime(s.p.ts.unit, a.timestamp)
		} else if s.p.ts.in == "claim" {
			proof.SignedAt, err = s.claimTime(payload)
		}
		return proof, err
	}
	if err := s.checkClaims(a, payload); err != nil {
		return Proof{}, err
	}
	if s.p.ts.in == "claim" {
		proof.SignedAt, err = s.claimTime(payload)
	}
	return proof, err
}

// readTimestamp finds a timestamp outside of the token.
func (s *jwtScheme) readTimestamp(a *attempt) error {
	var err error
	if a.timestamp, err = s.p.ts.read(a); err != nil {
		return err
	}
	if a.timestamp == "" && len(s.p.ts.places) > 0 && !s.p.spec.Timestamp.Optional {
		return fmt.Errorf("%w: timestamp", ErrUnsigned)
	}
	return nil
}

// parse reads a compact token. Its algorithm must be one that the provider uses.
func (s *jwtScheme) parse(a *attempt, text string) (*jose.JSONWebSignature, error) {
	// The library overlooks stray bits at the end of a part: two spellings of one token would both verify.
	for segment := range strings.SplitSeq(text, ".") {
		if _, err := decodeBase64URL(segment); err != nil || strings.HasSuffix(segment, "=") {
			return nil, errEncoding
		}
	}
	if !s.spec.Detached {
		return jose.ParseSignedCompact(text, s.algs)
	}
	if strings.Count(text, ".") != 2 || !strings.Contains(text, "..") {
		return nil, errors.New("expected a detached token")
	}
	content, ok := s.detached(a)
	if !ok {
		return nil, errors.New("the request lacks a part that is signed")
	}
	return jose.ParseDetached(text, content, s.algs)
}

// detached is the payload that is not in the token.
func (s *jwtScheme) detached(a *attempt) ([]byte, bool) {
	if s.content == nil {
		return []byte(s.p.content[0].string(a)), true
	}
	text, ok := s.content(a)
	return []byte(text), ok
}

func (s *jwtScheme) checkHeader(h *jose.Header) error {
	for name, want := range s.spec.Headers {
		if got, ok := h.ExtraHeaders[jose.HeaderKey(name)].(string); !ok || got != want {
			return fmt.Errorf("%w: header %s of the token", ErrMismatch, name)
		}
	}
	return nil
}

// verifyToken finds a key that verifies the token and returns its payload.
func (s *jwtScheme) verifyToken(ctx context.Context, a *attempt, token *jose.JSONWebSignature, secrets []Secret) ([]byte, Proof, error) {
	header := &token.Signatures[0].Protected
	if s.spec.X5C != nil {
		payload, err := s.verifyX5C(a, token, secrets)
		return payload, Proof{SecretIndex: -1}, err
	}
	if len(secrets) > 0 || s.p.keySource == nil {
		payload, index := s.verifySecrets(a, token, header, secrets)
		if index < 0 {
			return nil, Proof{}, fmt.Errorf("%w with any of the secrets", ErrMismatch)
		}
		return payload, Proof{SecretIndex: index}, nil
	}
	newer := newerCopy
	if header.KeyID != "" {
		newer = currentCopy
	}
	for _, want := range []copyWanted{keptCopy, newer} {
		doc, err := s.keySet(ctx, a, header, want)
		if err != nil {
			return nil, Proof{}, err
		}
		known := false
		for _, k := range doc.jwks.Keys {
			if header.KeyID != "" && k.KeyID != header.KeyID {
				continue
			}
			known = known || header.KeyID != ""
			if !fitsAlgorithm(k.Key, header.Algorithm) {
				continue
			}
			if payload, err := token.Verify(k.Key); err == nil {
				return payload, Proof{SecretIndex: -1}, nil
			}
		}
		if known {
			break // the key is there and did not sign this: a newer copy would not help
		}
	}
	return nil, Proof{}, fmt.Errorf("%w with any of the published keys", ErrMismatch)
}

// keySet fetches the keys, from the address in the token's header where the provider has several and it is one of them.
func (s *jwtScheme) keySet(ctx context.Context, a *attempt, h *jose.Header, want copyWanted) (*keyDocument, error) {
	if len(s.spec.JKU) == 0 {
		return s.p.keySource.document(ctx, a, want)
	}
	jku, ok := h.ExtraHeaders["jku"].(string)
	if !ok || !slices.Contains(s.spec.JKU, jku) {
		return nil, fmt.Errorf("%w: address of the keys is not the provider's", ErrMismatch)
	}
	return s.p.keySource.fetch(ctx, a, jku, want)
}

// verifySecrets tries configured keys: shared secrets for HS*, public keys for the rest, never one as the other. The one that fits becomes a's, for claims
// that must name it.
func (s *jwtScheme) verifySecrets(a *attempt, token *jose.JSONWebSignature, h *jose.Header, secrets []Secret) ([]byte, int) {
	var payload []byte
	index := -1
	s.p.usable(secrets, "", func(i int, k *key) bool {
		if id := k.id; id != "" && h.KeyID != "" && id != h.KeyID {
			return false
		}
		for _, candidate := range s.candidates(k, h) {
			var err error
			if payload, err = token.Verify(candidate); err == nil {
				index, a.key = i, k
				return true
			}
		}
		return false
	})
	return payload, index
}

// candidates returns what of a configured key may verify a token of this algorithm.
func (s *jwtScheme) candidates(k *key, h *jose.Header) []any {
	pub := k.public
	if strings.HasPrefix(h.Algorithm, "HS") {
		if pub != nil {
			return nil // a public key is known to everybody: it must never be taken for a shared secret
		}
		return []any{paddedKey(k.bytes)}
	}
	if pub == nil || !fitsAlgorithm(pub, h.Algorithm) {
		return nil
	}
	return []any{pub}
}

// paddedKey lengthens a short shared secret with zero bytes, which HMAC does itself and which changes nothing. The library refuses short keys; some providers
// let their users choose one.
func paddedKey(b []byte) []byte {
	const longest = 64 // the size of the largest hash, and no more than the block of the smallest
	if len(b) >= longest {
		return b
	}
	return append(bytes.Clone(b), make([]byte, longest-len(b))...)
}

// parseTokenKey reads a secret of a token scheme as a key pair's half once, if it is one. Where all algorithms are asymmetric, nothing else will do.
func (k *key) parseTokenKey(p *Provider) error {
	if p.spec.Scheme != SchemeJWT && p.spec.Scheme != SchemeJWS || p.spec.JWT == nil || p.spec.JWT.X5C != nil {
		return nil
	}
	k.public = publicOf(k.bytes)
	shared := slices.ContainsFunc(p.spec.JWT.Algorithms, func(alg string) bool { return strings.HasPrefix(alg, "HS") })
	if k.public == nil && !shared {
		return fmt.Errorf("%w: expected a public key for %s", errSecretFormat, strings.Join(p.spec.JWT.Algorithms, ", "))
	}
	return nil
}

// publicOf reads bytes as a key pair's public half; nil if they are not one.
func publicOf(b []byte) crypto.PublicKey {
	k, err := parseKeyPair(b)
	if err != nil {
		return nil
	}
	if signer, ok := k.(crypto.Signer); ok {
		return signer.Public()
	}
	return k
}

func (s *jwtScheme) bodyHashAlgorithm() string {
	if s.spec.BodyHashAlgorithm == "" {
		return "sha256"
	}
	return s.spec.BodyHashAlgorithm
}

// bodyHash is the claim's value for a body.
func (s *jwtScheme) bodyHash(body []byte) string {
	h := hashes[s.bodyHashAlgorithm()].New()
	h.Write(body)
	return encodeSignature(s.spec.BodyHashEncoding, false, h.Sum(nil))
}
