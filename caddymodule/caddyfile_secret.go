package caddymodule

import (
	"fmt"
	"slices"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"github.com/sluice-webhooks/sluice/verifiers"
)

// What follows finds mistakes in secrets while the place in the Caddyfile is still known. Placeholders are not resolved, and no error shows a literal.

// checkWritten refuses a secret that no value of its placeholders would make a good one. Its errors name placeholders as they are written in the Caddyfile.
func checkWritten(secret string) error {
	if err := checkSecret(secret); err != nil {
		s := secretSource{config: secret}
		return fmt.Errorf("secret %s: %w", written.Replace(s.label()), err)
	}
	return nil
}

// checkSecretsOf is checkWritten for the secrets of the option at the cursor.
func checkSecretsOf(d *caddyfile.Dispenser, option string, secrets ...string) error {
	for _, secret := range secrets {
		if err := checkWritten(secret); err != nil {
			return d.WrapErr(fmt.Errorf("%s: %w", option, err))
		}
	}
	return nil
}

func literals(secrets []string) []string {
	return slices.DeleteFunc(slices.Clone(secrets), isPlaceholder)
}

// checkSecretsOfSource holds the literal secrets of a source against what its provider's are like.
func (h *Handler) checkSecretsOfSource(places []caddyfile.Token) error {
	for i, secret := range h.Secrets {
		err := checkWritten(secret)
		if err == nil && h.provider != nil && !isPlaceholder(secret) {
			if err = h.provider.CheckSecret(verifiers.NewSecret([]byte(secret))); err != nil {
				err = fmt.Errorf("secret (literal): %w", err)
			}
		}
		if err != nil {
			return placed(fmt.Errorf("source %s: %w", h.Name, err), places[i])
		}
	}
	return nil
}

// check finds what newOutgoingSigner would find, without the secrets in placeholders.
func (s *Sign) check() error {
	for _, secret := range s.Secrets {
		if err := checkWritten(secret); err != nil {
			return fmt.Errorf("sign: %w", err)
		}
	}
	known := Sign{As: s.As, Secrets: literals(s.Secrets)}
	if len(known.Secrets) == 0 {
		return nil
	}
	_, err := newOutgoingSigner(&known, zap.NewNop())
	return err
}

// checkFor finds what signFor would find of a literal secret. A provider that cannot be compiled yet is nil.
func (s *Sign) checkFor(provider *verifiers.Provider) error {
	if s == nil || s.As != signProvider || provider == nil {
		return nil
	}
	secrets, err := newSecretSet(literals(s.Secrets), zap.NewNop())
	if err != nil {
		return err
	}
	return (&outgoingSigner{as: s.As, secrets: secrets}).signFor(provider)
}
