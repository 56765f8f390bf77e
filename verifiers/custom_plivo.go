package verifiers

import (
	"net/http"
	"slices"
	"strings"
)

// plivoContent is the address as Plivo's signature V3 writes it: the query in order of names, and for POST the form's fields behind it. What stands between the two depends on
// which of them are there.
func plivoContent(a *attempt) string {
	u := a.r.URL
	if u == nil {
		return ""
	}
	base := u.Scheme + "://" + u.Host + u.EscapedPath()
	query := plivoPairs(a.queryValues(), "=", "&")
	if a.r.Method == http.MethodGet {
		if query == "" {
			return base
		}
		return base + "?" + query
	}
	fields := plivoPairs(a.formValues(), "", "")
	switch {
	case query == "" && fields == "":
		return base
	case query == "":
		return base + "?" + fields
	case fields == "":
		return base + "?" + query
	}
	return base + "?" + query + "." + fields
}

// plivoPairs writes values in order of their names, and of one name in their own order; nothing is escaped.
func plivoPairs(values map[string][]string, equals, separator string) string {
	var out []string
	for _, name := range sortedKeys(values) {
		for _, v := range slices.Sorted(slices.Values(values[name])) {
			out = append(out, name+equals+v)
		}
	}
	return strings.Join(out, separator)
}
