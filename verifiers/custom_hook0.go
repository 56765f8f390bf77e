package verifiers

import (
	"context"
	"encoding/hex"
	"net/textproto"
	"slices"
	"strings"
)

func init() { customSchemes["hook0"] = newHook0 }

const hook0Header = "X-Hook0-Signature"

// hook0Covered are the headers that our signatures cover, where a request has them.
var hook0Covered = []string{"content-type", "x-event-id", "x-event-type"}

// hook0Scheme verifies "t=..,v0=..[,h=..,v1=..]": v0 covers the body, v1 also the headers that h lists. Where there is a v1 only that counts: a sender must not
// choose the weaker of two.
type hook0Scheme struct{ v0, v1 contentScheme }

func newHook0(p *Provider) (scheme, error) {
	strong := p.sig
	var err error
	if strong.format, err = parseFormat("t={timestamp},v1={signature}", ","); err != nil {
		return nil, err
	}
	return &hook0Scheme{
		v0: contentScheme{p: p, sig: &p.sig, enc: "hex", algo: hmacAlgorithm{p}},
		v1: contentScheme{p: p, sig: &strong, enc: "hex", algo: computedAlgorithm{p: p, content: hook0Content}},
	}, nil
}

func (s *hook0Scheme) verify(ctx context.Context, a *attempt, secrets []Secret) (Proof, error) {
	if _, ok := hook0Item(a.header(hook0Header), "v1"); ok {
		return s.v1.verify(ctx, a, secrets)
	}
	return s.v0.verify(ctx, a, secrets)
}

// sign writes v1 alone: beside a v0, which binds no headers, it could be taken away.
func (s *hook0Scheme) sign(a *attempt, secret Secret) error {
	p := s.v1.p
	k, err := p.key(secret)
	if err != nil {
		return err
	}
	if err := p.writeSigningValues(a, k); err != nil {
		return err
	}
	a.key, a.body = k, a.r.Body
	covered := slices.DeleteFunc(slices.Clone(hook0Covered), func(name string) bool { return a.header(textproto.CanonicalMIMEHeaderKey(name)) == "" })
	signature := "t=" + a.timestamp + ",h=" + strings.Join(covered, " ")
	a.r.Header[hook0Header] = []string{signature}
	sum, err := s.v1.algo.sign(a, nil, k)
	if err != nil {
		return err
	}
	a.r.Header[hook0Header] = []string{signature + ",v1=" + hex.EncodeToString(sum)}
	return nil
}

// hook0Content is what v1 covers: the time, the names of the covered headers, their values, and the body.
func hook0Content(a *attempt) (string, bool) {
	list, _ := hook0Item(a.header(hook0Header), "h")
	var names, values []string
	if list != "" {
		names = strings.Split(strings.ToLower(list), " ")
	}
	if len(names) > maxSignedHeaders {
		return "", false
	}
	for _, name := range names {
		v := a.r.Header.Values(name)
		if len(v) == 0 {
			return "", false // covered and taken away on the way
		}
		values = append(values, v[len(v)-1])
	}
	return strings.Join([]string{a.timestamp, strings.Join(names, " "), strings.Join(values, "."), string(a.body)}, "."), true
}

// hook0Item finds an item of the header; of several the last counts.
func hook0Item(header, name string) (value string, ok bool) {
	if len(header) > maxSignatureValue {
		return "", false
	}
	for item := range strings.SplitSeq(header, ",") {
		if n, v, found := strings.Cut(item, "="); found && strings.TrimSpace(n) == name {
			value, ok = strings.TrimSpace(v), true
		}
	}
	return value, ok
}
