package caddymodule

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/spf13/cobra"

	"github.com/sluice-webhooks/sluice/verifiers"
)

// readSecret reads the secret of `send` from the one place that was given. Errors never show it.
func (f *sendFlags) readSecret(cmd *cobra.Command, p *verifiers.Provider) (verifiers.Secret, error) {
	value, err := secretFrom(cmd, f.secret, f.secretEnv, f.secretFile)
	if err != nil {
		return verifiers.Secret{}, err
	}
	needs := p.Spec().Needs()
	switch {
	case needs.Secret == "" && value != nil:
		return verifiers.Secret{}, usagef("%s signs nothing: it takes no secret; put the token of the source into --to", p.Spec().ID)
	case needs.Secret == "":
		return verifiers.Secret{}, nil
	case value == nil:
		return verifiers.Secret{}, usagef("%s needs its %s: want --secret, --secret-env or --secret-file", p.Spec().ID, needs.Secret)
	}
	secret := verifiers.NewSecret(value)
	if err := p.CheckSecret(secret); err != nil {
		return verifiers.Secret{}, usagef("secret of %s: %w", p.Spec().ID, err)
	}
	return secret, nil
}

// secretFrom reads a secret given as text or placeholder, in an environment variable, or in a file. It is nil if none was given.
func secretFrom(cmd *cobra.Command, text, env, file string) ([]byte, error) {
	given := 0
	for _, flag := range []string{text, env, file} {
		if flag != "" {
			given++
		}
	}
	switch {
	case given > 1:
		return nil, usagef("want only one of --secret, --secret-env and --secret-file")
	case text != "":
		source, err := newSecretSource(text)
		if err != nil {
			return nil, usageError(err)
		}
		return source.value, nil
	case env != "":
		value, ok := os.LookupEnv(env)
		if !ok || value == "" {
			return nil, usagef("--secret-env: environment variable %s is not set", env)
		}
		return []byte(value), nil
	case file != "":
		raw, err := readInput(cmd, file)
		if err != nil {
			return nil, fmt.Errorf("--secret-file: %w", err)
		}
		raw = bytes.TrimRight(raw, "\r\n") // as in a configuration's {file.X}
		if len(bytes.TrimSpace(raw)) == 0 {
			return nil, usagef("--secret-file: %s is empty", file)
		}
		return raw, nil
	}
	return nil, nil
}

// splitLine splits a line of a Caddyfile into its words, quotes and all.
func splitLine(line string) ([]string, error) {
	if strings.ContainsAny(line, "\r\n") {
		return nil, errors.New("want one line")
	}
	tokens, err := caddyfile.Tokenize([]byte(line), "--set")
	if err != nil {
		return nil, err
	}
	words := make([]string, len(tokens))
	for i, token := range tokens {
		words[i] = token.Text
	}
	return words, nil
}
