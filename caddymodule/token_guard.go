package caddymodule

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/sluice-webhooks/sluice/verifiers"
)

// tokenGuard checks a shared secret in the path, the query or a header, for providers that sign nothing.
type tokenGuard struct {
	place, name string
	secrets     *secretSet
}

// defaultTokenParam is the parameter that has the token where the place is just the query.
const defaultTokenParam = "token"

// newTokenGuard reads the place: path, query, query:<name> or header:<Name>.
func newTokenGuard(place string, secrets *secretSet) (*tokenGuard, error) {
	kind, name, named := strings.Cut(place, ":")
	switch {
	case place == "path", kind == "header" && name != "", kind == "query" && name != "":
	case kind == "query" && !named:
		name = defaultTokenParam
	default:
		return nil, fmt.Errorf("token place %q: want path, query:<name> or header:<Name>", place)
	}
	return &tokenGuard{place: kind, name: name, secrets: secrets}, nil
}

// candidates are the values of a request that may be the token, in order.
func (g *tokenGuard) candidates(req *verifiers.Request) []string {
	switch g.place {
	case "path":
		segments := strings.Split(strings.Trim(req.URL.EscapedPath(), "/"), "/")
		for i, s := range segments {
			if plain, err := url.PathUnescape(s); err == nil {
				segments[i] = plain
			}
		}
		return segments
	case "query":
		return req.URL.Query()[g.name]
	}
	return req.Header.Values(g.name)
}

// check accepts a request that carries one of the live secrets.
func (g *tokenGuard) check(req *verifiers.Request) error {
	candidates := g.candidates(req)
	if len(candidates) == 0 || len(candidates) == 1 && candidates[0] == "" {
		return fmt.Errorf("%w: no token in the %s", verifiers.ErrUnsigned, g.place)
	}
	for _, candidate := range candidates {
		for _, secret := range g.secrets.get(req.At) {
			if subtle.ConstantTimeCompare([]byte(candidate), secret.Bytes()) == 1 {
				return nil
			}
		}
	}
	return fmt.Errorf("%w: no live token in the %s", verifiers.ErrMismatch, g.place)
}

// hiddenToken stands in an address for the token.
const hiddenToken = "***"

// hide returns the address without the token: in the query whatever stands in its place, in the path what is or was a live secret.
func (g *tokenGuard) hide(u *url.URL) *url.URL {
	secrets := slices.Concat(g.secrets.get(now()), g.secrets.former())
	return g.rewrite(u, func(_ int, value string) string {
		known := func(s verifiers.Secret) bool { return subtle.ConstantTimeCompare(s.Bytes(), []byte(value)) == 1 }
		if g.place == "query" || slices.ContainsFunc(secrets, known) {
			return hiddenToken
		}
		return value
	})
}

// rewrite replaces the candidates in an address, and leaves all else of it as it came.
func (g *tokenGuard) rewrite(u *url.URL, replace func(i int, value string) string) *url.URL {
	out := *u
	switch g.place {
	case "path":
		path := u.EscapedPath()
		trimmed := strings.TrimLeft(path, "/")
		segments := strings.Split(trimmed, "/")
		changed := false
		for i, s := range segments {
			plain, err := url.PathUnescape(s)
			if err != nil {
				plain = s
			}
			if value := replace(i, plain); value != plain {
				segments[i], changed = escapeToken(value, url.PathEscape), true
			}
		}
		if changed {
			out.RawPath = path[:len(path)-len(trimmed)] + strings.Join(segments, "/")
			plain, err := url.PathUnescape(out.RawPath)
			if err != nil { // of escaped segments: cannot be
				plain = out.RawPath
			}
			out.Path = plain
		}
	case "query":
		pairs := strings.Split(u.RawQuery, "&")
		n := 0
		for i, pair := range pairs {
			name, value, _ := strings.Cut(pair, "=")
			if plain, err := url.QueryUnescape(name); err != nil || plain != g.name || strings.Contains(pair, ";") {
				continue
			}
			plain, err := url.QueryUnescape(value)
			if err != nil {
				continue // not a candidate either
			}
			if text := replace(n, plain); text != plain {
				pairs[i] = name + "=" + escapeToken(text, url.QueryEscape)
			}
			n++
		}
		out.RawQuery = strings.Join(pairs, "&")
	}
	return &out
}

func escapeToken(value string, escape func(string) string) string {
	if value == hiddenToken {
		return value // stars are allowed in an address, and easier to read
	}
	return escape(value)
}

// maxTokenEvidence bounds how many candidates evidence is kept of.
const maxTokenEvidence = 16

// tokenEvidence lets a token that an address carried be compared with one that is live later. The token cannot be read from it.
type tokenEvidence struct {
	Salt []byte   `json:"salt"`
	Sums [][]byte `json:"sums"` // of the candidates, in order
}

func (e *tokenEvidence) sum(candidate []byte) []byte {
	mac := hmac.New(sha256.New, e.Salt)
	mac.Write(candidate)
	return mac.Sum(nil)
}

// evidence of a request's token. A header is kept as it came, so that none is needed.
func (g *tokenGuard) evidence(req *verifiers.Request) *tokenEvidence {
	if g.place == "header" {
		return nil
	}
	e := &tokenEvidence{Salt: []byte(rand.Text())}
	for i, candidate := range g.candidates(req) {
		if i == maxTokenEvidence {
			break
		}
		e.Sums = append(e.Sums, e.sum([]byte(candidate)))
	}
	return e
}

// restore puts the token back into the address of a kept request, if it is one that is live now.
func (g *tokenGuard) restore(req *verifiers.Request, e *tokenEvidence) {
	if e == nil {
		return
	}
	live := g.secrets.get(now())
	req.URL = g.rewrite(req.URL, func(i int, value string) string {
		for _, secret := range live {
			if i < len(e.Sums) && hmac.Equal(e.Sums[i], e.sum(secret.Bytes())) {
				return string(secret.Bytes())
			}
		}
		return value
	})
}
