package caddymodule

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/sluice-webhooks/sluice/queue/delivery"
	"github.com/sluice-webhooks/sluice/verifiers"
	"github.com/sluice-webhooks/sluice/verifiers/catalogue"
)

// How forwarded requests are signed.
const (
	signStandard = "standard" // Standard Webhooks: one scheme and one secret for all providers
	signProvider = "provider" // the provider's own scheme
)

// Sign says how forwarded requests are signed.
type Sign struct {
	// `standard` for Standard Webhooks, or `provider` for the scheme of the provider that the event came from, with a fresh timestamp.
	As string `json:"as"`
	// Secrets. With `standard` there is one signature for each, so that the application can rotate; with `provider` there is exactly one.
	Secrets []string `json:"secrets"`
}

// outgoingSigner signs messages. A nil one leaves them alone.
type outgoingSigner struct {
	as       string
	secrets  *secretSet
	standard *verifiers.Provider
	signsAs  []*verifiers.Provider // those of the sources that forward here, where their schemes are signed in
}

func newOutgoingSigner(config *Sign, logger *zap.Logger) (*outgoingSigner, error) {
	if config == nil {
		return nil, nil
	}
	if len(config.Secrets) == 0 {
		return nil, fmt.Errorf("sign %s: has no secret", config.As)
	}
	if config.As == signProvider && len(config.Secrets) > 1 {
		return nil, fmt.Errorf("sign provider: %d secrets, want exactly one", len(config.Secrets))
	}
	s := &outgoingSigner{as: config.As}
	var err error
	if s.secrets, err = newSecretSet(config.Secrets, logger); err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	switch config.As {
	case signProvider:
		return s, nil
	case signStandard:
		if s.standard, err = standardProvider(); err != nil {
			return nil, err
		}
		if err := s.secrets.require(s.try); err != nil {
			return nil, fmt.Errorf("sign standard: %w", err)
		}
		return s, nil
	}
	return nil, fmt.Errorf("sign %q: want standard or provider", config.As)
}

// standardProvider is the Standard Webhooks scheme as the catalogue has it.
func standardProvider() (*verifiers.Provider, error) {
	spec, err := catalogue.Lookup("standard")
	if err != nil {
		return nil, err
	}
	return verifiers.Compile(spec)
}

// try signs nothing in particular, so that a secret that cannot be a key is refused when it is configured or its file changes.
func (s *outgoingSigner) try(secret verifiers.Secret) error {
	r := &verifiers.Request{Method: http.MethodPost, URL: new(url.URL), Header: make(http.Header)}
	return s.standard.Sign(r, secret, "try", now())
}

// signFor makes the signer sign events of one more source in its provider's scheme. It refuses secrets that this provider cannot sign with: those that are
// live now, and any that a changed file brings.
func (s *outgoingSigner) signFor(provider *verifiers.Provider) error {
	if s == nil || s.as != signProvider {
		return nil
	}
	s.signsAs = append(s.signsAs, provider)
	all := slices.Clone(s.signsAs)
	err := s.secrets.require(func(secret verifiers.Secret) error {
		for _, p := range all {
			if err := checkSigning(p, secret); err != nil {
				return fmt.Errorf("cannot sign as provider %s: %w", p.Spec().ID, err)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("sign provider: %w", err)
	}
	return nil
}

func checkSigning(p *verifiers.Provider, secret verifiers.Secret) error {
	err := p.CheckSigning(secret)
	if errors.Is(err, verifiers.ErrCannotSign) { // whatever the secret is
		return fmt.Errorf("%w: want `sign standard`", err)
	}
	return err
}

// sign adds the signature to a message. provider is the scheme of the event's source; nil if the source is gone.
func (s *outgoingSigner) sign(m *message, try *delivery.Try, provider *verifiers.Provider) error {
	if s == nil {
		return nil
	}
	r := &verifiers.Request{Method: m.method, URL: m.url, Header: m.header, Body: m.body, At: try.At}
	if s.as == signStandard {
		return s.signStandard(r, try)
	}
	if provider == nil {
		return fmt.Errorf("source %q is no longer configured, so its provider's scheme is not known", try.Event.Source)
	}
	id := try.Event.EventID
	if strings.ContainsFunc(id, func(r rune) bool { return r < ' ' || r > '~' }) { // made of a text that somebody wrote: no header can be trusted with it
		id = cmp.Or(provider.MessageID(storedRequest(try.Event)), id)
	}
	if err := provider.Sign(r, s.secrets.get(try.At)[0], id, try.At); err != nil {
		return err
	}
	m.url, m.body = r.URL, r.Body // where the provider puts its signature there
	return nil
}

// signStandard gives one signature for each live secret, all in one header.
func (s *outgoingSigner) signStandard(r *verifiers.Request, try *delivery.Try) error {
	var signatures []string
	for _, secret := range s.secrets.get(try.At) {
		one := *r
		one.Header = make(http.Header)
		if err := s.standard.Sign(&one, secret, try.Event.ID.String(), try.At); err != nil {
			return err
		}
		signatures = append(signatures, one.Header.Get("Webhook-Signature"))
	}
	r.Header.Set("Webhook-Signature", strings.Join(signatures, " "))
	return nil
}
