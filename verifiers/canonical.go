package verifiers

import (
	"net/url"
	"slices"
	"strings"
)

// canonicalRequest is what the claim qsh of Atlassian's tokens is the hash of: method, path and query, each in its one spelling. Nothing of the query is left out
// but the token itself: what cannot be unescaped stands as it came.
func canonicalRequest(method string, u *url.URL) string {
	path := strings.TrimSuffix(strings.ReplaceAll(u.EscapedPath(), "&", "%26"), "/")
	if path == "" {
		path = "/"
	}
	return strings.ToUpper(method) + "&" + path + "&" + canonicalQuery(u.RawQuery)
}

// canonicalQuery sorts by escaped name and joins the escaped values of a name with commas.
func canonicalQuery(raw string) string {
	values := map[string][]string{}
	for pair := range strings.SplitSeq(raw, "&") {
		name, value, _ := strings.Cut(pair, "=")
		if name = percentEncoded(name); pair != "" && name != "jwt" {
			values[name] = append(values[name], percentEncoded(value))
		}
	}
	var parts []string
	for _, name := range sortedKeys(values) {
		parts = append(parts, name+"="+strings.Join(slices.Sorted(slices.Values(values[name])), ","))
	}
	return strings.Join(parts, "&")
}

// percentEncoded writes a part of a query with all but unreserved characters (RFC 3986) escaped.
func percentEncoded(s string) string {
	if plain, err := url.QueryUnescape(s); err == nil {
		s = plain
	}
	return strings.ReplaceAll(url.QueryEscape(s), "+", "%20")
}
