// The oracle lets programs in other languages use the catalogue: it makes and checks requests of its providers. It reads one JSON object per line from standard
// input and answers each with one line.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/sluice-webhooks/sluice/crosscheck/rig"
	"github.com/sluice-webhooks/sluice/verifiers"
)

// request is a signed request. Bodies are base64 in JSON.
type request struct {
	Method string      `json:"method"`
	URL    string      `json:"url"`
	Header http.Header `json:"header"`
	Body   []byte      `json:"body"`
}

// question is what a line asks for.
type question struct {
	// Do: secret (a new one), chain (of certificates), sign or verify.
	Do       string            `json:"do"`
	Provider string            `json:"provider"`
	Params   map[string]string `json:"params"`
	Secrets  []string          `json:"secrets"` // sign uses the first
	Type     string            `json:"type"`
	ID       string            `json:"id"`
	// Request is what is verified. Of one that is signed, URL, Header and Body may be given in place of the example's.
	Request request `json:"request"`
	// Documents are what the addresses of published keys answer.
	Documents map[string]string `json:"documents"`
}

// answer holds what was asked for, or why there is none.
type answer struct {
	Secret  string            `json:"secret,omitempty"`
	Params  map[string]string `json:"params,omitempty"` // values for those that the provider needs
	Request *request          `json:"request,omitempty"`
	Chain   *chain            `json:"chain,omitempty"`
	// Reason is the short name of a refusal; empty: accepted.
	Reason string `json:"reason,omitempty"`
	// Error is set if the question cannot be answered, and says more of a refusal.
	Error string `json:"error,omitempty"`
}

// documents answers for the servers of published keys.
type documents map[string]string

// Fetch implements verifiers.KeyFetcher.
func (d documents) Fetch(_ context.Context, address string, allowed func(host string) bool) ([]byte, error) {
	u, err := url.Parse(address)
	if err != nil || !allowed(u.Hostname()) {
		return nil, fmt.Errorf("%w: address of keys is not allowed", verifiers.ErrMismatch)
	}
	text, ok := d[address]
	if !ok {
		return nil, fmt.Errorf("%w: no document at %s", verifiers.ErrKeysUnavailable, address)
	}
	return []byte(text), nil
}

// maxLine bounds a question.
const maxLine = 16 << 20

func main() {
	if err := serve(context.Background(), os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "oracle:", err)
		os.Exit(1)
	}
}

func serve(ctx context.Context, in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxLine)
	encoder := json.NewEncoder(out)
	for lines.Scan() {
		var q question
		a := new(answer)
		err := json.Unmarshal(lines.Bytes(), &q)
		if err == nil {
			err = q.answer(ctx, a)
		}
		if err != nil {
			a.Error = err.Error()
		}
		if err := encoder.Encode(a); err != nil {
			return err
		}
	}
	return lines.Err()
}

func (q *question) answer(ctx context.Context, a *answer) error {
	p, err := rig.Lookup(q.Provider, q.Params, verifiers.WithKeyFetcher(documents(q.Documents)))
	if err != nil {
		return err
	}
	switch q.Do {
	case "secret":
		a.Params = p.Params
		a.Secret, err = p.NewSecret()
		return err
	case "chain":
		a.Chain, err = newChain(time.Now())
		return err
	case "sign":
		return q.sign(p, a)
	case "verify":
		return q.verify(ctx, p, a)
	}
	return fmt.Errorf("do %q: want secret, chain, sign or verify", q.Do)
}

func (q *question) sign(p *rig.Provider, a *answer) error {
	m := rig.Message{Type: q.Type, ID: q.ID, Body: q.Request.Body, Header: canonical(q.Request.Header)}
	if len(q.Secrets) > 0 {
		m.Secret = q.Secrets[0]
	}
	if q.Request.URL != "" {
		u, err := url.Parse(q.Request.URL)
		if err != nil {
			return errors.New("url cannot be read")
		}
		m.To = u
	}
	r, err := p.Signed(m)
	if err != nil {
		return err
	}
	a.Request = &request{Method: r.Method, URL: r.URL.String(), Header: r.Header, Body: r.Body}
	return nil
}

func (q *question) verify(ctx context.Context, p *rig.Provider, a *answer) error {
	u, err := url.Parse(q.Request.URL)
	if err != nil {
		return errors.New("url cannot be read")
	}
	r := &verifiers.Request{Method: strings.ToUpper(q.Request.Method), URL: u, Header: canonical(q.Request.Header), Body: q.Request.Body}
	if err := p.Check(ctx, r, q.Secrets...); err != nil {
		a.Reason = verifiers.Reason(err)
		return err
	}
	return nil
}

// canonical spells the names of headers as a server does.
func canonical(h http.Header) http.Header {
	out := make(http.Header, len(h))
	for name, values := range h {
		out[http.CanonicalHeaderKey(name)] = values
	}
	return out
}
