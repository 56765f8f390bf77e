package verifiers

import (
	"crypto/hmac"
	"fmt"
	"io"
)

// computedAlgorithm is an HMAC over content that no template can describe.
type computedAlgorithm struct {
	p *Provider
	// content builds what is signed. ok is false if the request lacks a part that its signature covers.
	content func(a *attempt) (text string, ok bool)
}

func (c computedAlgorithm) match(a *attempt, _ *Template, k *key) int {
	var sum []byte
	for i := range a.sigs {
		item := &a.sigs[i]
		if item.skip(k) {
			continue
		}
		if sum == nil || item.timestamp != a.timestamp { // the time that stands beside a signature is the one it must cover
			a.timestamp = item.timestamp
			text, ok := c.content(a)
			if !ok {
				return -1
			}
			sum = c.sum(text, k)
		}
		if hmac.Equal(sum, a.encoded[item.from:item.to]) {
			return i
		}
	}
	return -1
}

func (c computedAlgorithm) sign(a *attempt, _ *Template, k *key) ([]byte, error) {
	text, ok := c.content(a)
	if !ok {
		return nil, fmt.Errorf("%w: the request lacks a part that is signed", ErrCannotSign)
	}
	return c.sum(text, k), nil
}

func (c computedAlgorithm) sum(text string, k *key) []byte {
	h := hmac.New(c.p.hash.New, k.bytes)
	io.WriteString(h, text) //nolint:errcheck // hashes take everything
	return h.Sum(nil)
}

// computed makes a scheme of such content; everything else about it is data.
func computed(p *Provider, content func(*attempt) (string, bool)) *contentScheme {
	return &contentScheme{p: p, sig: &p.sig, enc: p.signatureEncoding(), algo: computedAlgorithm{p: p, content: content}}
}
