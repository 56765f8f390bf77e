// Package rig makes and checks requests of the catalogue's providers for tests against code that is not ours, and runs the gateway for them.
package rig

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/sluice-webhooks/sluice/caddymodule/sender"
	"github.com/sluice-webhooks/sluice/verifiers"
	"github.com/sluice-webhooks/sluice/verifiers/catalogue"
)

// Host is where the requests that Sign makes are for.
const Host = "hooks.example.com"

// Address is the address of a provider's source, as the provider knows it.
func Address(provider string) *url.URL {
	return &url.URL{Scheme: "http", Host: Host, Path: "/" + provider}
}

// Provider is an entry of the catalogue with its params filled in.
type Provider struct {
	*verifiers.Provider
	Params map[string]string
}

// Lookup compiles an entry of the catalogue. params are added to (and win over) trial values for those that it requires.
func Lookup(id string, params map[string]string, opts ...verifiers.Option) (*Provider, error) {
	spec, err := catalogue.Lookup(id)
	if err != nil {
		return nil, err
	}
	values := sender.TrialParams(spec)
	for name, v := range params {
		values[name] = v
	}
	if len(values) > 0 {
		spec = spec.Merge(&verifiers.Spec{Values: values})
	}
	p, err := verifiers.Compile(spec, opts...)
	if err != nil {
		return nil, fmt.Errorf("provider %s: %w", id, err)
	}
	return &Provider{Provider: p, Params: values}, nil
}

// NewSecret makes a secret of the kind that the provider uses; of a key pair the private half in PEM.
func (p *Provider) NewSecret() (string, error) { return sender.TrialSecret(p.Spec()) }

// Message says what Signed makes.
type Message struct {
	Secret string
	// To is where it goes; nil: the provider's Address.
	To     *url.URL
	Type   string      // of the event; empty: the most usual one
	ID     string      // of the event; empty: a new one
	Body   []byte      // in place of the example's; nil: the example's
	Header http.Header // set before it is signed
	At     time.Time   // of signing; zero: now
}

// Signed makes a request as the provider would.
func (p *Provider) Signed(m Message) (*verifiers.Request, error) {
	if m.To == nil {
		m.To = Address(p.Spec().ID)
	}
	if m.At.IsZero() {
		m.At = time.Now()
	}
	if m.Header == nil {
		m.Header = make(http.Header)
	}
	message := sender.Message{
		Provider: p.Provider, Secret: verifiers.NewSecret([]byte(m.Secret)), To: m.To, Type: m.Type, ID: m.ID, Body: m.Body, Header: m.Header, At: m.At,
	}
	return message.Build()
}

// HTTP turns a request into one that a server would get: what an SDK takes.
func HTTP(r *verifiers.Request) *http.Request {
	return &http.Request{
		Method: r.Method, URL: r.URL, Host: r.URL.Host, Header: r.Header.Clone(), Body: io.NopCloser(bytes.NewReader(r.Body)),
		ContentLength: int64(len(r.Body)), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
}

// Check verifies a request as the gateway does on arrival. The error is the reason of a refusal.
func (p *Provider) Check(ctx context.Context, r *verifiers.Request, secrets ...string) error {
	if r.At.IsZero() {
		r.At = time.Now()
	}
	live := make([]verifiers.Secret, 0, len(secrets))
	for _, s := range secrets {
		live = append(live, verifiers.NewSecret([]byte(s)))
	}
	_, err := p.Verify(ctx, r, live)
	return err
}

// errNoText means that there is nothing in a body that Tampered could change.
var errNoText = errors.New("no text to change")

// Tampered changes one letter or digit of a body and leaves it as readable as it was: the last one in front of a quote, or the last one of all if there is none.
func Tampered(body []byte) ([]byte, error) {
	changed := bytes.Clone(body)
	last := -1
	for i, b := range changed {
		if !isAlphanumeric(b) {
			continue
		}
		quoted := i+1 < len(changed) && changed[i+1] == '"'
		if quoted || !bytes.Contains(changed, []byte{'"'}) {
			last = i
		}
	}
	if last < 0 {
		return nil, errNoText
	}
	changed[last] ^= 1
	if !isAlphanumeric(changed[last]) { // a, z, A and Z have something else beside them
		changed[last] = 'm'
	}
	return changed, nil
}

func isAlphanumeric(b byte) bool {
	return b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z'
}

// PublicKey is the public half of a private key in PEM.
func PublicKey(private string) (any, error) {
	block, _ := pem.Decode([]byte(private))
	if block == nil {
		return nil, errors.New("private key is not PEM")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("private key of type %T has no public half", key)
	}
	return signer.Public(), nil
}
