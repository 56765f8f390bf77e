package caddymodule

import (
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/sluice-webhooks/sluice/verifiers"
)

// guard makes one with a live token that needs escaping.
func guard(t testing.TB, place string) *tokenGuard {
	t.Helper()
	set, err := newSecretSet([]string{"to+ken"}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	g, err := newTokenGuard(place, set)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// TestTokenGuardHides checks that an address keeps everything but its token, and gets it back.
func TestTokenGuardHides(t *testing.T) {
	for _, c := range []struct {
		place, address, hidden string
		ok                     bool
	}{
		{"path", "https://h/in/to+ken", "https://h/in/***", true},
		{"path", "https://h/in/to%2Bken/x%2Fy/?b=%20&a", "https://h/in/***/x%2Fy/?b=%20&a", true},
		{"path", "https://h//to+ken//z", "https://h//***//z", true},
		{"path", "https://h/in/other?to+ken", "https://h/in/other?to+ken", false},
		{"path", "https://h/", "https://h/", false},
		{"query:key", "https://h/in?key=to%2Bken", "https://h/in?key=***", true},
		{"query:key", "https://h/in?b=1&key=to%2Bken&a=%7e&&c;d", "https://h/in?b=1&key=***&a=%7e&&c;d", true},
		{"query:key", "https://h/in?key=wrong&key=to%2Bken", "https://h/in?key=***&key=***", true},
		{"query:key", "https://h/in?key=%zz&key;=1&key=to%2Bken", "https://h/in?key=%zz&key;=1&key=***", true},
		{"query:key", "https://h/in?key=wrong", "https://h/in?key=***", false},
		{"query:key", "https://h/in?k=1", "https://h/in?k=1", false},
	} {
		g := guard(t, c.place)
		u, err := url.Parse(c.address)
		if err != nil {
			t.Fatal(err)
		}
		req := &verifiers.Request{URL: u, At: time.Now()}
		if err := g.check(req); (err == nil) != c.ok {
			t.Errorf("%s %s: %v", c.place, c.address, err)
		}
		hidden := g.hide(u)
		if hidden.String() != c.hidden {
			t.Errorf("%s %s: hidden as %s, want %s", c.place, c.address, hidden, c.hidden)
		}
		kept := &verifiers.Request{URL: parseStoredURL(hidden.String()), At: req.At}
		g.restore(kept, g.evidence(req))
		if err := g.check(kept); (err == nil) != c.ok {
			t.Errorf("%s %s: restored as %s: %v", c.place, c.address, kept.URL, err)
		}
		if c.ok && !strings.Contains(c.address, "wrong") && decoded(kept.URL.String()) != decoded(c.address) {
			t.Errorf("%s %s: restored as %s", c.place, c.address, kept.URL)
		}
	}
}

// decoded evens out the two spellings of the token.
func decoded(s string) string { return strings.ReplaceAll(s, "to%2Bken", "to+ken") }

// TestTokenGuardAddresses builds addresses of odd pieces, and looks for one of which the token is not hidden or does not come back.
func TestTokenGuardAddresses(t *testing.T) {
	pieces := []string{"/", "//", "to+ken", "to%2Bken", "t%6F+ken", "in", "%2F", "%zz", "?", "key=", "k%65y=", "&", ";", "=", "***", "%20", "."}
	random := rand.New(rand.NewPCG(1, 2))
	matched := 0
	for range 20000 {
		var b strings.Builder
		b.WriteByte('/')
		for range 1 + random.IntN(9) {
			b.WriteString(pieces[random.IntN(len(pieces))])
		}
		u, err := url.ParseRequestURI(b.String())
		if err != nil {
			continue
		}
		u.Scheme, u.Host = "https", "h"
		for _, place := range []string{"path", "query:key"} {
			g := guard(t, place)
			req := &verifiers.Request{URL: u, At: time.Now()}
			hidden := &verifiers.Request{URL: parseStoredURL(g.hide(u).String()), At: req.At}
			if g.check(hidden) == nil {
				t.Fatalf("%s: token of %s is still in %s", place, u, hidden.URL)
			}
			if g.check(req) != nil {
				continue
			}
			matched++
			if g.restore(hidden, g.evidence(req)); g.check(hidden) != nil {
				t.Fatalf("%s: token of %s is not back in %s", place, u, hidden.URL)
			}
		}
	}
	if matched < 100 {
		t.Errorf("only %d addresses had the token", matched)
	}
}
