package caddymodule

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/verifiers"
)

const formType = "application/x-www-form-urlencoded"

// untouched reports whether applications get the request as it came.
func (f *Forward) untouched() bool {
	return cmp.Or(f.Format, f.destination.Format) == formatOriginal && f.Enrich == nil && f.program == nil
}

// withPayload is the event as formats, filters and transformations see it. Where a provider calls by GET, the payload is the query: it becomes a form, which is
// the same text, as the body. Any other event is e itself.
func withPayload(e *queue.Event) *queue.Event {
	if !queryIsPayload(e.Method, len(e.Body)) {
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

// providersOwn reports what of webhook-id, webhook-timestamp and webhook-signature is the provider's in an original and not just a header that somebody sent: its
// signature, if that is where its signature is, and all three if that one is of Standard Webhooks and covers the others.
func (d *Destination) providersOwn(e *queue.Event, f *Forward, h http.Header) (signature, covered bool) {
	spec := d.specOf(e, f)
	if spec == nil || h.Get("Webhook-Signature") == "" || spec.Signature.In != "" && spec.Signature.In != "header" {
		return false, false
	}
	standard, names := spec.Scheme == verifiers.SchemeStandard, spec.Signature.Names
	if standard && len(names) == 0 {
		return true, true // its names are those of the scheme
	}
	signature = slices.ContainsFunc(names, func(name string) bool { return strings.EqualFold(name, "webhook-signature") }) &&
		!slices.ContainsFunc(names, func(name string) bool { return otherwiseSigned(h, name) })
	return signature, signature && standard
}

// otherwiseSigned reports whether a provider that also signs under other names (svix-signature) may have signed something else than the webhook-* headers say.
func otherwiseSigned(h http.Header, name string) bool {
	prefix := name[:strings.LastIndexByte(name, '-')+1]
	return slices.ContainsFunc([]string{"id", "timestamp", "signature"}, func(what string) bool {
		other := h.Get(prefix + what)
		return other != "" && other != h.Get("Webhook-"+what)
	})
}

// specOf is the description of the provider that an event came from; nil if there is none any more.
func (d *Destination) specOf(e *queue.Event, f *Forward) *verifiers.Spec {
	if f.provider != nil && f.provider.Spec().ID == e.Provider {
		return f.provider.Spec()
	}
	spec, err := d.app.providerSpec(e.Provider)
	if err != nil {
		return nil
	}
	return spec
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
