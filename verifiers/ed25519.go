package verifiers

import (
	"bytes"
	"crypto/ed25519"
)

// ed25519Algorithm signs the content itself.
type ed25519Algorithm struct{ p *Provider }

func (e ed25519Algorithm) match(a *attempt, t *Template, k *key) int {
	pub, ok := k.public.(ed25519.PublicKey)
	if !ok {
		return -1
	}
	return a.matchContent(k, func(timestamp string) []byte { return e.p.message(a, t, timestamp) }, func(message, sig []byte) bool {
		return len(sig) == ed25519.SignatureSize && ed25519.Verify(pub, message, sig)
	})
}

func (e ed25519Algorithm) sign(a *attempt, t *Template, k *key) ([]byte, error) {
	private, ok := k.private.(ed25519.PrivateKey)
	if !ok {
		return nil, errPublicKey
	}
	return ed25519.Sign(private, e.p.message(a, t, a.timestamp)), nil
}

// message renders the signed content, hashed first where the provider does so.
func (p *Provider) message(a *attempt, t *Template, timestamp string) []byte {
	a.timestamp = timestamp
	var b bytes.Buffer
	b.Grow(len(a.body) + 128)
	t.render(a, &b)
	if pre := p.prehash(); pre != nil {
		h := pre()
		h.Write(b.Bytes())
		return h.Sum(nil)
	}
	return b.Bytes()
}

// matchContent tries the signatures of a against content, which is made anew only where the timestamp beside a signature differs.
func (a *attempt) matchContent(k *key, content func(timestamp string) []byte, fits func(content, sig []byte) bool) int {
	var made []byte
	for i := range a.sigs {
		item := &a.sigs[i]
		if item.skip(k) {
			continue
		}
		if made == nil || item.timestamp != a.timestamp {
			made = content(item.timestamp)
		}
		if fits(made, a.encoded[item.from:item.to]) {
			return i
		}
	}
	return -1
}
