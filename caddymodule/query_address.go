package caddymodule

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/sluice-webhooks/sluice/queue"
)

// queryIsPayload tells whether the payload of a request is its query: so it is where a provider calls by GET.
func queryIsPayload(method string, size int) bool { return method == http.MethodGet && size == 0 }

// shownPayload returns what an event's payload is, as it may be shown, and its type; errHidden if it may not.
func (p *privacy) shownPayload(e *queue.Event) (body []byte, contentType string, masked bool, err error) {
	whole := withPayload(e)
	contentType = whole.Header.Get("Content-Type")
	if whole == e {
		body, masked, err = p.payload(e.Body, contentType)
	} else {
		body, masked, err = p.query(string(whole.Body))
	}
	return body, contentType, masked, err
}

// query returns a query that is the payload as it may be shown; errHidden if it may not. It is a request, never an element of a batch.
func (p *privacy) query(raw string) ([]byte, bool, error) {
	open := p.maskQuery(raw)
	shown, hit, err := p.request([]byte(open), formType)
	return shown, hit || open != raw, err
}

// address returns the address of a request as it may be shown. Where its query is the payload, no more of that is shown than of any other payload.
func (p *privacy) address(stored string, isPayload bool) string {
	u, err := url.Parse(stored)
	if err != nil {
		return ""
	}
	u.User = nil
	if p.Path {
		escaped := u.EscapedPath()
		if i, j := strings.LastIndexByte(u.Path, '/'), strings.LastIndexByte(escaped, '/'); i >= 0 && j >= 0 {
			u.Path, u.RawPath = u.Path[:i+1]+maskText, escaped[:j+1]+maskText
		}
	}
	if !isPayload || u.RawQuery == "" {
		u.RawQuery = p.maskQuery(u.RawQuery)
		return u.String()
	}
	shown, _, err := p.query(u.RawQuery)
	if err != nil {
		shown = []byte(maskText)
	}
	u.RawQuery = string(shown)
	return u.String()
}

// maskQuery replaces the values of the parameters that carry secrets.
func (p *privacy) maskQuery(raw string) string {
	return maskQuery(raw, func(name string) bool { return slices.Contains(p.Queries, strings.ToLower(name)) || soundsSecret(name) })
}

// maskQuery replaces the values of some parameters and leaves the others as they are written.
func maskQuery(raw string, secret func(name string) bool) string {
	if raw == "" {
		return ""
	}
	pairs := strings.Split(raw, "&")
	for i, pair := range pairs {
		name, _, hasValue := strings.Cut(pair, "=")
		plain, err := url.QueryUnescape(name)
		if hasValue && (err != nil || secret(plain)) {
			pairs[i] = name + "=" + maskText
		}
	}
	return strings.Join(pairs, "&")
}
