package verifiers_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-webhooks/sluice/verifiers"
)

// TestTokenInEachElement checks that of a batch every element must carry the token.
func TestTokenInEachElement(t *testing.T) {
	p, err := verifiers.Compile(lookup(t, "microsoft_graph"))
	if err != nil {
		t.Fatal(err)
	}
	batch := func(n, odd int, element string) *verifiers.Request {
		elements := make([]string, n)
		for i := range elements {
			elements[i] = fmt.Sprintf(`{"id":"%d","clientState":"secret"}`, i)
		}
		if odd >= 0 {
			elements[odd] = element
		}
		r := bearer("")
		r.Body = []byte(`{"value":[` + strings.Join(elements, ",") + `]}`)
		return r
	}
	for _, n := range []int{1, 33, 1000} {
		expectErr(t, fmt.Sprint(n, " elements"), verifyErr(p, batch(n, -1, ""), "secret"), nil)
		for _, odd := range []int{0, n / 2, n - 1} {
			for _, element := range []string{`{"clientState":"other"}`, `{"clientState":""}`, `{"clientState":null}`, `{"clientState":["secret"]}`, `{}`, `1`, `{"clientstate":"secret"}`} {
				if verifyErr(p, batch(n, odd, element), "secret") == nil {
					t.Errorf("accepted %s as element %d of %d", element, odd, n)
				}
			}
		}
	}
	expectErr(t, "too many", verifyErr(p, batch(10001, -1, ""), "secret"), verifiers.ErrMalformed)
	for _, body := range []string{`{"value":[]}`, `{"value":{}}`, `{}`, `[]`, ``, `{"value":"secret"}`} {
		r := bearer("")
		r.Body = []byte(body)
		if verifyErr(p, r, "secret") == nil {
			t.Errorf("accepted %q", body)
		}
	}
}

// TestTokenPlaces reads tokens from every place.
func TestTokenPlaces(t *testing.T) {
	for name, c := range map[string]struct {
		sig    verifiers.Signature
		change func(r *verifiers.Request, token string)
	}{
		"header": {verifiers.Signature{Names: []string{"X-Token"}}, func(r *verifiers.Request, v string) { r.Header.Set("X-Token", v) }},
		"bearer": {verifiers.Signature{Names: []string{"Authorization"}, Format: "Bearer {signature}"}, func(r *verifiers.Request, v string) { r.Header.Set("Authorization", "bEaReR "+v) }},
		"query":  {verifiers.Signature{In: "query", Names: []string{"token"}}, func(r *verifiers.Request, v string) { r.URL.RawQuery = "a=1&token=" + v }},
		"path":   {verifiers.Signature{In: "path"}, func(r *verifiers.Request, v string) { r.URL.Path = "/hooks/" + v }},
		"json":   {verifiers.Signature{In: "json", Names: []string{"auth.token"}}, func(r *verifiers.Request, v string) { r.Body = []byte(`{"auth":{"token":"` + v + `"}}`) }},
		"form":   {verifiers.Signature{In: "form", Names: []string{"token"}}, func(r *verifiers.Request, v string) { r.Body = []byte("a=1&token=" + v) }},
	} {
		p, err := verifiers.Compile(&verifiers.Spec{ID: "acme", Scheme: verifiers.SchemeToken, Signature: c.sig})
		if err != nil {
			t.Fatal(err)
		}
		for token, want := range map[string]error{
			"s3cret": nil, "0ld": nil, "s3cre": verifiers.ErrMismatch, "s3crets": verifiers.ErrMismatch, "S3CRET": verifiers.ErrMismatch,
		} {
			r := bearer("")
			r.Header.Del("Authorization")
			c.change(r, token)
			expectErr(t, name+" "+token, verifyErr(p, r, "s3cret", "0ld", ""), want)
		}
		r := bearer("")
		r.Header.Del("Authorization")
		c.change(r, "")
		if err := verifyErr(p, r, "s3cret", ""); err == nil {
			t.Errorf("%s: an empty token is accepted", name)
		}
	}
}
