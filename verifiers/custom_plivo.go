package verifiers

import (
	"net/http"
	"slices"
	"strings"
)

func init() {
	customSchemes["plivo"] = func(p *Provider) (scheme, error) { return computed(p, plivoContent), nil }
}

// plivoContent is the address as Plivo's signature V3 writes it: the query in order of names, for POST the form's fields behind it, and the nonce. What stands between query and
// fields depends on which of them are there.
func plivoContent(a *attempt) (string, bool) {
	u := a.r.URL
	if u == nil {
		return "", false
	}
	base := u.Scheme + "://" + u.Host + u.EscapedPath()
	query := plivoPairs(a.queryValues(), "=", "&")
	fields := ""
	if a.r.Method == http.MethodGet {
		if len(a.body) > 0 {
			return "", false // not covered
		}
	} else {
		fields = plivoPairs(a.formValues(), "", "")
		if a.partly {
			return "", false // what fields do not show must not pass as signed
		}
	}
	if query != "" || fields != "" {
		base += "?" + query
	}
	if query != "" && fields != "" {
		base += "."
	}
	return base + fields + "." + a.id, true
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
