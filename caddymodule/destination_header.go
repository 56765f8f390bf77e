package caddymodule

import (
	"fmt"
	"maps"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/headers"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"go.uber.org/zap"
	"golang.org/x/net/http/httpguts"

	"github.com/sluice-webhooks/sluice/queue"
)

// requestPlaceholder finds those that would have to come from an event or a request; env, file and the like are Caddy's.
var requestPlaceholder = regexp.MustCompile(`\{((?:webhook|http)\.[^{}]*)\}`)

// ownHeaders are the gateway's word to the application: it deduplicates by one and verifies others.
var ownHeaders = []string{"Webhook-Id", "Webhook-Timestamp", "Webhook-Signature", "Webhook-Attempt"}

// framing are the headers that say how long a request is.
var framing = []string{"Content-Length", "Transfer-Encoding", "Trailer"}

func (d *Destination) provisionHeaders(ctx caddy.Context) (err error) {
	if d.Headers == nil {
		return nil
	}
	if err := checkHeaders(d.Headers); err != nil {
		return err
	}
	if d.headerFiles, err = newHeaderFiles(d.Headers, d.logger); err != nil {
		return err
	}
	if err := d.Headers.Provision(ctx); err != nil {
		return fmt.Errorf("header: %w", err)
	}
	return nil
}

// checkHeaders refuses headers that cannot be sent, those that would replace the gateway's own, and placeholders that have no value where events are forwarded.
func checkHeaders(ops *headers.HeaderOps) error {
	if ops == nil {
		return nil
	}
	for _, set := range []http.Header{ops.Set, ops.Add} {
		for _, name := range sortedKeys(set) {
			if err := checkHeader(name, set[name]); err != nil {
				return err
			}
		}
	}
	for _, name := range ops.Delete {
		if err := checkHeaderName(strings.ReplaceAll(name, "*", "x")); err != nil {
			return err
		}
	}
	if err := checkOwnHeaders(ops); err != nil {
		return err
	}
	for _, name := range sortedKeys(ops.Replace) {
		for _, r := range ops.Replace[name] {
			if err := checkHeaderText(name, r.Search, r.Replace); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkOwnHeaders refuses operations on the gateway's own headers.
func checkOwnHeaders(ops *headers.HeaderOps) error {
	if ops == nil {
		return nil
	}
	for _, name := range slices.Concat(sortedKeys(ops.Set), sortedKeys(ops.Add), sortedKeys(ops.Replace)) {
		if slices.Contains(ownHeaders, http.CanonicalHeaderKey(name)) {
			return fmt.Errorf("header %s: is the gateway's own", name)
		}
	}
	for _, pattern := range ops.Delete {
		for _, own := range ownHeaders {
			if found, err := path.Match(strings.ToLower(pattern), strings.ToLower(own)); found && err == nil {
				return fmt.Errorf("header -%s: would take away %s, which is the gateway's own", pattern, own)
			}
		}
	}
	return nil
}

func checkHeader(name string, values []string) error {
	if err := checkHeaderText(name, append(slices.Clone(values), name)...); err != nil {
		return err
	}
	if err := checkHeaderName(name); err != nil {
		return err
	}
	if slices.Contains(framing, http.CanonicalHeaderKey(name)) {
		return fmt.Errorf("header %s: follows from the body", name)
	}
	if slices.ContainsFunc(values, func(value string) bool { return !httpguts.ValidHeaderFieldValue(value) }) {
		return fmt.Errorf("header %s: its value %w", name, errControlCharacter)
	}
	return nil
}

func checkHeaderName(name string) error {
	if !httpguts.ValidHeaderFieldName(name) {
		return fmt.Errorf("header %q: want a name such as X-Team", name)
	}
	return nil
}

// checkHeaderText refuses placeholders that would arrive as they are written.
func checkHeaderText(name string, texts ...string) error {
	for _, text := range texts {
		for _, found := range requestPlaceholder.FindAllStringSubmatch(text, -1) {
			if _, ok := new(Destination).placeholder(new(queue.Event), found[1]); !ok {
				return fmt.Errorf("header %s: unknown placeholder %s: want {webhook.id}, {webhook.event_id}, {webhook.type}, {webhook.source}, {webhook.provider} or {webhook.destination}", name, found[0])
			}
		}
	}
	return nil
}

// headerFiles are the files that headers have values from, by placeholder without its braces. They are secrets like all others.
type headerFiles struct {
	set   *secretSet
	index map[string]int // in the set
}

// newHeaderFiles reads what the placeholders in headers stand for now, but for those of an event, and refuses what no header can hold.
func newHeaderFiles(ops *headers.HeaderOps, logger *zap.Logger) (files headerFiles, err error) {
	files.index = make(map[string]int)
	var configs []string
	values := headerValues(ops)
	for _, value := range values {
		for _, found := range knownPlaceholder.FindAllString(value.text, -1) {
			if _, isFile := fileOf(found); !isFile {
				if _, _, err := readPlaceholder(found); err != nil { // the header would be sent without it
					return files, fmt.Errorf("header %s: %s %w", value.name, found, err)
				}
				continue
			}
			key := strings.Trim(found, "{}")
			if _, known := files.index[key]; !known {
				files.index[key] = len(configs)
				configs = append(configs, found)
			}
		}
	}
	if files.set, err = newSecretSet(configs, logger); err == nil {
		err = files.set.require(fitsHeader)
	}
	if err != nil {
		return files, fmt.Errorf("header: %w", err)
	}
	// {env.X} and their like are read now, those of an event are not known yet
	for _, value := range values {
		if !httpguts.ValidHeaderFieldValue(files.replacer(now()).ReplaceKnown(value.text, "")) {
			return files, fmt.Errorf("header %s: its value %w", value.name, errControlCharacter)
		}
	}
	return files, nil
}

type headerValue struct{ name, text string }

// headerValues are the values that header operations set or add.
func headerValues(ops *headers.HeaderOps) (all []headerValue) {
	if ops == nil {
		return nil
	}
	for _, set := range []http.Header{ops.Set, ops.Add} {
		for _, name := range sortedKeys(set) {
			for _, text := range set[name] {
				all = append(all, headerValue{name, text})
			}
		}
	}
	return all
}

// replacer is Caddy's, but for the files: their last good values are what counts.
func (f headerFiles) replacer(at time.Time) *caddy.Replacer {
	rest := caddy.NewReplacer()
	if len(f.index) == 0 {
		return rest
	}
	repl := caddy.NewEmptyReplacer()
	repl.Map(func(key string) (any, bool) {
		i, ok := f.index[key]
		if !ok {
			return nil, false
		}
		return string(f.set.get(at)[i].Bytes()), true
	})
	repl.Map(rest.Get)
	return repl
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
