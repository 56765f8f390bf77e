package verifiers

import (
	"maps"
	"net/textproto"
	"slices"
	"strings"
)

const (
	contentfulSigned = "x-contentful-signed-headers"
	contentfulTime   = "x-contentful-timestamp"
	// maxSignedHeaders bounds the list that a sender can make us look up.
	maxSignedHeaders = 64
)

// contentfulContent is Contentful's canonical request: method, path, the headers that a header names, and the body.
func contentfulContent(a *attempt) string {
	headers := map[string]string{contentfulTime: a.timestamp}
	list := a.header(textproto.CanonicalMIMEHeaderKey(contentfulSigned))
	for i, name := range strings.Split(list, ",") {
		name = strings.ToLower(strings.TrimSpace(name))
		if values := a.r.Header[textproto.CanonicalMIMEHeaderKey(name)]; i < maxSignedHeaders && len(values) == 1 {
			headers[name] = strings.TrimSpace(values[0])
		}
	}
	headers[contentfulSigned] = ""
	names := slices.Sorted(maps.Keys(headers))
	headers[contentfulSigned] = strings.Join(names, ",")
	lines := make([]string, 0, len(names))
	for _, name := range names {
		lines = append(lines, name+":"+headers[name])
	}
	return strings.Join([]string{a.r.Method, contentfulPath(a), strings.Join(lines, ";"), string(a.body)}, "\n")
}

// contentfulPrepare names the signed headers.
func contentfulPrepare(a *attempt) {
	names := []string{contentfulSigned, contentfulTime}
	if a.r.Header.Get("X-Contentful-Topic") != "" {
		names = append(names, "x-contentful-topic")
		slices.Sort(names)
	}
	a.r.Header.Set(contentfulSigned, strings.Join(names, ","))
}

// contentfulPath is the path with the query escaped on top, as Contentful's toolkit does it.
func contentfulPath(a *attempt) string {
	if a.r.URL == nil {
		return ""
	}
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
