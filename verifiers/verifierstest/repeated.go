package verifierstest

import (
	"bytes"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"github.com/sluice-webhooks/sluice/verifiers"
)

// testRepeated says each name of the body a second time, with another value, behind the first: most applications read the last of two.
func testRepeated(t *testing.T, g genuine) {
	if unbound(g.spec) {
		return
	}
	r := clone(g.r)
	for i, b := range g.r.Body {
		if b != '}' || !verifiers.ValidJSON(g.r.Body) {
			continue
		}
		for _, name := range namesBefore(g.r.Body, i) {
			r.Body = slices.Concat(g.r.Body[:i], fmt.Appendf(nil, `,"\u%04x%s":"x"`, name[0], name[1:]), g.r.Body[i:])
			if verifiers.ValidJSON(r.Body) { // else the brace stands in a text
				mustRefuse(t, g.p, r, g.secrets, "name "+name+" twice")
			}
		}
	}
	if form, err := url.ParseQuery(string(g.r.Body)); err == nil && !verifiers.ValidJSON(g.r.Body) && bytes.IndexByte(g.r.Body, '<') < 0 {
		for name := range form {
			r.Body = append(bytes.Clone(g.r.Body), "&"+url.QueryEscape(name)+"=x"...)
			mustRefuse(t, g.p, r, g.secrets, "field "+name+" twice")
		}
	}
}

// namesBefore are the names of the object that ends at i.
func namesBefore(body []byte, i int) (names []string) {
	for from := i - 1; from >= 0; from-- {
		if body[from] == '{' && verifiers.ValidJSON(body[from:i+1]) {
			gjson.ParseBytes(body[from : i+1]).ForEach(func(k, _ gjson.Result) bool {
				if name := k.String(); name != "" && strings.IndexFunc(name, func(r rune) bool { return r > '~' || r == '"' || r == '\\' }) < 0 {
					names = append(names, name)
				}
				return true
			})
			return names
		}
	}
	return nil
}

// unbound tells that nothing binds the body: whoever has a token, or signs something else of the request, may send any.
func unbound(spec *verifiers.Spec) bool {
	switch spec.Scheme {
	case verifiers.SchemeToken, verifiers.SchemeBasic, verifiers.SchemeNone:
		return true
	case verifiers.SchemeJWT:
		return spec.JWT.BodyHash == ""
	}
	return len(spec.Signed) > 0 && !readsBody.MatchString(strings.Join(spec.Signed, " "))
}

var readsBody = regexp.MustCompile(`[{+](body|raw|json|form)`)
