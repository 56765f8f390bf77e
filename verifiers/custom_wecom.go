package verifiers

import (
	"crypto/subtle"
	"fmt"
	"io"
	"slices"
	"strings"
)

func init() {
	customSchemes["wecom"] = func(p *Provider) (scheme, error) {
		return &contentScheme{p: p, sig: &p.sig, enc: p.signatureEncoding(), algo: wecomAlgorithm{p}}, nil
	}
}

// wecomAlgorithm is a hash of token, timestamp, nonce and what is encrypted (the body's message, or the echo of the address check), sorted and joined.
type wecomAlgorithm struct{ p *Provider }

func (w wecomAlgorithm) match(a *attempt, _ *Template, k *key) int {
	return a.matchContent(k, func(timestamp string) []byte { a.timestamp = timestamp; return w.sum(a, k) }, func(sum, sig []byte) bool {
		return len(sum) > 0 && subtle.ConstantTimeCompare(sum, sig) == 1
	})
}

func (w wecomAlgorithm) sign(a *attempt, _ *Template, k *key) ([]byte, error) {
	sum := w.sum(a, k)
	if sum == nil {
		return nil, fmt.Errorf("%w: the request has nothing encrypted in it", ErrCannotSign)
	}
	return sum, nil
}

// sum is nil if nothing is encrypted.
func (w wecomAlgorithm) sum(a *attempt, k *key) []byte {
	query := a.queryValues()
	encrypted := query.Get("echostr")
	if body, ok := xmlValue(string(a.body), "xml/Encrypt"); ok && encrypted == "" {
		encrypted = body
	} else if len(a.body) > 0 {
		return nil // of two only one would be covered
	}
	if encrypted == "" {
		return nil
	}
	parts := []string{string(k.bytes), a.timestamp, query.Get("nonce"), encrypted}
	slices.Sort(parts)
	h := w.p.hash.New()
	io.WriteString(h, strings.Join(parts, "")) //nolint:errcheck // hashes take everything
	return h.Sum(nil)
}
