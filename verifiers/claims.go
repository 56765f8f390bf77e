package verifiers

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/tidwall/gjson"
)

// fitsAlgorithm tells whether a public key is of the kind that an algorithm uses.
func fitsAlgorithm(k crypto.PublicKey, alg string) bool {
	switch k := k.(type) {
	case *rsa.PublicKey:
		return (strings.HasPrefix(alg, "RS") || strings.HasPrefix(alg, "PS")) && k.N.BitLen() >= minRSABits
	case *ecdsa.PublicKey:
		return strings.HasPrefix(alg, "ES")
	case ed25519.PublicKey:
		return alg == string(jose.EdDSA)
	case []byte:
		return strings.HasPrefix(alg, "HS")
	}
	return false
}

// checkClaims checks what a verified token says.
func (s *jwtScheme) checkClaims(a *attempt, payload []byte) error {
	claims := gjson.ParseBytes(payload)
	if !ValidJSON(payload) || !claims.IsObject() {
		return fmt.Errorf("%w: claims are not a JSON object", ErrMalformed)
	}
	if err := s.checkTimes(a.r.At, claims); err != nil {
		return err
	}
	for name, t := range s.claims {
		want := t.string(a)
		got := claims.Get(gjson.Escape(name))
		switch {
		case want == "*" && got.Exists(), want != "*" && want != "" && claimHas(got, want):
		case want == "" && t.text != "": // a param that was not given asks for nothing
		default:
			return fmt.Errorf("%w: claim %s", ErrMismatch, name)
		}
	}
	if s.spec.BodyHash == "" {
		return nil
	}
	got := claims.Get(gjson.Escape(s.spec.BodyHash)).String()
	if got == "" && s.spec.BodyHashOptional && len(a.r.Body) == 0 {
		return nil
	}
	want := s.bodyHash(a.r.Body)
	if s.spec.BodyHashEncoding == "base64" || s.spec.BodyHashEncoding == "base64url" {
		got, want = strings.TrimRight(got, "="), strings.TrimRight(want, "=")
	} else {
		got = strings.ToLower(got)
	}
	if subtle.ConstantTimeCompare([]byte(got), []byte(want)) != 1 {
		return fmt.Errorf("%w: claim %s is not the hash of the body", ErrMismatch, s.spec.BodyHash)
	}
	return nil
}

// claimHas compares a claim; of an array (aud) one element must agree.
func claimHas(claim gjson.Result, want string) bool {
	if !claim.IsArray() {
		return claim.Exists() && claim.String() == want
	}
	return slices.ContainsFunc(claim.Array(), func(e gjson.Result) bool { return e.String() == want })
}

func (s *jwtScheme) checkTimes(at time.Time, claims gjson.Result) error {
	exp, nbf := claims.Get("exp"), claims.Get("nbf")
	switch {
	case s.spec.RequireExpiry && exp.Type != gjson.Number:
		return fmt.Errorf("%w: claim exp", ErrUnsigned)
	case exp.Exists() && exp.Type != gjson.Number, nbf.Exists() && nbf.Type != gjson.Number:
		return fmt.Errorf("%w: claim exp or nbf is not a time", ErrMalformed)
	case exp.Exists() && float64(at.Add(-s.leeway).Unix()) >= exp.Float():
		return fmt.Errorf("%w: token has expired", ErrStale)
	case nbf.Exists() && float64(at.Add(s.leeway).Unix()) < nbf.Float():
		return fmt.Errorf("%w: token is not valid yet", ErrStale)
	}
	return nil
}

// claimTime reads the timestamp out of a verified payload.
func (s *jwtScheme) claimTime(payload []byte) (time.Time, error) {
	for _, name := range s.p.spec.Timestamp.Names {
		if v := jsonValue(payload, name); v != "" {
			return parseTime(s.p.ts.unit, wholeNumber(getJSON(payload, name), v))
		}
	}
	if s.p.spec.Timestamp.Optional {
		return time.Time{}, nil
	}
	return time.Time{}, fmt.Errorf("%w: timestamp", ErrUnsigned)
}

// wholeNumber is a claim's text without the fraction that a number may have (NumericDate, RFC 7519 section 2), and without an exponent.
func wholeNumber(claim gjson.Result, text string) string {
	if claim.Type != gjson.Number || !strings.ContainsAny(text, ".eE") || claim.Num < 0 || claim.Num >= 1<<53 {
		return text
	}
	return strconv.FormatInt(int64(claim.Num), 10)
}

// sign makes a token as the provider would. It needs a shared secret or a private key.
func (s *jwtScheme) sign(a *attempt, secret Secret) error {
	k, err := s.p.key(secret)
	if err != nil {
		return err
	}
	alg, signingKey, err := s.signingKey(k)
	if err != nil {
		return err
	}
	if err := s.p.writeSigningValues(a, k); err != nil {
		return err
	}
	a.body, a.key = a.r.Body, k
	opts := &jose.SignerOptions{}
	if k.id != "" {
		opts.WithHeader("kid", k.id)
	}
	for _, name := range slices.Sorted(maps.Keys(s.spec.Headers)) {
		opts.WithHeader(jose.HeaderKey(name), s.spec.Headers[name])
	}
	if s.p.spec.Scheme == SchemeJWT {
		opts.WithType("JWT")
	}
	if s.header != nil {
		s.header(opts)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: signingKey}, opts)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCannotSign, err)
	}
	payload, err := s.payload(a)
	if err != nil {
		return err
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCannotSign, err)
	}
	serialize := jws.CompactSerialize
	if s.spec.Detached {
		serialize = jws.DetachedCompactSerialize
	}
	token, err := serialize()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCannotSign, err)
	}
	return s.p.sig.write(a, token, a.timestamp, k.id)
}

// signingKey picks the first allowed algorithm that the key is for.
func (s *jwtScheme) signingKey(k *key) (jose.SignatureAlgorithm, any, error) {
	if s.spec.X5C != nil {
		return "", nil, fmt.Errorf("%w: the chain of certificates is the provider's own", ErrCannotSign)
	}
	parsed, err := parseKeyPair(k.bytes)
	private, isPrivate := parsed.(crypto.Signer)
	if err == nil && !isPrivate {
		return "", nil, errPublicKey
	}
	for _, alg := range s.algs {
		switch {
		case err != nil && strings.HasPrefix(string(alg), "HS"):
			return alg, paddedKey(k.bytes), nil
		case err == nil && fitsAlgorithm(private.Public(), string(alg)):
			return alg, private, nil
		}
	}
	return "", nil, fmt.Errorf("%w: the secret is not a key for %s", ErrCannotSign, strings.Join(s.spec.Algorithms, ", "))
}

// payload is what the token of a request says: the signed content, or the claims. Where the token is the whole body, the body given becomes its claims,
// or those of the token that it is already, which is signed anew.
func (s *jwtScheme) payload(a *attempt) ([]byte, error) {
	if s.p.spec.Scheme == SchemeJWS && s.spec.Detached {
		content, ok := s.detached(a)
		if !ok {
			return nil, fmt.Errorf("%w: the request lacks a part that is signed", ErrCannotSign)
		}
		return content, nil
	}
	claims := map[string]any{}
	if s.p.sig.place == placeRaw || s.p.spec.Scheme == SchemeJWS {
		body := bytes.TrimSpace(a.r.Body)
		if !bytes.HasPrefix(body, []byte{'{'}) {
			if text, ok := jwtPayload(string(body)); ok {
				body = []byte(text)
			}
		}
		numbers := json.NewDecoder(bytes.NewReader(body))
		numbers.UseNumber() // as they are written
		if err := numbers.Decode(&claims); err != nil {
			return nil, fmt.Errorf("%w: body is not a JSON object", ErrCannotSign)
		}
	}
	if s.p.spec.Scheme == SchemeJWT {
		claims["iat"], claims["exp"] = a.at.Unix(), a.at.Add(issuedFor).Unix()
		for name, t := range s.claims {
			v := t.string(a)
			if _, has := claims[name]; v == "*" && has {
				continue // as the body says
			} else if v == "*" {
				v = cmp.Or(a.id, rand.Text())
			}
			switch v {
			case "":
			case "true", "false":
				claims[name] = v == "true" // as providers write it, and as applications ask for it
			default:
				claims[name] = v
			}
		}
		if s.spec.BodyHash != "" {
			claims[s.spec.BodyHash] = s.bodyHash(a.r.Body)
		}
	}
	return json.Marshal(claims)
}
