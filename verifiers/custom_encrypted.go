package verifiers

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
)

func init() {
	customFuncs["lark_decrypt"] = larkDecrypt
	customFuncs["wecom_decrypt"] = wecomDecrypt
}

// larkDecrypt opens what Lark and Feishu encrypt: base64 of an IV and AES-256-CBC under the SHA-256 of the encrypt key. What is not JSON afterwards was not for this key.
func larkDecrypt(a *attempt, v string) (string, bool) {
	raw, err := decodeBase64(v)
	if err != nil || len(raw) < 2*aes.BlockSize {
		return "", false
	}
	for _, k := range a.liveKeys() {
		sum := sha256.Sum256(k.bytes)
		if plain, ok := decryptCBC(sum[:], raw[:aes.BlockSize], raw[aes.BlockSize:], aes.BlockSize); ok && bytes.HasPrefix(plain, []byte("{")) {
			return string(plain), true
		}
	}
	return "", false
}

// wecomBlock is what WeCom pads to, whatever the cipher's block is.
const wecomBlock = 32

// wecomDecrypt opens what WeCom encrypts: AES-256-CBC under the EncodingAESKey, inside of which stand 16 random bytes, a length, the message and the receiver's id.
func wecomDecrypt(a *attempt, v string) (string, bool) {
	if a.p == nil {
		return "", false
	}
	aesKey, err := base64.StdEncoding.DecodeString(a.p.param("encoding_aes_key") + "=")
	if err != nil || len(aesKey) != 32 {
		return "", false
	}
	raw, err := decodeBase64(v)
	if err != nil {
		return "", false
	}
	plain, ok := decryptCBC(aesKey, aesKey[:aes.BlockSize], raw, wecomBlock)
	if !ok || len(plain) < 20 {
		return "", false
	}
	n, rest := binary.BigEndian.Uint32(plain[16:20]), plain[20:]
	if uint64(n) > uint64(len(rest)) {
		return "", false
	}
	if id := a.p.param("receive_id"); id != "" && string(rest[n:]) != id {
		return "", false // somebody else's message
	}
	return string(rest[:n]), true
}

// decryptCBC decrypts and takes the padding off, which fills up to block. It runs on genuine requests or answers nothing, so it is no oracle.
func decryptCBC(aesKey, iv, data []byte, block int) ([]byte, bool) {
	if len(data) == 0 || len(data)%aes.BlockSize != 0 {
		return nil, false
	}
	c, err := aes.NewCipher(aesKey)
	if err != nil {
		return nil, false
	}
	plain := make([]byte, len(data))
	cipher.NewCBCDecrypter(c, iv).CryptBlocks(plain, data)
	n := int(plain[len(plain)-1])
	if n < 1 || n > block || n > len(plain) {
		return nil, false
	}
	for _, b := range plain[len(plain)-n:] {
		if int(b) != n {
			return nil, false
		}
	}
	return plain[:len(plain)-n], true
}

// liveKeys are the keys of the secrets at hand: those of the call, or, where a request is only read, those that verified requests before it.
func (a *attempt) liveKeys() []*key {
	if a.p == nil {
		return nil
	}
	var keys []*key
	if len(a.secrets) > 0 {
		a.p.usable(a.secrets, "", func(_ int, k *key) bool { keys = append(keys, k); return false })
		return keys
	}
	a.p.keys.mu.RLock()
	defer a.p.keys.mu.RUnlock()
	for _, k := range a.p.keys.keys {
		keys = append(keys, k)
	}
	return keys
}
