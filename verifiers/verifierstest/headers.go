package verifierstest

import (
	"slices"
	"strings"
	"testing"

	"github.com/sluice-webhooks/sluice/verifiers"
)

// testHeaders takes headers away, empties, repeats and inflates them.
func testHeaders(t *testing.T, g genuine) {
	spec := g.p.Spec()
	parts := signatureParts(g)
	for _, p := range parts {
		for _, v := range []string{"", " ", ",", "=", "t=,v1=", "v1,", strings.Repeat("A", 9<<10), p.get(g.r) + strings.Repeat(" ", 9<<10) + "x"} {
			r := clone(g.r)
			p.set(r, v)
			if verify(g.p, r, g.secrets) == nil && len(parts) == 1 {
				t.Errorf("accepted: %s is %.20q", p.name, v)
			}
		}
	}
	if spec.Signature.In != "" && spec.Signature.In != "header" {
		return
	}
	absent := clone(g.r)
	for _, p := range parts {
		name := strings.TrimPrefix(p.name, "header ")
		absent.Header.Del(name)
		if spec.Signature.Repeatable {
			continue
		}
		r := clone(g.r)
		r.Header.Add(name, p.get(g.r))
		if err := verify(g.p, r, g.secrets); !isAny(err, verifiers.ErrMalformed) {
			t.Errorf("%s twice: %v, expected ErrMalformed", p.name, err)
		}
	}
	if err := verify(g.p, absent, g.secrets); !isAny(err, verifiers.ErrUnsigned) {
		t.Errorf("without a signature: %v, expected ErrUnsigned", err)
	}
	testTimestampHeader(t, g)
}

// testTimestampHeader does the same with a timestamp in a header of its own.
func testTimestampHeader(t *testing.T, g genuine) {
	ts := g.p.Spec().Timestamp
	if ts.In != "header" || ts.Unsigned {
		return
	}
	present := slices.DeleteFunc(slices.Clone(ts.Names), func(n string) bool { return g.r.Header.Get(n) == "" })
	if len(present) == 0 {
		return
	}
	for _, v := range []string{"x", "-1", "+1700000000", "1e9", "99999999999999999999", "0x10", strings.Repeat("9", 18), " "} {
		r := clone(g.r)
		r.Header.Set(present[0], v)
		mustRefuse(t, g.p, r, g.secrets, "timestamp "+v)
	}
	r := clone(g.r)
	r.Header.Add(present[0], g.r.Header.Get(present[0]))
	mustRefuse(t, g.p, r, g.secrets, "timestamp twice")
	for _, n := range present {
		r.Header.Del(n)
	}
	if err := verify(g.p, r, g.secrets); !ts.Optional && !isAny(err, verifiers.ErrUnsigned) {
		t.Errorf("without a timestamp: %v, expected ErrUnsigned", err)
	}
}
