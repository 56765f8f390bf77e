package verifiers_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/sluice-webhooks/sluice/verifiers"
	"github.com/sluice-webhooks/sluice/verifiers/verifierstest"
)

// TestSchemes runs the conformance suite over parameters that no provider of the catalogue may happen to use.
func TestSchemes(t *testing.T) {
	header := func(change func(s *verifiers.Signature)) verifiers.Signature {
		s := verifiers.Signature{Names: []string{"X-Sig"}}
		if change != nil {
			change(&s)
		}
		return s
	}
	timed := verifiers.Timestamp{In: "header", Names: []string{"X-Time"}, Unit: "rfc3339"}
	for name, s := range map[string]*verifiers.Spec{
		"ecdsa_p1363":     {Scheme: verifiers.SchemeECDSA, Signature: header(func(s *verifiers.Signature) { s.ECDSA, s.Encoding = "p1363", "base64url" })},
		"ecdsa_prehash":   {Scheme: verifiers.SchemeECDSA, Prehash: "sha512", Signature: header(nil), Signed: []string{"{timestamp}{body}"}, Timestamp: timed},
		"rsa_pss":         {Scheme: verifiers.SchemeRSA, Padding: "pss", Algorithm: "sha384", Signature: header(nil)},
		"ed25519_prehash": {Scheme: verifiers.SchemeEd25519, Prehash: "sha256", Signature: header(nil), Signed: []string{"{body}.{timestamp}"}, Timestamp: timed},
		"hmac_upper":      {Scheme: verifiers.SchemeHMAC, Algorithm: "sha512", Signature: header(func(s *verifiers.Signature) { s.Upper, s.Format = true, "sha512={signature}" })},
		"hmac_prehash":    {Scheme: verifiers.SchemeHMAC, Prehash: "sha256", Signature: header(nil)},
		"hmac_percent":    {Scheme: verifiers.SchemeHMAC, Signature: header(func(s *verifiers.Signature) { s.Percent, s.Encoding = true, "base64" })},
		"hmac_query":      {Scheme: verifiers.SchemeHMAC, Signature: verifiers.Signature{In: "query", Names: []string{"sig"}}, Signed: []string{"{method}\n{path}\n{body}"}},
		"hmac_key_id": {
			Scheme: verifiers.SchemeHMAC, Key: verifiers.Key{Split: ":", ID: "header:X-Key", Decode: "hex"}, Signature: header(nil), Signed: []string{"{id}.{body}"}, MessageID: "header:X-Id",
		},
		"hmac_numbered": {Scheme: verifiers.SchemeHMAC, Signature: verifiers.Signature{Names: []string{"X-Sig-{n}"}, Numbered: 3}},
		"hmac_algorithm_by": {
			Scheme: verifiers.SchemeHMAC, Signature: header(nil),
			AlgorithmBy: &verifiers.AlgorithmBy{From: "header:X-Alg", Names: map[string]string{"a": "sha256", "b": "sha512"}},
		},
		"concat":   {Scheme: verifiers.SchemeConcatHash, Algorithm: "sha1", Signature: header(nil), Signed: []string{"{secret}{timestamp}{body}"}, Timestamp: timed},
		"jwt_hs":   {Scheme: verifiers.SchemeJWT, Signature: header(nil), JWT: &verifiers.JWT{Algorithms: []string{"HS512"}, BodyHash: "h", BodyHashEncoding: "base64url", BodyHashAlgorithm: "sha512"}},
		"jwt_ed":   {Scheme: verifiers.SchemeJWT, Signature: header(nil), JWT: &verifiers.JWT{Algorithms: []string{"EdDSA"}, BodyHash: "h"}, Timestamp: verifiers.Timestamp{In: "claim", Names: []string{"iat"}}},
		"jws_body": {Scheme: verifiers.SchemeJWS, Signature: verifiers.Signature{In: "body"}, JWT: &verifiers.JWT{Algorithms: []string{"ES256"}}},
		"jws_detached": {
			Scheme: verifiers.SchemeJWS, Signature: header(nil), Signed: []string{"{timestamp}.{body>base64url}"}, Timestamp: timed,
			JWT: &verifiers.JWT{Algorithms: []string{"PS256"}, Detached: true, Headers: map[string]string{"purpose": "webhook"}},
		},
		"standard_hex": {Scheme: verifiers.SchemeStandard, Key: verifiers.Key{Decode: "hex"}},
	} {
		s.ID, s.Name, s.Confidence = name, name, verifiers.ConfidenceSeed
		s.Event.Type = "json:type || raw>jwt_payload>json:type"
		s.Examples = []verifiers.Example{{Type: "ping", Headers: map[string]string{"X-Alg": "b", "X-Id": "m1"}, Body: `{"type":"ping","id":"{{id}}"}`}}
		t.Run(name, func(t *testing.T) { verifierstest.Run(t, s) })
	}
}

// TestAlgorithmBy checks that the request chooses only among the hashes of the list.
func TestAlgorithmBy(t *testing.T) {
	p, err := verifiers.Compile(&verifiers.Spec{
		ID: "acme", Scheme: verifiers.SchemeHMAC, Signature: verifiers.Signature{Names: []string{"X-Sig"}},
		AlgorithmBy: &verifiers.AlgorithmBy{From: "header:X-Alg", Names: map[string]string{"new": "sha512", "old": "sha256"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for alg, want := range map[string]error{"new": nil, "old": nil, "sha1": verifiers.ErrMismatch, "": verifiers.ErrMismatch} {
		r := bearer("")
		if alg != "" {
			r.Header.Set("X-Alg", alg)
		}
		if err := p.Sign(r, verifiers.NewSecret([]byte("s")), "", r.At); err != nil {
			t.Fatal(err)
		}
		expectErr(t, "algorithm "+alg, verifyErr(p, r, "s"), want)
	}
}

// TestKeyForms configures one key pair in every form that people have it in.
func TestKeyForms(t *testing.T) {
	ec, rsaKey := newECKey(t), mustRSA(t)
	must := func(b []byte, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	block := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	spki := must(x509.MarshalPKIXPublicKey(ec.Public()))
	public := block("PUBLIC KEY", spki)
	jwk, err := json.Marshal(jose.JSONWebKey{Key: ec.Public()})
	if err != nil {
		t.Fatal(err)
	}
	rsaSPKI := must(x509.MarshalPKIXPublicKey(rsaKey.Public()))
	check := func(scheme string, private string, forms map[string]string) {
		t.Helper()
		p, err := verifiers.Compile(&verifiers.Spec{ID: "acme", Scheme: scheme, Signature: verifiers.Signature{Names: []string{"X-Sig"}, Encoding: "base64"}})
		if err != nil {
			t.Fatal(err)
		}
		r := bearer("")
		if err := p.Sign(r, verifiers.NewSecret([]byte(private)), "", r.At); err != nil {
			t.Fatal(err)
		}
		for name, form := range forms {
			if err := p.CheckSecret(verifiers.NewSecret([]byte(form))); err != nil {
				t.Errorf("%s %s: %v", scheme, name, err)
			}
			expectErr(t, scheme+" "+name, verifyErr(p, r, form), nil)
		}
	}
	check(verifiers.SchemeECDSA, privatePEM(t, ec), map[string]string{
		"PEM": public, "PEM with blanks around": "\n " + public + "\n", "PEM on one line": strings.ReplaceAll(public, "\n", " "),
		"PEM without line breaks": strings.ReplaceAll(public, "\n", ""), "PEM with escaped line breaks": strings.ReplaceAll(public, "\n", `\n`),
		"base64 of DER": base64.StdEncoding.EncodeToString(spki), "JWK": string(jwk), "private PEM": privatePEM(t, ec),
		"SEC 1": block("EC PRIVATE KEY", must(x509.MarshalECPrivateKey(ec))), "certificate": certPEM(certificate(t, "x", ec, nil, nil, true, "")),
	})
	check(verifiers.SchemeRSA, privatePEM(t, rsaKey), map[string]string{
		"PEM": block("PUBLIC KEY", rsaSPKI), "PKCS 1": block("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&rsaKey.PublicKey)),
		"private PKCS 1": block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey)), "base64 of DER": base64.StdEncoding.EncodeToString(rsaSPKI),
	})
	pub, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	check(verifiers.SchemeEd25519, privatePEM(t, private), map[string]string{
		"base64": base64.StdEncoding.EncodeToString(pub), "whpk_": "whpk_" + base64.StdEncoding.EncodeToString(pub), "PEM": block("PUBLIC KEY", must(x509.MarshalPKIXPublicKey(pub))),
		"whsk_ seed": "whsk_" + base64.StdEncoding.EncodeToString(private.Seed()), "whsk_": "whsk_" + base64.StdEncoding.EncodeToString(private),
	})
	refuse := func(scheme, name, form string) {
		p, err := verifiers.Compile(&verifiers.Spec{ID: "acme", Scheme: scheme, Signature: verifiers.Signature{Names: []string{"X-Sig"}}, Key: verifiers.Key{Decode: "hex"}})
		if err != nil {
			t.Fatal(err)
		}
		if p.CheckSecret(verifiers.NewSecret([]byte(form))) == nil {
			t.Errorf("%s takes %s", scheme, name)
		}
	}
	refuse(verifiers.SchemeECDSA, "an RSA key", block("PUBLIC KEY", rsaSPKI))
	refuse(verifiers.SchemeRSA, "an EC key", public)
	refuse(verifiers.SchemeEd25519, "31 bytes", hex.EncodeToString(pub[1:]))
	refuse(verifiers.SchemeEd25519, "an EC key", public)
	refuse(verifiers.SchemeRSA, "a broken JWK", `{"kty":"RSA"}`)
	refuse(verifiers.SchemeRSA, "half a PEM", public[:60])
	refuse(verifiers.SchemeHMAC, "text where hex is expected", "not hex")
}

// TestExampleTypes asks for examples by type.
func TestExampleTypes(t *testing.T) {
	p := compiled(t, "stripe")
	at := time.Unix(1700000000, 0)
	for _, eventType := range []string{"", "invoice.paid", "charge.succeeded"} {
		r, err := p.Example(eventType, at)
		if err != nil {
			t.Fatal(err)
		}
		ids, err := p.Identify(r, false)
		if err != nil || (eventType != "" && ids[0].Type != eventType) || !ids[0].Time.Equal(at) {
			t.Errorf("%q: %+v %v", eventType, ids, err)
		}
	}
	if _, err := p.Example("made.up", at); err == nil || !strings.Contains(err.Error(), "invoice.paid") {
		t.Errorf("an unknown type: %v", err)
	}
	if r, err := compiled(t, "vericato").Example("made.up", at); err != nil || r.Header.Get("X-Vericato-Event") != "made.up" {
		t.Errorf("a type that the body shows: %v", err)
	}
	bare, err := verifiers.Compile(&verifiers.Spec{ID: "acme", Scheme: verifiers.SchemeNone})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bare.Example("", at); err == nil {
		t.Error("an example out of nothing")
	}
}

// TestSetToken describes a token provider in the words of a configuration.
func TestSetToken(t *testing.T) {
	s := &verifiers.Spec{ID: "acme", Scheme: verifiers.SchemeJWT, Params: []verifiers.Param{{Name: "tenant"}}}
	for _, line := range [][]string{
		{"header", "Authorization"}, {"prefix", "Bearer "}, {"algorithms", "RS256", "ES256"}, {"claim", "iss", "https://idp.example"}, {"claim", "tid", "{param.tenant}"},
		{"body_hash", "digest", "base64"}, {"param", "tenant", "t1"}, {"jwks", "https://idp.example/keys"}, {"timestamp", "claim", "iat"}, {"elements", "items"}, {"methods", "POST", "PUT"},
		{"body", "json"}, {"refuse", "403"}, {"url_variants", "port"}, {"key_id", "header:X-Key"}, {"subject", "json:sub"}, {"event_time", "json:at"}, {"docs", "https://d.example"}, {"name", "Acme"},
	} {
		if ok, err := s.Set(line[0], line[1:]...); !ok || err != nil {
			t.Errorf("%v: %v %v", line, ok, err)
		}
	}
	if _, err := verifiers.Compile(s); err != nil {
		t.Error(err)
	}
	if s.JWT.Claims["tid"] != "{param.tenant}" || s.Values["tenant"] != "t1" || s.JWT.BodyHashEncoding != "base64" || s.RefuseStatus != 403 || s.KeySource.Kind != "jwks" {
		t.Errorf("%+v", s)
	}
}
