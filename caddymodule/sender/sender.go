// Package sender makes requests as a webhook provider would and sends them. The test sender and the demo share it.
package sender

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/tidwall/sjson"

	"github.com/sluice-webhooks/sluice/verifiers"
)

// UserAgent is sent where the provider's example has none of its own.
const UserAgent = "Sluice-Sender/1.0"

// ErrNoExample means that the provider has no example request, so a body must be given.
var ErrNoExample = errors.New("provider has no example: give a body")

// Message is one request to make.
type Message struct {
	Provider *verifiers.Provider
	// Secret signs it. It may be empty for providers that sign nothing.
	Secret verifiers.Secret
	// To is where it is sent. Its query is kept and the example's added to it.
	To *url.URL
	// SignedURL is the address as the provider knows it, for those that sign it; nil: To.
	SignedURL *url.URL
	// Type is the kind of event; empty: the provider's most usual one.
	Type string
	// ID is the id of the event; empty: a new one.
	ID string
	// Body takes the place of the example's if it is not nil.
	Body []byte
	// Header is set over the example's before signing.
	Header http.Header
	// At is when it is signed.
	At time.Time
}

// Build makes the signed request. Its URL is To, or SignedURL with the query that signing added: see [Send].
func (m *Message) Build() (*verifiers.Request, error) {
	r, err := m.draft()
	if err != nil {
		return nil, err
	}
	spec := m.Provider.Spec()
	id, err := m.name(r, spec)
	if err != nil {
		return nil, err
	}
	if err := m.Provider.Sign(r, m.Secret, id, m.At); err != nil {
		return nil, fmt.Errorf("signing as %s: %w", spec.ID, err)
	}
	if r.Header.Get("User-Agent") == "" {
		r.Header.Set("User-Agent", UserAgent)
	}
	return r, nil
}

// draft is the request before it has an id and a signature.
func (m *Message) draft() (*verifiers.Request, error) {
	spec := m.Provider.Spec()
	r := &verifiers.Request{Method: spec.Methods[0], URL: new(url.URL), Header: make(http.Header), At: m.At}
	switch {
	case len(spec.Examples) > 0:
		eventType := m.Type
		if m.Body != nil && !hasExample(spec, eventType) {
			eventType = "" // the headers of the usual example go with a body of the sender's own
		}
		example, err := m.Provider.Example(eventType, m.At)
		if err != nil {
			return nil, err
		}
		r = example
	case m.Body == nil:
		return nil, fmt.Errorf("%s: %w", spec.ID, ErrNoExample)
	default:
		r.Header.Set("Content-Type", "application/json")
	}
	if m.Body != nil {
		r.Body = bytes.Clone(m.Body)
	}
	for name, values := range m.Header {
		r.Header[name] = values
	}
	address := *m.address()
	if r.URL.RawQuery != "" {
		address.RawQuery = strings.TrimPrefix(address.RawQuery+"&"+r.URL.RawQuery, "&")
	}
	if !strings.HasPrefix(address.Path, "/") { // as the client will send it, which matters where it is signed
		address.Path = "/" + address.Path
	}
	r.URL = &address
	return r, m.nameAddress(r, spec)
}

// nameAddress sets the headers that must agree with where the request goes: an example cannot know that.
func (m *Message) nameAddress(r *verifiers.Request, spec *verifiers.Spec) error {
	for _, c := range spec.Checks {
		header, ok := strings.CutPrefix(c.Expr, "header:")
		switch c.Equals {
		case "path", "target", "url", "host", "method":
		default:
			continue
		}
		if !ok || m.Header.Get(header) != "" {
			continue
		}
		expr, err := verifiers.ParseExpr(c.Equals)
		if err != nil {
			return err
		}
		r.Header.Set(header, expr.Eval(r))
	}
	return nil
}

func (m *Message) address() *url.URL {
	if m.SignedURL != nil {
		return m.SignedURL
	}
	return m.To
}

func hasExample(spec *verifiers.Spec, eventType string) bool {
	for _, e := range spec.Examples {
		if e.Type == eventType {
			return true
		}
	}
	return eventType == ""
}

// name gives the event its id, where the provider has one, and returns the message id to sign with.
func (m *Message) name(r *verifiers.Request, spec *verifiers.Spec) (string, error) {
	var present string
	if spec.MessageID != "" {
		expr, err := verifiers.ParseExpr(spec.MessageID)
		if err != nil {
			return "", err
		}
		present = expr.Eval(r)
	}
	if m.ID == "" {
		if spec.MessageID == "" || present != "" {
			return "", nil
		}
		return "msg_" + uuid.NewString(), nil
	}
	placed, err := setValue(r, spec.Event.ID, m.ID)
	if err != nil {
		return "", err
	}
	if !placed && spec.MessageID == "" {
		return "", fmt.Errorf("%s has no id of an event that could be chosen", spec.ID)
	}
	return m.ID, nil
}

// setValue puts a value where an expression reads it: at its first alternative and at every other one that has a value already. Only plain
// places can be written; it reports whether one was.
func setValue(r *verifiers.Request, expression, value string) (placed bool, err error) {
	for i, alternative := range strings.Split(expression, "||") {
		alternative = strings.TrimSpace(alternative)
		place, name, ok := strings.Cut(alternative, ":")
		if !ok || strings.ContainsAny(name, " >\\") {
			continue
		}
		expr, err := verifiers.ParseExpr(alternative)
		if err != nil {
			return placed, err
		}
		if i > 0 && expr.Eval(r) == "" {
			continue
		}
		done, err := setPlace(r, place, name, value)
		if err != nil {
			return placed, err
		}
		placed = placed || done
	}
	return placed, nil
}

func setPlace(r *verifiers.Request, place, name, value string) (bool, error) {
	switch place {
	case "header":
		r.Header.Set(name, value)
	case "json":
		body, err := sjson.SetBytes(r.Body, name, value)
		if err != nil {
			return false, fmt.Errorf("putting the id at %s: %w", name, err)
		}
		r.Body = body
	case "query":
		q := r.URL.Query()
		q.Set(name, value)
		r.URL.RawQuery = q.Encode()
	default:
		return false, nil
	}
	return true, nil
}

// Answer is what came back.
type Answer struct {
	Status  int           `json:"status"`
	Header  http.Header   `json:"-"`
	Body    []byte        `json:"-"` // at most 64 KiB of it
	Latency time.Duration `json:"-"`
}

// Accepted reports whether the receiver took the request for an event.
func (a Answer) Accepted() bool { return a.Status >= 200 && a.Status <= 299 }

const maxAnswer = 64 << 10

// Client sends requests.
type Client struct {
	HTTP *http.Client
	Now  func() time.Time // times the answers
}

// NewClient returns a Client that follows no redirect, as providers do not, and gives up after timeout.
func NewClient(timeout time.Duration, now func() time.Time) *Client {
	return &Client{Now: now, HTTP: &http.Client{
		Timeout:       timeout,
		Transport:     http.DefaultTransport.(*http.Transport).Clone(),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Send sends a request that Build made to its receiver, whose scheme, host and path may differ from those that were signed. A nil to is the request's own URL.
func (c *Client) Send(ctx context.Context, r *verifiers.Request, to *url.URL) (Answer, error) {
	req, err := HTTPRequest(ctx, r, to)
	if err != nil {
		return Answer{}, err
	}
	started := c.Now()
	resp, err := c.HTTP.Do(req)
	if err != nil {
		var urlErr *url.Error
		if errors.As(err, &urlErr) { // its text quotes the address, which may hold a token
			err = urlErr.Err
		}
		return Answer{}, fmt.Errorf("sending to %s: %w", req.URL.Host, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return Answer{}, fmt.Errorf("reading the answer of %s: %w", req.URL.Host, err)
	}
	return Answer{Status: resp.StatusCode, Header: resp.Header, Body: body, Latency: c.Now().Sub(started)}, nil
}

// HTTPRequest turns a request that Build made into one for an HTTP client.
func HTTPRequest(ctx context.Context, r *verifiers.Request, to *url.URL) (*http.Request, error) {
	address := *r.URL
	if to != nil {
		address.Scheme, address.Host, address.Path, address.RawPath = to.Scheme, to.Host, to.Path, to.RawPath
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, address.String(), bytes.NewReader(r.Body))
	if err != nil {
		return nil, errors.New("building the request: address or method cannot be used")
	}
	req.Header = r.Header.Clone()
	return req, nil
}
