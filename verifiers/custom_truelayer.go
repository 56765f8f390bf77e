package verifiers

import (
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// truelayerHeaders are the headers that our own signatures cover.
const truelayerHeaders = "X-Tl-Webhook-Timestamp"

func init() { customSchemes["truelayer"] = newTrueLayer }

// newTrueLayer verifies a detached token whose header names the request's headers that it covers.
func newTrueLayer(p *Provider) (scheme, error) {
	s, err := newJWTScheme(p)
	if err != nil {
		return nil, err
	}
	s.content = truelayerContent
	s.header = func(opts *jose.SignerOptions) { opts.WithHeader("tl_headers", truelayerHeaders) }
	return s, nil
}

// truelayerContent is method and path, the headers that the token names, in its spelling and order, and the body. A token that does not cover the time is none.
func truelayerContent(a *attempt) (string, bool) {
	names := truelayerHeaders
	if len(a.sigs) > 0 {
		head, _, _ := strings.Cut(a.sigs[0].value, ".")
		b, err := decodeBase64URL(head)
		if err != nil {
			return "", false
		}
		names = jsonValue(b, "tl_headers")
	}
	list := strings.Split(names, ",")
	if len(list) > maxSignedHeaders || a.r.URL == nil {
		return "", false
	}
	var b strings.Builder
	b.WriteString(strings.ToUpper(a.r.Method) + " " + a.r.URL.EscapedPath() + "\n")
	timed := false
	for _, name := range list {
		values := a.r.Header.Values(name)
		if len(values) > 1 {
			return "", false
		}
		b.WriteString(name + ": " + strings.Join(values, "") + "\n")
		timed = timed || strings.EqualFold(name, truelayerHeaders)
	}
	b.Write(a.body)
	return b.String(), timed
}
