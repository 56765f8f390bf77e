package verifiers

import (
	"crypto/hmac"
	"crypto/subtle"
	"hash"
)

// hmacAlgorithm is a keyed hash.
type hmacAlgorithm struct{ p *Provider }

func (h hmacAlgorithm) match(a *attempt, t *Template, k *key) int {
	fn, ok := h.p.hashFor(a)
	if !ok {
		return -1
	}
	m := h.keyed(a, fn, k)
	defer h.release(k, m)
	for i := range a.sigs {
		item := &a.sigs[i]
		if item.skip(k) {
			continue
		}
		if i == 0 || item.timestamp != a.timestamp || len(a.sum) == 0 {
			h.compute(a, t, m, item.timestamp)
		}
		if hmac.Equal(a.sum, a.encoded[item.from:item.to]) {
			return i
		}
	}
	return -1
}

// keyed takes a state from the key's pool. Where the request chooses the hash there is no pool: its states are of one kind.
func (h hmacAlgorithm) keyed(a *attempt, fn hashFunc, k *key) *mac {
	a.sum = a.sum[:0]
	if h.p.hashBy == nil {
		return k.mac(fn.New, a)
	}
	m := &mac{Hash: hmac.New(fn.New, k.bytes)}
	m.sink = hashSink{h: m.Hash, a: a}
	return m
}

func (h hmacAlgorithm) release(k *key, m *mac) {
	if h.p.hashBy == nil {
		k.release(m)
	}
}

func (h hmacAlgorithm) compute(a *attempt, t *Template, m *mac, timestamp string) {
	a.timestamp = timestamp
	m.Reset()
	if pre := h.p.prehash(); pre != nil {
		inner := pre()
		t.render(a, &hashSink{h: inner, a: a})
		m.Write(inner.Sum(nil))
	} else {
		t.render(a, &m.sink)
	}
	a.sum = m.Sum(a.sum[:0])
}

func (h hmacAlgorithm) sign(a *attempt, t *Template, k *key) ([]byte, error) {
	fn, ok := h.p.hashFor(a)
	if !ok {
		fn = h.p.hash
	}
	m := h.keyed(a, fn, k)
	defer h.release(k, m)
	h.compute(a, t, m, a.timestamp)
	return append([]byte(nil), a.sum...), nil
}

// concatAlgorithm is a plain hash of content that has the secret in it.
type concatAlgorithm struct{ p *Provider }

func (c concatAlgorithm) match(a *attempt, t *Template, k *key) int {
	fn, ok := c.p.hashFor(a)
	if !ok {
		return -1
	}
	h := fn.New()
	a.sum = a.sum[:0]
	for i := range a.sigs {
		item := &a.sigs[i]
		if item.skip(k) {
			continue
		}
		if i == 0 || item.timestamp != a.timestamp || len(a.sum) == 0 {
			c.compute(a, t, h, item.timestamp)
		}
		if subtle.ConstantTimeCompare(a.sum, a.encoded[item.from:item.to]) == 1 {
			return i
		}
	}
	return -1
}

func (c concatAlgorithm) compute(a *attempt, t *Template, h hash.Hash, timestamp string) {
	a.timestamp = timestamp
	h.Reset()
	t.render(a, &hashSink{h: h, a: a})
	a.sum = h.Sum(a.sum[:0])
}

func (c concatAlgorithm) sign(a *attempt, t *Template, _ *key) ([]byte, error) {
	c.compute(a, t, c.p.hash.New(), a.timestamp)
	return append([]byte(nil), a.sum...), nil
}

// hashFor returns the hash of a request; ok is false if the request asks for one that is not allowed.
func (p *Provider) hashFor(a *attempt) (hashFunc, bool) {
	if p.hashBy == nil {
		return p.hash, true
	}
	fn, ok := p.hashNames[p.hashBy.eval(a)]
	return fn, ok
}

// prehash returns the hash that goes first, nil if none does.
func (p *Provider) prehash() func() hash.Hash {
	if p.spec.Prehash == "" {
		return nil
	}
	return hashes[p.spec.Prehash].New
}

func (p *Provider) compileHash() error {
	name := p.spec.Algorithm
	if name == "" {
		name = "sha256"
	}
	var ok bool
	if p.hash, ok = hashes[name]; !ok {
		return fieldError("algorithm", "%q is not known: expected %s", name, names(hashes))
	}
	if _, ok := hashes[p.spec.Prehash]; p.spec.Prehash != "" && !ok {
		return fieldError("prehash", "%q is not known: expected %s", p.spec.Prehash, names(hashes))
	}
	by := p.spec.AlgorithmBy
	if by == nil {
		return nil
	}
	var err error
	if p.hashBy, err = p.parseExpr("algorithm_by.from", by.From); err != nil {
		return err
	}
	if len(by.Names) == 0 {
		return fieldError("algorithm_by.names", "expected what the request says for each hash that is allowed")
	}
	p.hashNames = make(map[string]hashFunc, len(by.Names))
	for said, name := range by.Names {
		if p.hashNames[said], ok = hashes[name]; !ok {
			return fieldError("algorithm_by.names", "%q is not known: expected %s", name, names(hashes))
		}
	}
	return nil
}
