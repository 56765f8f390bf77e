package caddymodule

import (
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/headers"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/sluice-webhooks/sluice/queue"
)

// requestPlaceholder finds those that would have to come from an event or a request; env, file and the like are Caddy's.
var requestPlaceholder = regexp.MustCompile(`\{((?:webhook|http)\.[^{}]*)\}`)

// checkHeaderText refuses placeholders that have no value where events are forwarded, and would arrive as they are written.
func checkHeaderText(texts ...string) error {
	for _, text := range texts {
		for _, found := range requestPlaceholder.FindAllStringSubmatch(text, -1) {
			if _, ok := new(Destination).placeholder(new(queue.Event), found[1]); !ok {
				return fmt.Errorf("unknown placeholder %s: want {webhook.id}, {webhook.event_id}, {webhook.type}, {webhook.source}, {webhook.provider} or {webhook.destination}", found[0])
			}
		}
	}
	return nil
}

func checkHeaderOps(ops *headers.HeaderOps) error {
	for _, values := range []http.Header{ops.Add, ops.Set} {
		for name, texts := range values {
			if err := checkHeaderText(append(slices.Clone(texts), name)...); err != nil {
				return err
			}
		}
	}
	for _, replacements := range ops.Replace {
		for _, r := range replacements {
			if err := checkHeaderText(r.Search, r.Replace); err != nil {
				return err
			}
		}
	}
	return nil
}

// namesHost reports whether header operations say what the Host is.
func namesHost(ops *headers.HeaderOps) bool {
	isHost := func(name string) bool { return strings.EqualFold(name, "Host") }
	return ops != nil && (slices.ContainsFunc(slices.Collect(maps.Keys(ops.Set)), isHost) || slices.ContainsFunc(slices.Collect(maps.Keys(ops.Add)), isHost))
}

// hostPlaceholder is the Host of a request, where reverse_proxy would choose another.
const hostPlaceholder = "webhook.host"

// setHost has reverse_proxy send the right Host, unless its own configuration says which: each of several addresses sees its own name, but for what `header` says,
// and for a signature that covers the address.
func (d *Destination) setHost(handler *reverseproxy.Handler) {
	signs := d.Sign != nil && d.Sign.As == signProvider && len(d.To) > 0
	if !signs && !namesHost(d.Headers) && len(d.To) < 2 {
		return
	}
	if handler.Headers == nil {
		handler.Headers = new(headers.Handler)
	}
	if handler.Headers.Request == nil {
		handler.Headers.Request = new(headers.HeaderOps)
	}
	ops := handler.Headers.Request
	if namesHost(ops) {
		return
	}
	if ops.Set == nil {
		ops.Set = make(http.Header)
	}
	ops.Set.Set("Host", "{"+hostPlaceholder+"}")
}

// host is the value of hostPlaceholder for a request that is about to go to an upstream.
func (d *Destination) host(req *http.Request, m *message, repl *caddy.Replacer) (any, bool) {
	if len(d.To) > 1 && !m.signsAddress && !namesHost(d.Headers) {
		return repl.Get("http.reverse_proxy.upstream.hostport")
	}
	return req.Host, true
}
