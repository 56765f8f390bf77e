package verifierstest

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/verifiers"
)

// signable tells whether anybody but the provider can make requests of its kind.
func signable(spec *verifiers.Spec) bool {
	return spec.JWT == nil || spec.JWT.X5C == nil
}

// testExamples checks that examples are requests as the provider sends them.
func testExamples(t *testing.T, spec *verifiers.Spec) {
	p := compile(t, spec, nil, nil)
	if len(spec.Examples) == 0 {
		t.Fatal("no example")
	}
	for _, e := range spec.Examples {
		r, err := p.Example(e.Type, now)
		if err != nil {
			t.Fatal(err)
		}
		later, err := p.Example(e.Type, now.Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(r.Body)+r.URL.String(), "{{") {
			t.Errorf("%s: something is not filled in: %s", e.Type, r.Body)
		}
		if spec.Signature.In == "body" {
			continue // the example is what will be signed; it is read once it is
		}
		checkExample(t, p, e.Type, r, later)
	}
}

func checkExample(t *testing.T, p *verifiers.Provider, eventType string, r, later *verifiers.Request) {
	t.Helper()
	ids, err := p.Identify(r, false)
	if err != nil {
		t.Fatalf("%s: %v", eventType, err)
	}
	id := ids[0]
	if id.EventID == "" || id.Type == "" || id.DedupKey == "" {
		t.Errorf("%s: identified as %+v", eventType, id)
	}
	if eventType != "" && id.Type != eventType {
		t.Errorf("example of type %q is identified as %q", eventType, id.Type)
	}
	again, err := p.Identify(r, false)
	if err != nil || again[0].DedupKey != id.DedupKey || again[0].EventID != id.EventID {
		t.Errorf("%s: identified anew as %+v: %v", eventType, again, err)
	}
	if other, err := p.Identify(later, false); err != nil || other[0].DedupKey == id.DedupKey {
		t.Errorf("%s: examples of two times are the same event %q: %v", eventType, id.DedupKey, err)
	}
	if b := p.Spec().Batch; b != nil {
		parts, err := p.Identify(r, true)
		if err != nil || len(parts) == 0 {
			t.Fatalf("%s: split into %v: %v", eventType, parts, err)
		}
		seen := map[string]bool{}
		for _, part := range parts {
			if part.EventID == "" || part.DedupKey == "" || part.Type == "" || len(part.Body) == 0 || seen[part.DedupKey] {
				t.Errorf("%s: element identified as %+v", eventType, part)
			}
			seen[part.DedupKey] = true
		}
	}
	for _, verified := range []bool{false, true} {
		if _, ok, err := p.Challenge(context.Background(), r, nil, verified); ok {
			t.Errorf("%s: taken for a handshake: %v", eventType, err)
		}
	}
}

// testSigning signs each example as the provider would, verifies it, and treats it as the vectors are treated.
func testSigning(t *testing.T, spec *verifiers.Spec) {
	p := compile(t, spec, nil, nil)
	secret := ""
	if spec.Scheme != verifiers.SchemeNone {
		secret = testSecret(spec, 1)
	}
	for i, e := range spec.Examples {
		r, err := p.Example(e.Type, now)
		if err != nil {
			t.Fatal(err)
		}
		if r.Header.Get("Content-Type") == "" {
			t.Errorf("%s: no content type", e.Type)
		}
		err = p.Sign(r, verifiers.NewSecret([]byte(secret)), "msg_test", now)
		if !signable(spec) {
			if !errors.Is(err, verifiers.ErrCannotSign) {
				t.Errorf("%s: signed: %v", e.Type, err)
			}
			return
		}
		if err != nil {
			t.Fatalf("%s: %v", e.Type, err)
		}
		g := genuine{p: p, spec: spec, r: r, secrets: secretsOf(secret)}
		g.proof = mustAccept(t, p, r, g.secrets, "signed example "+e.Type)
		if _, err := p.Identify(r, false); err != nil {
			t.Errorf("%s: signed example is not readable: %v", e.Type, err)
		}
		if i == 0 {
			testGenuine(t, g)
			testResigned(t, g)
			testForeignPublic(t, g)
			testForeignID(t, g)
			testForeignType(t, g)
		}
	}
}

// testForeignPublic checks that a public half, which everybody may know, cannot sign.
func testForeignPublic(t *testing.T, g genuine) {
	public, ok := publicHalf(g.secrets)
	if !ok {
		return
	}
	mustAccept(t, g.p, g.r, secretsOf(public), "with the public half of the key")
	if err := g.p.Sign(clone(g.r), verifiers.NewSecret([]byte(public)), "msg_test", now); !errors.Is(err, verifiers.ErrCannotSign) {
		t.Errorf("signed with a public key: %v", err)
	}
}

// testForeignID puts what is not signed of another event onto a genuine request: that must not make it pass for the other event.
func testForeignID(t *testing.T, g genuine) {
	if unbound(g.spec) || g.spec.Dedup.Key != "" || g.spec.Signature.In == "body" {
		return
	}
	other, err := g.p.Example(g.spec.Examples[0].Type, now.Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if err := g.p.Sign(other, g.secrets[0], "msg_other", now); err != nil {
		t.Fatal(err)
	}
	if string(other.Body) == string(g.r.Body) {
		return
	}
	forged := clone(g.r)
	for _, name := range slices.Sorted(maps.Keys(other.Header)) {
		before := forged.Header[name]
		forged.Header[name] = other.Header[name]
		if verify(g.p, forged, g.secrets) != nil {
			forged.Header[name] = before
		}
	}
	genuine, err := g.p.Identify(other, false)
	if err != nil {
		t.Fatal(err)
	}
	if ids, err := g.p.Identify(forged, false); err != nil || ids[0].DedupKey == genuine[0].DedupKey {
		t.Errorf("passes for another event by what is not signed: %v", err)
	}
}

// testForeignType changes each header that is not signed: where the type stands in the signed body as well, it is the body's.
func testForeignType(t *testing.T, g genuine) {
	typeOf := func(r *verifiers.Request) string {
		ids, err := g.p.Identify(r, false)
		if err != nil {
			return ""
		}
		return ids[0].Type
	}
	if unbound(g.spec) {
		return
	}
	for name := range g.r.Header {
		r := clone(g.r)
		r.Header.Del(name)
		if name == "Content-Type" || typeOf(r) != typeOf(g.r) {
			continue
		}
		r.Header.Set(name, "forged")
		if verify(g.p, r, g.secrets) == nil && typeOf(r) != typeOf(g.r) {
			t.Errorf("the type is %q, which %s says and nobody signed", typeOf(r), name)
		}
	}
}
