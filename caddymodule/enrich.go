package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"
	"go.uber.org/zap"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/verifiers"
)

const maxEnrichment = 4 << 20

// enrichment is a provisioned Enrich.
type enrichment struct {
	before  string // scheme, host and what else is fixed in front of the first placeholder
	parts   []urlPart
	headers map[string]*secretSet
	into    string
	client  *http.Client
}

// urlPart is one placeholder of the address and the literal text behind it.
type urlPart struct {
	key   string
	path  bool // written {path:<key>}: the value is a path, whose slashes stay
	after string
}

func (e *Enrich) provision(logger *zap.Logger) error {
	r := &enrichment{into: e.Into, headers: make(map[string]*secretSet), client: &http.Client{
		Transport: http.DefaultTransport.(*http.Transport).Clone(),
		// credentials must not follow a redirect to wherever it leads
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	if r.into == "" {
		r.into = "data"
	}
	if err := r.parseURL(e.URL); err != nil {
		return err
	}
	for _, name := range sortedKeys(e.Headers) {
		if err := checkEnrichHeader(name, e.Headers[name]); err != nil {
			return err
		}
		canonical := http.CanonicalHeaderKey(name)
		if r.headers[canonical] != nil {
			return fmt.Errorf("header %s: has two values", name)
		}
		set, err := newSecretSet([]string{e.Headers[name]}, logger)
		if err == nil {
			err = set.require(fitsHeader)
		}
		if err != nil {
			return fmt.Errorf("header %s: %w", name, err)
		}
		r.headers[canonical] = set
	}
	e.request = r
	return nil
}

// checkEnrichHeader refuses a header that cannot be sent, or not as it is written.
func checkEnrichHeader(name, value string) error {
	if placeholder := requestPlaceholder.FindString(value); placeholder != "" {
		return fmt.Errorf("header %s: %s has no value here: want {env.NAME} or {file./path}", name, written.Replace(placeholder))
	}
	return checkHeader(name, []string{value})
}

// failing says why secrets in its headers cannot be read at present.
func (e *Enrich) failing(now time.Time) (out []string) {
	if e == nil {
		return nil
	}
	for _, name := range sortedKeys(e.request.headers) {
		out = append(out, e.request.headers[name].failing(now)...)
	}
	return out
}

// parseURL splits the template. Placeholders may stand in the path and the query only: an event must not choose the host.
func (r *enrichment) parseURL(template string) error {
	rest := template
	literal, tail, found := strings.Cut(rest, "{")
	r.before = literal
	for found {
		var key string
		var closed bool
		key, rest, closed = strings.Cut(tail, "}")
		if !closed {
			return fmt.Errorf("url %q: a { without }", template)
		}
		key, path := strings.CutPrefix(key, "path:")
		if err := checkURLKey(key); err != nil {
			return fmt.Errorf("url %q: %w", template, err)
		}
		literal, tail, found = strings.Cut(rest, "{")
		r.parts = append(r.parts, urlPart{key: key, path: path, after: literal})
	}
	return r.checkURL(template)
}

func (r *enrichment) checkURL(template string) error {
	u, err := url.Parse(r.before)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil ||
		len(r.parts) > 0 && !r.parts[0].path && u.Path == "" && u.RawQuery == "" {
		return fmt.Errorf("url %q: want http(s)://host/path with placeholders only behind the host", template)
	}
	if _, err := r.fill(func(string) string { return "x" }); err != nil {
		return fmt.Errorf("url %q: %w", template, err)
	}
	return nil
}

func checkURLKey(key string) error {
	switch key {
	case "event.id", "event.type", "event.subject":
		return nil
	}
	for _, prefix := range []string{"json.", "header.", "query."} {
		if len(key) > len(prefix) && strings.HasPrefix(key, prefix) {
			return nil
		}
	}
	return fmt.Errorf("unknown placeholder {%s}: want event.id, event.type, event.subject, json.<path>, header.<Name> or query.<name>", key)
}

// address fills in the template.
func (r *enrichment) address(e *queue.Event) (string, error) {
	return r.fill(func(key string) string { return urlValue(key, e) })
}

// fill escapes each value for its place. A value that the event does not have is an error, because the address would be another one without it; so is one
// that would lead out of the path.
func (r *enrichment) fill(valueOf func(key string) string) (string, error) {
	address := r.before
	for _, p := range r.parts {
		value, query := valueOf(p.key), strings.Contains(address, "?")
		switch {
		case value == "":
			return "", fmt.Errorf("event has no %s", p.key)
		case p.path && query:
			return "", fmt.Errorf("{path:%s} stands behind the ?: want it in the path", p.key)
		case p.path:
			var err error
			if value, err = escapePath(value); err != nil {
				return "", fmt.Errorf("%s %w", p.key, err)
			}
			address = strings.TrimSuffix(address, "/") + "/" + value // whatever the value is, it begins behind the host
		case query:
			address += url.QueryEscape(value)
		default:
			address += url.PathEscape(value)
		}
		address += p.after
	}
	u, err := url.Parse(address)
	if err != nil {
		return "", errors.New("values do not make an address")
	}
	// in the decoded path: servers differ in when they decode an escaped slash
	for segment := range strings.FieldsFuncSeq(u.Path, isSlash) {
		if segment == "." || segment == ".." {
			return "", errors.New("path has a segment . or ..")
		}
	}
	return address, nil
}

func isSlash(r rune) bool { return r == '/' || r == '\\' }

// escapePath escapes a value that is a path, segment by segment, and takes no other address for one.
func escapePath(value string) (string, error) {
	segments := strings.Split(strings.TrimPrefix(value, "/"), "/")
	for i, segment := range segments {
		if segment == "" && i < len(segments)-1 {
			return "", errors.New("is not a path such as /v1/meters/m1")
		}
		segments[i] = url.PathEscape(segment)
	}
	return strings.Join(segments, "/"), nil
}

func urlValue(key string, e *queue.Event) string {
	kind, name, _ := strings.Cut(key, ".")
	switch kind {
	case "json":
		raw, ok := payloadJSON(e.Header, e.Body)
		if !ok {
			return ""
		}
		return gjson.GetBytes(raw, name).String()
	case "header":
		return e.Header.Get(name)
	case "query":
		u, err := url.Parse(e.URL)
		if err != nil {
			return ""
		}
		return u.Query().Get(name)
	}
	switch name {
	case "id":
		return e.EventID
	case "type":
		return e.Type
	default:
		return e.Subject
	}
}

// errNotEnrichable marks failures that no later attempt can mend.
var errNotEnrichable = errors.New("event cannot be enriched")

// apply fetches and returns the payload with the answer in it.
func (r *enrichment) apply(ctx context.Context, now time.Time, e *queue.Event, payload []byte) ([]byte, error) {
	address, err := r.address(e)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNotEnrichable, err)
	}
	if !verifiers.ValidJSON(payload) || !gjson.ParseBytes(payload).IsObject() {
		return nil, fmt.Errorf("%w: payload is not a JSON object", errNotEnrichable)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: building the request", errNotEnrichable)
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", userAgent)
	for name, set := range r.headers {
		value := string(set.get(now)[0].Bytes())
		if name == "Host" { // net/http sends no other
			req.Host = value
			continue
		}
		req.Header.Set(name, value)
	}
	answer, err := r.fetch(req)
	if err != nil {
		return nil, err
	}
	out, err := sjson.SetRawBytes(payload, r.into, answer)
	if err != nil {
		return nil, fmt.Errorf("%w: putting the answer into %q", errNotEnrichable, r.into)
	}
	return out, nil
}

func (r *enrichment) fetch(req *http.Request) ([]byte, error) {
	resp, err := r.client.Do(req)
	if err != nil {
		var urlErr *url.Error
		if errors.As(err, &urlErr) {
			err = urlErr.Err // without the address, which holds values of the event
		}
		return nil, fmt.Errorf("fetching: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxEnrichment+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading the answer: %w", err)
	case resp.StatusCode < 200 || resp.StatusCode > 299:
		return nil, fmt.Errorf("answer has status %d", resp.StatusCode)
	case len(body) > maxEnrichment:
		return nil, fmt.Errorf("answer is larger than %d bytes", maxEnrichment)
	case !verifiers.ValidJSON(body):
		return nil, errors.New("answer is not JSON")
	}
	return body, nil
}
