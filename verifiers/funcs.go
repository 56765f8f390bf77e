package verifiers

import (
	"bytes"
	"crypto/hmac"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"hash"
	"hash/crc32"
	"net/url"
	"strconv"
	"strings"
)

// fn changes a value on its way. ok=false: there is no such value, which expressions and templates take as an empty one.
type fn func(a *attempt, v string) (out string, ok bool)

// plainFuncs need nothing but the value.
var plainFuncs = map[string]func(string) (string, bool){
	"hex":            func(v string) (string, bool) { return hex.EncodeToString([]byte(v)), true },
	"base64":         func(v string) (string, bool) { return base64.StdEncoding.EncodeToString([]byte(v)), true },
	"base64url":      func(v string) (string, bool) { return base64.RawURLEncoding.EncodeToString([]byte(v)), true },
	"from_hex":       func(v string) (string, bool) { b, err := hex.DecodeString(v); return string(b), err == nil },
	"from_base64":    func(v string) (string, bool) { b, err := decodeBase64(v); return string(b), err == nil },
	"from_base64url": func(v string) (string, bool) { b, err := decodeBase64URL(v); return string(b), err == nil },
	"lower":          func(v string) (string, bool) { return strings.ToLower(v), true },
	"upper":          func(v string) (string, bool) { return strings.ToUpper(v), true },
	"trim":           func(v string) (string, bool) { return strings.TrimSpace(v), true },
	"url_encode":     func(v string) (string, bool) { return url.QueryEscape(v), true },
	"url_decode":     func(v string) (string, bool) { s, err := url.QueryUnescape(v); return s, err == nil },
	"json":           quoteJSON,
	"jcs":            canonicalJSON,
	"jwt_payload":    jwtPayload,
	"crc32": func(v string) (string, bool) {
		return strconv.FormatUint(uint64(crc32.ChecksumIEEE([]byte(v))), 10), true
	},
	"length": func(v string) (string, bool) { return strconv.Itoa(len(v)), true },
}

// customFuncs are functions of single providers that need keys or params.
var customFuncs = map[string]fn{}

// parseFunc reads one function of a chain: a name of plainFuncs, a hash, hmac_<hash>, json:<path>, xml:<path> or is:<text>.
func parseFunc(s string) (fn, error) {
	if f, ok := plainFuncs[s]; ok {
		return func(_ *attempt, v string) (string, bool) { return f(v) }, nil
	}
	if f, ok := customFuncs[s]; ok {
		return f, nil
	}
	if h, ok := hashes[s]; ok {
		return func(_ *attempt, v string) (string, bool) { return string(digest(h.New, v)), true }, nil
	}
	if h, ok := hashes[strings.TrimPrefix(s, "hmac_")]; ok {
		return func(a *attempt, v string) (string, bool) {
			if a.key == nil {
				return "", false
			}
			return string(digest(func() hash.Hash { return hmac.New(h.New, a.key.bytes) }, v)), true
		}, nil
	}
	if path, ok := cutPrefix(s, "json"); ok {
		return func(_ *attempt, v string) (string, bool) { r := jsonValue([]byte(v), path); return r, r != "" }, nil
	}
	if path, ok := cutPrefix(s, "xml"); ok {
		return func(_ *attempt, v string) (string, bool) { return xmlValue(v, path) }, nil
	}
	if text, ok := cutPrefix(s, "is"); ok {
		return func(_ *attempt, v string) (string, bool) { return v, v == text }, nil
	}
	return nil, fieldError(s, "unknown function: expected a hash, hmac_<hash>, json:<path>, xml:<path>, is:<text> or one of %s", names(plainFuncs))
}

func cutPrefix(s, name string) (string, bool) {
	rest, ok := strings.CutPrefix(s, name)
	if !ok || len(rest) < 2 || (rest[0] != ':' && rest[0] != '.') {
		return "", false
	}
	return rest[1:], true
}

func digest(newHash func() hash.Hash, v string) []byte {
	h := newHash()
	h.Write([]byte(v))
	return h.Sum(nil)
}

// quoteJSON writes v as a JSON string; characters are escaped only where JSON needs it.
func quoteJSON(v string) (string, bool) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return "", false
	}
	return strings.TrimSuffix(b.String(), "\n"), true
}

// jwtPayload is the payload of a compact JWS, unverified: what Verify vouched for, or nothing that counts.
func jwtPayload(v string) (string, bool) {
	_, rest, ok := strings.Cut(strings.TrimSpace(v), ".")
	payload, _, ok2 := strings.Cut(rest, ".")
	if !ok || !ok2 {
		return "", false
	}
	b, err := decodeBase64URL(payload)
	return string(b), err == nil
}

// maxXMLDepth bounds what a document can make the decoder hold.
const maxXMLDepth = 64

// xmlValue returns the text of the first element at path ("notification/kind"); names are local names, "//" is not known. Entities other than XML's own
// are an error in the decoder, so none are expanded.
func xmlValue(doc, path string) (string, bool) {
	want := strings.Split(strings.Trim(path, "/"), "/")
	dec := xml.NewDecoder(strings.NewReader(doc))
	depth, matched := 0, 0 // open elements, and how many of them from the root on agree with want
	for {
		tok, err := dec.Token()
		if err != nil {
			return "", false
		}
		switch t := tok.(type) {
		case xml.StartElement:
			if depth == maxXMLDepth {
				return "", false
			}
			if matched == depth && matched < len(want) && t.Name.Local == want[matched] {
				matched++
			}
			depth++
			if matched == len(want) && depth == len(want) {
				return xmlText(dec, depth)
			}
		case xml.EndElement:
			depth--
			matched = min(matched, depth)
		}
	}
}

// xmlText collects the text up to the end of the current element, in which so many are open.
func xmlText(dec *xml.Decoder, depth int) (string, bool) {
	var b strings.Builder
	for end := depth - 1; depth > end; {
		tok, err := dec.Token()
		if err != nil {
			return "", false
		}
		switch t := tok.(type) {
		case xml.StartElement:
			if depth == maxXMLDepth {
				return "", false
			}
			depth++
		case xml.EndElement:
			depth--
		case xml.CharData:
			b.Write(t)
		}
	}
	return strings.TrimSpace(b.String()), true
}
