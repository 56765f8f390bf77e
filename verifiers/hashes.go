package verifiers

import (
	"crypto"
	"crypto/md5"  //nolint:gosec // what a few providers sign with
	"crypto/sha1" //nolint:gosec // what several providers sign with
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"hash"
	"strings"
)

// hashFunc is a hash by name.
type hashFunc struct {
	New func() hash.Hash
	ID  crypto.Hash
}

var hashes = map[string]hashFunc{
	"md5":    {md5.New, crypto.MD5},
	"sha1":   {sha1.New, crypto.SHA1},
	"sha256": {sha256.New, crypto.SHA256},
	"sha384": {sha512.New384, crypto.SHA384},
	"sha512": {sha512.New, crypto.SHA512},
}

// decodeBase64 reads standard base64, padded or not.
func decodeBase64(s string) ([]byte, error) {
	return base64.RawStdEncoding.Strict().DecodeString(strings.TrimRight(s, "="))
}

// decodeBase64URL reads URL-safe base64, padded or not.
func decodeBase64URL(s string) ([]byte, error) {
	return base64.RawURLEncoding.Strict().DecodeString(strings.TrimRight(s, "="))
}

var errEncoding = errors.New("cannot be decoded")

// appendDecoded decodes a signature onto dst without allocating.
func appendDecoded(dst []byte, encoding, s string) ([]byte, error) {
	var err error
	switch encoding {
	case "hex":
		from := len(dst)
		dst = append(dst, s...)
		var n int
		n, err = hex.Decode(dst[from:], dst[from:])
		dst = dst[:from+n]
	case "base64":
		dst, err = appendBase64(dst, base64.RawStdEncoding, s)
	case "base64url":
		dst, err = appendBase64(dst, base64.RawURLEncoding, s)
	default:
		dst = append(dst, s...)
	}
	if err != nil {
		return nil, errEncoding // the library's error would quote the signature
	}
	return dst, nil
}

func appendBase64(dst []byte, enc *base64.Encoding, s string) ([]byte, error) {
	// The decoder skips line breaks, which no header has and a signature with them is not the one that was sent.
	if strings.ContainsAny(s, "\r\n") {
		return nil, errEncoding
	}
	trimmed := strings.TrimRight(s, "=")
	if len(s)-len(trimmed) > 2 {
		return nil, errEncoding
	}
	from := len(dst)
	dst = append(dst, trimmed...) // room for the result, which is shorter
	src := len(dst)
	dst = append(dst, trimmed...)
	n, err := enc.Strict().Decode(dst[from:src], dst[src:])
	if err != nil {
		return nil, err
	}
	return dst[:from+n], nil
}

// encodeSignature writes a signature as the provider does.
func encodeSignature(encoding string, upper bool, sig []byte) string {
	switch encoding {
	case "base64":
		return base64.StdEncoding.EncodeToString(sig)
	case "base64url":
		return base64.RawURLEncoding.EncodeToString(sig)
	case "raw":
		return string(sig)
	}
	s := hex.EncodeToString(sig)
	if upper {
		s = strings.ToUpper(s)
	}
	return s
}
