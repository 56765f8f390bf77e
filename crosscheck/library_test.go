// Package crosscheck holds the catalogue against the providers' own SDKs for Go: what we sign they accept, what they sign we accept, and neither accepts
// what was changed or signed with another secret. It is a module of its own, so that nobody who uses Sluice gets the SDKs as dependencies.
package crosscheck

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/crosscheck/rig"
	"github.com/sluice-webhooks/sluice/verifiers"
)

// late is how long ago a request was signed that no SDK takes which looks at its time.
const late = 90 * time.Minute

func lookup(t *testing.T, id string) (p *rig.Provider, secret, another string) {
	t.Helper()
	p, err := rig.Lookup(id, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p, newSecret(t, p), newSecret(t, p)
}

func newSecret(t *testing.T, p *rig.Provider) string {
	t.Helper()
	secret, err := p.NewSecret()
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

func tampered(t *testing.T, body []byte) []byte {
	t.Helper()
	changed, err := rig.Tampered(body)
	if err != nil {
		t.Fatal(err)
	}
	return changed
}

// TestTampered changes bodies that end in each letter and digit.
func TestTampered(t *testing.T) {
	for last := range byte(128) {
		if body := []byte{'{', '"', last, '"', '}'}; strings.Contains("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", string(last)) {
			if changed := tampered(t, body); len(changed) != len(body) || bytes.Equal(changed, body) {
				t.Errorf("%s became %s", body, changed)
			}
		}
	}
}

// ask has the SDK verify a request with this body.
func (s *sdk) ask(r *http.Request, body []byte, secret string) error {
	r.Body, r.ContentLength = readAgain(body), int64(len(body))
	return s.accepts(r, body, secret)
}

func readAgain(body []byte) io.ReadCloser { return io.NopCloser(bytes.NewReader(body)) }

func name(s *sdk) string { return s.provider + " " + s.module }

// TestAccepted signs an example of each provider and asks its SDK.
func TestAccepted(t *testing.T) {
	for i := range sdks {
		s := &sdks[i]
		t.Run(name(s), func(t *testing.T) {
			p, secret, another := lookup(t, s.provider)
			r, err := p.Signed(rig.Message{Secret: secret})
			if err != nil {
				t.Fatal(err)
			}
			if err := s.ask(rig.HTTP(r), r.Body, secret); err != nil {
				t.Errorf("the SDK refuses what we sign: %v", err)
			}
			if s.ask(rig.HTTP(r), tampered(t, r.Body), secret) == nil {
				t.Error("the SDK accepts a changed body")
			}
			if s.ask(rig.HTTP(r), r.Body, another) == nil {
				t.Error("the SDK accepts what another secret signed")
			}
			old, err := p.Signed(rig.Message{Secret: secret, At: time.Now().Add(-late)})
			if err != nil {
				t.Fatal(err)
			}
			if refused := s.ask(rig.HTTP(old), old.Body, secret) != nil; refused != s.dated {
				t.Errorf("the SDK refuses what is old: %t, want %t", refused, s.dated)
			}
		})
	}
}

// TestAccepts has the SDKs that can sign do so.
func TestAccepts(t *testing.T) {
	for i := range sdks {
		s := &sdks[i]
		if s.signs == nil {
			continue
		}
		t.Run(name(s), func(t *testing.T) {
			p, secret, another := lookup(t, s.provider)
			example, err := p.Example("", time.Now())
			if err != nil {
				t.Fatal(err)
			}
			headers, err := s.signs(example.Body, secret)
			if err != nil {
				t.Fatal(err)
			}
			r := &verifiers.Request{Method: http.MethodPost, URL: rig.Address(s.provider), Header: headers, Body: example.Body}
			if err := p.Check(t.Context(), r, another, secret); err != nil {
				t.Errorf("we refuse what the SDK signs: %v", err)
			}
			if err := p.Check(t.Context(), r, another); !errors.Is(err, verifiers.ErrMismatch) {
				t.Errorf("with another secret: %v", err)
			}
			r.Body = tampered(t, r.Body)
			if err := p.Check(t.Context(), r, secret); !errors.Is(err, verifiers.ErrMismatch) {
				t.Errorf("with a changed body: %v", err)
			}
		})
	}
}
