package verifierstest

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/textproto"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"github.com/sluice-webhooks/sluice/verifiers"
)

// flip changes a byte to one that is never another spelling of the same (upper case, padding).
func flip(b byte) byte { return b ^ 1 }

// coversBody tells whether every byte of the body is signed.
func coversBody(spec *verifiers.Spec) bool {
	switch spec.Scheme {
	case verifiers.SchemeToken, verifiers.SchemeBasic, verifiers.SchemeNone:
		return false
	case verifiers.SchemeJWT:
		return spec.JWT.BodyHash != "" || spec.Signature.In == "body"
	case verifiers.SchemeStandard:
		return true
	case verifiers.SchemeJWS:
		if !spec.JWT.Detached {
			return spec.Signature.In == "body"
		}
	}
	signed := spec.Signed
	if len(signed) == 0 {
		return true
	}
	for _, s := range signed {
		s = strings.ReplaceAll(s, "{raw>xml", "") // an element of the body
		if !strings.Contains(s, "{body") && !strings.Contains(s, "{raw") && !strings.Contains(s, "+body") {
			return false
		}
	}
	return true
}

func testBodyBytes(t *testing.T, g genuine) {
	if !coversBody(g.spec) {
		return
	}
	r := clone(g.r)
	for i := range positions(g.spec, len(r.Body)) {
		r.Body[i] = flip(r.Body[i])
		mustRefuse(t, g.p, r, g.secrets, fmt.Sprintf("byte %d of the body changed", i))
		r.Body[i] = flip(r.Body[i])
	}
	for what, body := range map[string][]byte{
		"appended newline": append(bytes.Clone(g.r.Body), '\n'), "prepended blank": append([]byte(" "), g.r.Body...),
		"doubled body": append(bytes.Clone(g.r.Body), g.r.Body...),
	} {
		if len(g.r.Body) == 0 && what == "doubled body" || ignoresBlanks(g.spec) && what != "doubled body" {
			continue
		}
		r.Body = body
		mustRefuse(t, g.p, r, g.secrets, what)
	}
	if len(g.r.Body) > 0 {
		r.Body = g.r.Body[:len(g.r.Body)-1]
		mustRefuse(t, g.p, r, g.secrets, "body without its last byte")
		r.Body = nil
		mustRefuse(t, g.p, r, g.secrets, "empty body")
	}
}

// ignoresBlanks tells whether blanks around the body play no part: it is a token, or brought into canonical form.
func ignoresBlanks(spec *verifiers.Spec) bool {
	return spec.Signature.In == "body" || strings.Contains(strings.Join(spec.Signed, " "), ">jcs")
}

// part is one value of a request that can be replaced.
type part struct {
	name string
	get  func(r *verifiers.Request) string
	set  func(r *verifiers.Request, v string)
}

func headerPart(name string) part {
	name = textproto.CanonicalMIMEHeaderKey(name)
	return part{"header " + name, func(r *verifiers.Request) string { return r.Header.Get(name) },
		func(r *verifiers.Request, v string) { r.Header[name] = []string{v} }}
}

func queryPart(name string) part {
	return part{"query " + name, func(r *verifiers.Request) string { return r.URL.Query().Get(name) }, func(r *verifiers.Request, v string) {
		q := r.URL.Query()
		q.Set(name, v)
		r.URL.RawQuery = q.Encode()
	}}
}

func jsonPart(path string) part {
	path = strings.ReplaceAll(path, "#", "0") // of many elements, the first
	return part{"json " + path, func(r *verifiers.Request) string { return gjson.GetBytes(r.Body, path).String() }, func(r *verifiers.Request, v string) {
		old := gjson.GetBytes(r.Body, path)
		if old.Index == 0 {
			return
		}
		r.Body = slices.Concat(r.Body[:old.Index], []byte(strconv.Quote(v)), r.Body[old.Index+len(old.Raw):])
	}}
}

// envelopePart is a field of the JSON object that another part holds in base64.
func envelopePart(p part, field string) part {
	open := func(r *verifiers.Request) string {
		b, err := base64.StdEncoding.DecodeString(p.get(r))
		if err != nil {
			return ""
		}
		return string(b)
	}
	return part{p.name, func(r *verifiers.Request) string { return gjson.Get(open(r), field).String() }, func(r *verifiers.Request, v string) {
		outer := open(r)
		old := gjson.Get(outer, field)
		if v == "" || old.Index == 0 {
			p.set(r, "")
			return
		}
		p.set(r, base64.StdEncoding.EncodeToString([]byte(outer[:old.Index]+strconv.Quote(v)+outer[old.Index+len(old.Raw):])))
	}}
}

// signatureParts are the places that hold the signature of a request.
func signatureParts(g genuine) []part {
	spec := g.p.Spec()
	if spec.Scheme == verifiers.SchemeBasic {
		return []part{headerPart("Authorization")}
	}
	var parts []part
	for _, name := range spec.Signature.Names {
		for n := range max(spec.Signature.Numbered, 1) {
			name := strings.ReplaceAll(name, "{n}", strconv.Itoa(n+1))
			switch spec.Signature.In {
			case "", "header":
				parts = append(parts, headerPart(name))
			case "query":
				parts = append(parts, queryPart(name))
			case "json":
				parts = append(parts, jsonPart(name))
			}
			if !strings.Contains(name, "{n}") && spec.Signature.Numbered == 0 {
				break
			}
		}
	}
	if field := spec.Signature.JSONField; field != "" {
		for i := range parts {
			parts[i] = envelopePart(parts[i], field)
		}
	}
	return slices.DeleteFunc(parts, func(p part) bool { return p.get(g.r) == "" })
}

// testSignatureBytes changes and cuts the signature. What an item that plays no part says (an unknown version, a second signature) may change: then the request
// must verify without the item as well.
func testSignatureBytes(t *testing.T, g genuine) {
	spec := g.p.Spec()
	for _, part := range signatureParts(g) {
		whole := part.get(g.r)
		r := clone(g.r)
		without := func() bool { part.set(r, ""); return verify(g.p, r, g.secrets) == nil }
		if len(signatureParts(g)) > 1 && without() {
			continue // an alternative that plays no part in this request
		}
		for i := range positions(spec, len(whole)) {
			changed := whole[:i] + string(flip(whole[i])) + whole[i+1:]
			part.set(r, changed)
			if verify(g.p, r, g.secrets) == nil && !idle(g, part, whole, i) {
				t.Errorf("accepted: byte %d of %s changed", i, part.name)
			}
			part.set(r, whole[:i])
			if verify(g.p, r, g.secrets) == nil && trimPadding(whole[:i]) != trimPadding(whole) && !idle(g, part, whole, len(whole)-1) {
				t.Errorf("accepted: %s cut after byte %d", part.name, i)
			}
		}
	}
}

// trimPadding takes away what may be missing at the end of a signature: the padding of base64, escaped or not, and separators.
func trimPadding(s string) string {
	return strings.TrimRight(strings.ReplaceAll(s, "%3D", "="), "= ,;")
}

// idle tells whether the item around position i can be left out.
func idle(g genuine, p part, whole string, i int) bool {
	separators := g.p.Spec().Signature.Separator
	if separators == "" {
		separators = ",;|& "
	}
	from := strings.LastIndexAny(whole[:i], separators) + 1
	to := len(whole)
	if n := strings.IndexAny(whole[i:], separators); n >= 0 {
		to = i + n
	}
	if from == 0 && to == len(whole) {
		return false
	}
	r := clone(g.r)
	p.set(r, whole[:from]+whole[to:])
	return verify(g.p, r, g.secrets) == nil
}

var placeholder = regexp.MustCompile(`[{+](header|json|query|form)[.:]([^}>+]+)|[{+](timestamp|id|url|method|path|target)\b`)

// testSignedParts changes each value that the signed content names.
func testSignedParts(t *testing.T, g genuine) {
	spec := g.p.Spec()
	if slices.Contains([]string{verifiers.SchemeToken, verifiers.SchemeBasic, verifiers.SchemeJWT}, spec.Scheme) || spec.Custom != "" {
		return
	}
	for _, m := range placeholder.FindAllStringSubmatch(spec.Signed[0], -1) {
		for _, p := range namedParts(spec, m) {
			v := p.get(g.r)
			if v == "" || usesAlternative(spec, m[0]) {
				continue
			}
			for i := range positions(spec, len(v)) {
				r := clone(g.r)
				p.set(r, v[:i]+string(flip(v[i]))+v[i+1:])
				mustRefuse(t, g.p, r, g.secrets, fmt.Sprintf("byte %d of signed %s changed", i, p.name))
			}
		}
	}
}

// usesAlternative tells that a request may be signed without this part.
func usesAlternative(spec *verifiers.Spec, text string) bool {
	return slices.ContainsFunc(spec.Signed, func(s string) bool { return !strings.Contains(s, text) })
}

// namedParts finds the parts of a request that a placeholder reads.
func namedParts(spec *verifiers.Spec, m []string) []part {
	switch m[1] {
	case "header":
		return []part{headerPart(m[2])}
	case "json":
		return []part{jsonPart(m[2])}
	case "query":
		return []part{queryPart(m[2])}
	}
	switch m[3] {
	case "timestamp":
		if spec.Timestamp.In == "header" {
			return []part{headerPart(spec.Timestamp.Names[0])}
		}
	case "id":
		if name, ok := strings.CutPrefix(strings.Fields(spec.MessageID)[0], "header:"); ok {
			return []part{headerPart(name)}
		}
	case "url", "path", "target":
		if len(spec.URLVariants) == 0 {
			return []part{{"path", func(r *verifiers.Request) string { return strings.Trim(r.URL.Path, "/") },
				func(r *verifiers.Request, v string) { r.URL.Path = "/" + v }}}
		}
	case "method":
		return []part{{"method", func(r *verifiers.Request) string { return r.Method }, func(r *verifiers.Request, v string) { r.Method = v }}}
	}
	return nil
}

// testSecretBytes changes the secret. Of a key pair's file only the key itself counts, so those are only replaced as a whole.
func testSecretBytes(t *testing.T, g genuine) {
	if len(g.secrets) == 0 {
		return
	}
	secret := g.secrets[0].Bytes()
	if bytes.HasPrefix(secret, []byte("-----")) || bytes.HasPrefix(secret, []byte("{")) {
		return
	}
	k := &g.spec.Key
	from := 0
	if k.Split != "" {
		from = bytes.Index(secret, []byte(k.Split)) + len(k.Split)
	}
	if i := bytes.LastIndex(secret, []byte(k.StripThrough)); k.StripThrough != "" && i >= 0 {
		from = i + len(k.StripThrough)
	}
	for i := from; i < len(secret); i++ {
		changed := bytes.Clone(secret)
		changed[i] = flip(changed[i])
		mustRefuse(t, g.p, g.r, []verifiers.Secret{verifiers.NewSecret(changed)}, fmt.Sprintf("byte %d of the secret changed", i))
	}
}
