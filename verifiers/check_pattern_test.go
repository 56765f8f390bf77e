package verifiers

import (
	"net/http"
	"net/url"
	"testing"
)

// TestCheckPattern checks that a pattern is held against the whole value, and that one which cannot be read is refused when compiling.
func TestCheckPattern(t *testing.T) {
	compilePattern := func(pattern string) (*Provider, error) {
		return Compile(&Spec{ID: "acme", Scheme: SchemeNone, Handshakes: []Handshake{{
			Name: "challenge", Methods: []string{http.MethodGet}, Require: []Check{{Expr: "query:c", Pattern: pattern}}, Body: "{query.c}",
		}}})
	}
	if _, err := compilePattern("["); err == nil {
		t.Error("a pattern that is none compiles")
	}
	if _, err := Compile(&Spec{ID: "acme", Scheme: SchemeNone, Checks: []Check{{Expr: "body", Pattern: "a", Prefix: "b"}}}); err == nil {
		t.Error("a check of two kinds compiles")
	}
	p, err := compilePattern(`[0-9a-f-]{4,8}|x`)
	if err != nil {
		t.Fatal(err)
	}
	for challenge, want := range map[string]bool{
		"0a1b": true, "0a1b-2c3": true, "x": true, "": false, "0a1": false, "0a1b2c3d4": false, "0a1b\n": false, "{0a1b}": false, "x0a1b": false,
	} {
		r := &Request{Method: http.MethodGet, URL: &url.URL{Scheme: "https", Host: "h.example", Path: "/", RawQuery: url.Values{"c": {challenge}}.Encode()}, Header: http.Header{}}
		reply, ok, err := p.Challenge(t.Context(), r, nil, false)
		if !ok || (err == nil) != want || (want && string(reply.Body) != challenge) {
			t.Errorf("%q: %q %v %v", challenge, reply.Body, ok, err)
		}
	}
}
