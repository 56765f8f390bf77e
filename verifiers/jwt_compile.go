package verifiers

import (
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

func newJWTScheme(p *Provider) (*jwtScheme, error) {
	s := &jwtScheme{p: p, spec: p.spec.JWT, claims: map[string]*Template{}, leeway: defaultLeeway}
	if s.spec == nil || len(s.spec.Algorithms) == 0 {
		return nil, fieldError("jwt.algorithms", "expected at least one: a token must not choose its own")
	}
	for _, alg := range s.spec.Algorithms {
		if !slices.Contains(knownAlgorithms, jose.SignatureAlgorithm(alg)) {
			return nil, fieldError("jwt.algorithms", "%q is not known: expected %v", alg, knownAlgorithms)
		}
		s.algs = append(s.algs, jose.SignatureAlgorithm(alg))
	}
	if s.spec.Leeway > 0 {
		s.leeway = s.spec.Leeway.Std()
	}
	for name, text := range s.spec.Claims {
		t, err := p.parseTemplate("jwt.claims."+name, text)
		if err != nil {
			return nil, err
		}
		if !t.claimable() {
			return nil, fieldError("jwt.claims."+name, "%q: expected fixed text, params, {secret_id}, or a hash over {method} or {url}", text)
		}
		s.claims[name] = t
	}
	if _, ok := hashes[s.bodyHashAlgorithm()]; !ok {
		return nil, fieldError("jwt.body_hash_algorithm", "%q is not known: expected %s", s.spec.BodyHashAlgorithm, names(hashes))
	}
	if !slices.Contains([]string{"", "hex", "base64", "base64url"}, s.spec.BodyHashEncoding) {
		return nil, fieldError("jwt.body_hash_encoding", "%q is not known: expected hex, base64 or base64url", s.spec.BodyHashEncoding)
	}
	if err := s.compileJKU(); err != nil {
		return nil, err
	}
	return s, s.compileX5C()
}

// compileJKU makes the allowed addresses a key source of their own hosts.
func (s *jwtScheme) compileJKU() error {
	if len(s.spec.JKU) == 0 || s.p.keySource != nil {
		return nil
	}
	src := &KeySource{Kind: "jwks", URL: s.spec.JKU[0]}
	for _, addr := range s.spec.JKU {
		if err := checkKeyAddress(addr); err != nil {
			return fieldError("jwt.jku", "%w", err)
		}
		u, err := url.Parse(addr)
		if err != nil {
			return fieldError("jwt.jku", "%w", err)
		}
		src.Hosts = append(src.Hosts, u.Hostname())
	}
	return s.p.newKeySource(src)
}

func (s *jwtScheme) compileX5C() error {
	x := s.spec.X5C
	if x == nil {
		return nil
	}
	if x.Length != 0 && x.Length < 2 {
		return fieldError("jwt.x5c.length", "expected at least 2: a leaf and its root")
	}
	if x.Root != "" {
		s.roots = x509.NewCertPool()
		if !s.roots.AppendCertsFromPEM([]byte(x.Root)) {
			return fieldError("jwt.x5c.root", "expected a certificate in PEM")
		}
	}
	var err error
	if s.leaf, err = parseOID(x.LeafOID); err != nil {
		return fieldError("jwt.x5c.leaf_oid", "%w", err)
	}
	if s.inter, err = parseOID(x.IntermediateOID); err != nil {
		return fieldError("jwt.x5c.intermediate_oid", "%w", err)
	}
	return nil
}

func parseOID(s string) (asn1.ObjectIdentifier, error) {
	var oid asn1.ObjectIdentifier
	if s == "" {
		return nil, nil
	}
	for _, part := range strings.Split(s, ".") {
		n, err := strconv.Atoi(part)
		if err != nil {
			return nil, fmt.Errorf("%q: expected numbers joined by dots", s)
		}
		oid = append(oid, n)
	}
	return oid, nil
}
