package verifiers

import (
	"maps"
	"net/textproto"
	"slices"
	"strings"
)

func init() { customSchemes["contentful"] = newContentful }

const (
	contentfulSigned = "x-contentful-signed-headers"
	contentfulTime   = "x-contentful-timestamp"
	// maxSignedHeaders bounds the list that a sender can make us look up.
	maxSignedHeaders = 64
)

// contentfulScheme is an HMAC over Contentful's canonical request.
type contentfulScheme struct{ *contentScheme }

func newContentful(p *Provider) (scheme, error) {
	return contentfulScheme{computed(p, contentfulContent)}, nil
}

// sign names the signed headers first, where the request does not do so itself.
func (s contentfulScheme) sign(a *attempt, secret Secret) error {
	if a.header(textproto.CanonicalMIMEHeaderKey(contentfulSigned)) == "" {
		a.r.Header.Set(contentfulSigned, contentfulSigned+","+contentfulTime)
	}
	return s.contentScheme.sign(a, secret)
}

// contentfulContent is method, path, the headers that a header lists, which always include that header and the time, and the body.
func contentfulContent(a *attempt) (string, bool) {
	list := strings.Split(a.header(textproto.CanonicalMIMEHeaderKey(contentfulSigned)), ",")
	if len(list) > maxSignedHeaders || a.r.URL == nil {
		return "", false
	}
	headers := map[string]string{}
	for _, name := range append(list, contentfulSigned, contentfulTime) {
		name = strings.ToLower(strings.TrimSpace(name))
		values := a.r.Header.Values(name)
		if len(values) != 1 {
			return "", false // signed and taken away on the way, or added to
		}
		headers[name] = strings.TrimSpace(values[0])
	}
	names := slices.Sorted(maps.Keys(headers))
	headers[contentfulSigned] = strings.Join(names, ",")
	lines := make([]string, 0, len(names))
	for _, name := range names {
		lines = append(lines, name+":"+headers[name])
	}
	return strings.Join([]string{a.r.Method, contentfulPath(a), strings.Join(lines, ";"), string(a.body)}, "\n"), true
}

// contentfulPath is the path with the query escaped on top, as Contentful's toolkit does it.
func contentfulPath(a *attempt) string {
	path := a.r.URL.EscapedPath()
	if q := a.r.URL.RawQuery; q != "" {
		path += "?" + escapeJS(q, "-_.!~*'()")
	}
	return escapeJS(path, "-_.!~*'();/?:@&=+$,#")
}

// escapeJS is JavaScript's percent-encoding: everything but letters, digits and the given characters.
func escapeJS(s, keep string) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte(keep, c) >= 0 {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(digits[c>>4])
		b.WriteByte(digits[c&15])
	}
	return b.String()
}
