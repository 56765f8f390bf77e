package caddymodule

import (
	"cmp"
	"net/http"
	"net/url"
	"strings"

	"github.com/sluice-webhooks/sluice/queue"
)

const formType = "application/x-www-form-urlencoded"

// untouched reports whether applications get the request as it came.
func (f *Forward) untouched() bool {
	return cmp.Or(f.Format, f.destination.Format) == formatOriginal && f.Enrich == nil && f.program == nil
}

// withPayload is the event as formats, filters and transformations see it. Where a provider calls by GET, the payload is the query: it becomes a form, which is
// the same text, as the body. Any other event is e itself.
func withPayload(e *queue.Event) *queue.Event {
	if e.Method != http.MethodGet || len(e.Body) > 0 {
		return e
	}
	query := parseStoredURL(e.URL).RawQuery
	if query == "" {
		return e
	}
	form := *e
	form.Header = e.Header.Clone()
	if form.Header == nil {
		form.Header = make(http.Header)
	}
	form.Header.Set("Content-Type", formType)
	form.Header.Del("Content-Encoding")
	form.Body = []byte(query)
	return &form
}

// withQuery is a destination's address with the query of the provider's request. A parameter of the destination's own takes the place of one of that name.
func withQuery(target *url.URL, query string) *url.URL {
	u := *target
	if query == "" {
		return &u
	}
	own := target.Query()
	parts := make([]string, 0, 8)
	if target.RawQuery != "" {
		parts = append(parts, target.RawQuery)
	}
	for part := range strings.SplitSeq(query, "&") {
		name, _, _ := strings.Cut(part, "=")
		if unescaped, err := url.QueryUnescape(name); err == nil {
			name = unescaped
		}
		if !own.Has(name) {
			parts = append(parts, part)
		}
	}
	u.RawQuery = strings.Join(parts, "&")
	return &u
}
