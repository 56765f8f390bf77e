package verifiers

import (
	"bytes"
	"crypto"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // Braintree's key is the SHA-1 of the secret
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strings"
	"sync"
)

// key is a configured secret made ready for use.
type key struct {
	bytes []byte // as it is used; for public keys as configured
	id    string // the part before Key.Split

	macs    sync.Pool // of *mac: states that are keyed already
	public  crypto.PublicKey
	private crypto.Signer // only where the secret is a private key
}

// mac is a keyed hash with the buffer that strings go through.
type mac struct {
	hash.Hash
	sink hashSink
}

// maxKeys bounds the cache of one provider: more live secrets than anyone has, and few enough to forget old ones.
const maxKeys = 64

// keyCache keeps decoded keys, so that decoding and keying a hash is paid once per secret.
type keyCache struct {
	mu   sync.RWMutex
	keys map[string]*key
}

var keyDecodings = []string{"", "raw", "base64", "base64url", "hex", "sha1", "sha256"}

func (p *Provider) compileKey() error {
	k := &p.spec.Key
	if !slices.Contains(keyDecodings, k.Decode) {
		return fieldError("key.decode", "%q is not known: expected %s", k.Decode, strings.Join(keyDecodings[1:], ", "))
	}
	if k.ID == "" {
		return nil
	}
	var err error
	p.keyID, err = p.parseExpr("key.id", k.ID)
	return err
}

// errSecretFormat says that a secret is not written as the provider's secrets are. It never quotes the secret.
var errSecretFormat = errors.New("secret is not in the expected form")

// errPublicKey says that a secret, which verifies, cannot sign.
var errPublicKey = fmt.Errorf("%w: the secret is a public key", ErrCannotSign)

// CheckSecret tells at configuration time whether a secret can be used: it is not empty, and it is written as the provider's secrets are.
func (p *Provider) CheckSecret(s Secret) error {
	if len(s.Bytes()) == 0 {
		return errors.New("secret is empty")
	}
	k, err := p.key(s)
	if err == nil && p.spec.Scheme == SchemeBasic && !bytes.ContainsRune(k.bytes, ':') {
		return fmt.Errorf("%w: want user:password", errSecretFormat)
	}
	return err
}

// key returns the usable form of a secret. An empty secret is an error, never an empty key.
func (p *Provider) key(s Secret) (*key, error) {
	p.keys.mu.RLock()
	k := p.keys.keys[string(s.value)]
	p.keys.mu.RUnlock()
	if k != nil {
		return k, nil
	}
	k, err := p.makeKey(s.value)
	if err != nil {
		return nil, err
	}
	p.keys.mu.Lock()
	defer p.keys.mu.Unlock()
	if p.keys.keys == nil || len(p.keys.keys) >= maxKeys {
		p.keys.keys = make(map[string]*key, 4)
	}
	p.keys.keys[string(s.value)] = k
	return k, nil
}

func (p *Provider) makeKey(secret []byte) (*key, error) {
	k := &key{}
	text := string(secret)
	if sep := p.spec.Key.Split; sep != "" {
		if id, rest, ok := strings.Cut(text, sep); ok {
			k.id, text = id, rest
		}
	}
	var err error
	asymmetric := p.wantsPublicKey(secret)
	if k.bytes, err = p.decodeSecret(text, asymmetric); err != nil {
		return nil, err
	}
	if len(k.bytes) == 0 {
		return nil, fmt.Errorf("%w: nothing is left of it", errSecretFormat)
	}
	if !asymmetric {
		return k, k.parseTokenKey(p)
	}
	if err := k.parseAsymmetric(p); err != nil {
		return nil, err
	}
	return k, nil
}

func (p *Provider) decodeSecret(text string, asymmetric bool) ([]byte, error) {
	s := &p.spec.Key
	if asymmetric {
		return []byte(strings.TrimSpace(text)), nil
	}
	if i := strings.LastIndex(text, s.StripThrough); s.StripThrough != "" && i >= 0 {
		text = text[i+len(s.StripThrough):]
	}
	decode := s.Decode
	if s.DecodePrefix != "" {
		rest, ok := strings.CutPrefix(text, s.DecodePrefix)
		if !ok {
			decode = "raw"
		}
		text = rest
	}
	if s.StripPrefix != "" {
		text = strings.TrimPrefix(text, s.StripPrefix)
	}
	var b []byte
	var err error
	switch decode {
	case "base64":
		b, err = decodeBase64(text)
	case "base64url":
		b, err = decodeBase64URL(text)
	case "hex":
		b, err = hex.DecodeString(text)
	case "sha1":
		sum := sha1.Sum([]byte(text)) //nolint:gosec // as above
		b = sum[:]
	case "sha256":
		sum := sha256.Sum256([]byte(text))
		b = sum[:]
	default:
		b = []byte(text)
	}
	if err != nil || (len(text) == 0) {
		return nil, fmt.Errorf("%w: expected %s", errSecretFormat, decode) // the library's error would quote the secret
	}
	return b, nil
}

// usable yields the live secrets that may have made the signature: not empty, readable, and of the key id asked for if one was.
func (p *Provider) usable(secrets []Secret, keyID string, try func(i int, k *key) bool) {
	for i, s := range secrets {
		if len(s.value) == 0 {
			continue
		}
		k, err := p.key(s)
		if err != nil {
			continue // CheckSecret told the operator
		}
		if keyID != "" && k.id != "" && k.id != keyID {
			continue
		}
		if try(i, k) {
			return
		}
	}
}

// mac takes a keyed hash out of the pool of k.
func (k *key) mac(newHash func() hash.Hash, a *attempt) *mac {
	m, ok := k.macs.Get().(*mac)
	if !ok {
		m = &mac{Hash: hmac.New(newHash, k.bytes)}
	}
	m.Reset()
	m.sink = hashSink{h: m.Hash, a: a}
	return m
}

func (k *key) release(m *mac) {
	m.sink.a = nil
	k.macs.Put(m)
}
