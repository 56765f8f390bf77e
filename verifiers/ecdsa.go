package verifiers

import (
	"crypto/ecdsa"
	"crypto/rand"
	"fmt"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// ecdsaAlgorithm signs the hash of the content.
type ecdsaAlgorithm struct{ p *Provider }

func (e ecdsaAlgorithm) match(a *attempt, t *Template, k *key) int {
	pub, ok := k.public.(*ecdsa.PublicKey)
	fn, allowed := e.p.hashFor(a)
	if !ok || !allowed {
		return -1
	}
	content := func(timestamp string) []byte { return e.p.contentDigest(a, t, fn, timestamp) }
	return a.matchContent(k, content, func(digest, sig []byte) bool {
		if e.p.spec.Signature.ECDSA == "p1363" {
			size := (pub.Curve.Params().BitSize + 7) / 8
			if len(sig) != 2*size {
				return false
			}
			var err error
			if sig, err = derSignature(sig[:size], sig[size:]); err != nil {
				return false
			}
		}
		return ecdsa.VerifyASN1(pub, digest, sig)
	})
}

func (e ecdsaAlgorithm) sign(a *attempt, t *Template, k *key) ([]byte, error) {
	private, ok := k.private.(*ecdsa.PrivateKey)
	if !ok {
		return nil, errPublicKey
	}
	digest := e.p.contentDigest(a, t, e.p.hash, a.timestamp)
	sig, err := ecdsa.SignASN1(rand.Reader, private, digest)
	if err != nil || e.p.spec.Signature.ECDSA != "p1363" {
		return sig, err
	}
	return plainSignature(sig, (private.Curve.Params().BitSize+7)/8)
}

// contentDigest hashes the signed content.
func (p *Provider) contentDigest(a *attempt, t *Template, fn hashFunc, timestamp string) []byte {
	h := fn.New()
	if p.spec.Prehash != "" {
		h.Write(p.message(a, t, timestamp))
		return h.Sum(nil)
	}
	a.timestamp = timestamp
	t.render(a, &hashSink{h: h, a: a})
	return h.Sum(nil)
}

// derSignature writes r and s as ASN.1.
func derSignature(r, s []byte) ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1BigInt(new(big.Int).SetBytes(r))
		b.AddASN1BigInt(new(big.Int).SetBytes(s))
	})
	return b.Bytes()
}

// plainSignature writes an ASN.1 signature as r and s of equal size.
func plainSignature(der []byte, size int) ([]byte, error) {
	var r, s big.Int
	in := cryptobyte.String(der)
	var seq cryptobyte.String
	if !in.ReadASN1(&seq, asn1.SEQUENCE) || !seq.ReadASN1Integer(&r) || !seq.ReadASN1Integer(&s) {
		return nil, fmt.Errorf("%w: not an ECDSA signature", ErrCannotSign)
	}
	out := make([]byte, 2*size)
	r.FillBytes(out[:size])
	s.FillBytes(out[size:])
	return out, nil
}
