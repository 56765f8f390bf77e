package badgerstore

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"
)

// frameCipher encrypts the frames of one segment with AES-256-GCM. The key is derived from the store's key and the segment's
// salt, so the number of the event, which never comes twice in a segment, is a safe nonce.
type frameCipher struct{ aead cipher.AEAD }

func newFrameCipher(key []byte, salt [16]byte) (*frameCipher, error) {
	if len(key) == 0 {
		return nil, nil
	}
	aead, err := deriveAEAD(key, salt[:], "sluice journal segment")
	if err != nil {
		return nil, err
	}
	return &frameCipher{aead}, nil
}

func deriveAEAD(key, salt []byte, purpose string) (cipher.AEAD, error) {
	derived, err := hkdf.Key(sha256.New, key, salt, purpose, 32)
	if err != nil {
		return nil, fmt.Errorf("derive key: %w", err)
	}
	block, err := aes.NewCipher(derived)
	if err != nil {
		return nil, fmt.Errorf("derive key: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("derive key: %w", err)
	}
	return aead, nil
}

func frameNonce(seq uint64) []byte { return be.AppendUint64(make([]byte, 4, 12), seq) }

func (c *frameCipher) seal(dst []byte, seq uint64, payload []byte) []byte {
	return c.aead.Seal(dst, frameNonce(seq), payload, nil)
}

func (c *frameCipher) open(seq uint64, payload []byte) ([]byte, error) {
	return c.aead.Open(nil, frameNonce(seq), payload, nil)
}
