package verifiers

import (
	"encoding/base64"
	"fmt"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// sigReader is a compiled Signature.
type sigReader struct {
	place  place
	names  []string
	exprs  map[string]*Expr // by name, where names are expressions
	spec   *Signature
	format *format
}

var sigPlaces = map[string]place{
	"": placeHeader, "header": placeHeader, "query": placeQuery, "form": placeForm, "json": placeJSON, "body": placeRaw, "path": placeLastPath,
	"expr": placeExpr,
}

// maxNumbered bounds how many numbered headers are looked for.
const maxNumbered = 100

// usesSignature tells whether a scheme reads Spec.Signature.
func (p *Provider) usesSignature() bool {
	return p.spec.Scheme != SchemeNone && p.spec.Scheme != SchemeBasic && p.spec.Scheme != SchemeGuest
}

func (p *Provider) compileSignature() error {
	s := &p.spec.Signature
	if !p.usesSignature() {
		return nil
	}
	pl, ok := sigPlaces[s.In]
	if !ok {
		return fieldError("signature.in", "%q is not a place: expected header, query, form, json, body, path or expr", s.In)
	}
	if !slices.Contains([]string{"", "hex", "base64", "base64url", "raw"}, s.Encoding) {
		return fieldError("signature.encoding", "%q is not known: expected hex, base64, base64url or raw", s.Encoding)
	}
	f, err := parseFormat(s.Format, s.Separator)
	if err != nil {
		return fieldError("signature.format", "%q: %w", s.Format, err)
	}
	p.sig = sigReader{place: pl, spec: s, format: f}
	if len(s.Names) == 0 && pl != placeRaw && pl != placeLastPath {
		return fieldError("signature.names", "expected the name of the %s that carries the signature", placeName(pl))
	}
	if s.Numbered < 0 || s.Numbered > maxNumbered {
		return fieldError("signature.numbered", "expected a number up to %d", maxNumbered)
	}
	if pl == placeExpr {
		p.sig.exprs = make(map[string]*Expr, len(s.Names))
	}
	for _, name := range s.Names {
		if pl == placeExpr {
			if p.sig.exprs[name], err = p.parseExpr("signature.names", name); err != nil {
				return err
			}
		}
		if !strings.Contains(name, "{n}") {
			p.sig.names = append(p.sig.names, p.sig.canonical(name))
			continue
		}
		if s.Numbered == 0 {
			return fieldError("signature.numbered", "expected the highest {n} of %s", name)
		}
		for n := 1; n <= s.Numbered; n++ {
			p.sig.names = append(p.sig.names, p.sig.canonical(strings.ReplaceAll(name, "{n}", strconv.Itoa(n))))
		}
	}
	// The name of an authentication scheme has no case (RFC 9110).
	f.foldCase = pl == placeHeader && slices.Contains(p.sig.names, "Authorization")
	return nil
}

func placeName(p place) string {
	switch p {
	case placeQuery:
		return "query parameter"
	case placeForm:
		return "form field"
	case placeJSON:
		return "JSON field"
	default:
		return "header"
	}
}

func (s *sigReader) canonical(name string) string {
	if s.place == placeHeader {
		return textproto.CanonicalMIMEHeaderKey(name)
	}
	return name
}

// read collects the signatures of a request into a.sigs. It fails with ErrUnsigned if there is none and with ErrMalformed if one cannot be what was sent.
func (s *sigReader) read(a *attempt) error {
	a.sigs = a.sigs[:0]
	present := false
	if s.place == placeRaw || s.place == placeLastPath {
		present = true
		if err := s.add(a, source{place: s.place}.value(a)); err != nil {
			return err
		}
	}
	for _, name := range s.names {
		values := s.values(a, name)
		fansOut := s.place == placeJSON && strings.Contains(name, "#")
		if len(values) > 1 && !s.spec.Repeatable && !fansOut {
			return fmt.Errorf("%w: %s occurs %d times", ErrMalformed, name, len(values))
		}
		if fansOut && len(values) != elementCount(a.r.Body, name) {
			return fmt.Errorf("%w: an element has no %s", ErrMalformed, name)
		}
		for _, v := range values {
			present = present || v != ""
			before := len(a.sigs)
			if err := s.add(a, v); err != nil {
				return err
			}
			if fansOut && len(a.sigs) == before {
				return fmt.Errorf("%w: an element has no %s", ErrMalformed, name)
			}
		}
	}
	switch {
	case len(a.sigs) > 0:
		return nil
	case present:
		return fmt.Errorf("%w: expected %s", ErrMalformed, s.format.text)
	default:
		return fmt.Errorf("%w: %s", ErrUnsigned, s.describe())
	}
}

// values returns all values under one name. The slice belongs to the request.
func (s *sigReader) values(a *attempt, name string) []string {
	switch s.place {
	case placeHeader:
		return a.r.Header[name]
	case placeQuery:
		return a.queryValues()[name]
	case placeForm:
		return a.formValues()[name]
	case placeExpr:
		return []string{s.exprs[name].eval(a)}
	default:
		return jsonValues(a.r.Body, name)
	}
}

// elementCount is how many elements the array has that a path fans out over.
func elementCount(body []byte, path string) int {
	i := strings.IndexByte(path, '#')
	return int(getJSON(body, path[:i+1]).Int())
}

// jsonValues reads a path that may fan out: a token in each element of an array.
func jsonValues(body []byte, path string) []string {
	v := getJSON(body, path)
	if !v.Exists() {
		return nil
	}
	if !v.IsArray() {
		return []string{v.String()}
	}
	var out []string
	v.ForEach(func(_, e gjson.Result) bool {
		out = append(out, e.String())
		return len(out) <= maxElements
	})
	return out
}

func (s *sigReader) add(a *attempt, v string) error {
	var err error
	if s.spec.Percent {
		if v, err = url.PathUnescape(v); err != nil {
			return fmt.Errorf("%w: not percent-encoded", ErrMalformed)
		}
	}
	if s.spec.JSONField != "" && len(v) <= maxSignatureValue {
		b, err := base64JSON(v)
		if err != nil {
			return fmt.Errorf("%w: not base64", ErrMalformed)
		}
		v = jsonValue(b, s.spec.JSONField)
	}
	if a.sigs, err = s.format.read(a.sigs, v, s.spec.PrefixOptional); err != nil {
		return err
	}
	limit := maxSignatures
	if s.place == placeJSON {
		limit = maxElements // one in each element of a batch
	}
	if len(a.sigs) > limit {
		return fmt.Errorf("%w: more than %d signatures", ErrMalformed, limit)
	}
	return nil
}

// decode turns the texts into bytes. Those that cannot be read are skipped if another one can.
func (s *sigReader) decode(a *attempt, encoding string) error {
	a.encoded = a.encoded[:0]
	readable := false
	for i := range a.sigs {
		item := &a.sigs[i]
		from := len(a.encoded)
		b, err := appendDecoded(a.encoded, encoding, item.value)
		if err != nil || len(b) == from {
			item.from = -1
			continue
		}
		a.encoded = b
		item.from, item.to = from, len(b)
		readable = true
	}
	if !readable {
		return fmt.Errorf("%w: not %s", ErrMalformed, encoding)
	}
	return nil
}

// describe says where the signature was looked for.
func (s *sigReader) describe() string {
	switch s.place {
	case placeRaw:
		return "body"
	case placeLastPath:
		return "last segment of the path"
	}
	if len(s.names) > 4 {
		return placeName(s.place) + " " + strings.Join(s.spec.Names, " or ")
	}
	return placeName(s.place) + " " + strings.Join(s.names, " or ")
}

// Token schemes compare text; everything else is decoded.
func (p *Provider) signatureEncoding() string {
	if e := p.spec.Signature.Encoding; e != "" {
		return e
	}
	switch p.spec.Scheme {
	case SchemeToken, SchemeJWT, SchemeJWS:
		return "raw"
	case SchemeStandard, SchemeECDSA, SchemeRSA, SchemeRSACert:
		return "base64"
	}
	return "hex"
}

// base64JSON reads base64 of a JSON object, standard or URL-safe.
func base64JSON(v string) ([]byte, error) {
	if b, err := base64.StdEncoding.DecodeString(v); err == nil {
		return b, nil
	}
	return decodeBase64URL(v)
}
