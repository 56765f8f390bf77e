package caddymodule

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluice-webhooks/sluice/verifiers"
	"github.com/sluice-webhooks/sluice/verifiers/catalogue"
)

// providerFlags change a provider of the catalogue, or complete a scheme.
type providerFlags struct{ params, set []string }

func (f *providerFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.params, "param", nil, "Parameter of the provider, name=value; may be repeated")
	cmd.Flags().StringArrayVar(&f.set, "set", nil, "Option of the provider or scheme as in a webhook block; may be repeated")
}

// provider finds the provider in the catalogue, or at the running Caddy, and applies the flags.
func (f *providerFlags) provider(cmd *cobra.Command, id string) (*verifiers.Provider, error) {
	spec, err := catalogue.Lookup(id)
	if errors.Is(err, catalogue.ErrUnknown) {
		spec, err = ownProvider(cmd, id)
	}
	if err != nil {
		return nil, err
	}
	changes := new(verifiers.Spec)
	for _, line := range f.set {
		words, err := splitLine(line)
		if err != nil {
			return nil, usagef("--set: %w", err)
		}
		if len(words) == 0 {
			return nil, usagef("--set: want an option as in a webhook block, such as 'header X-Signature'")
		}
		if known, err := changes.Set(words[0], words[1:]...); err != nil || !known {
			return nil, usagef("--set %s: %w", words[0], errors.Join(err, unknownOption(known)))
		}
	}
	for _, p := range f.params {
		name, value, ok := strings.Cut(p, "=")
		if !ok || name == "" {
			return nil, usagef("--param: want name=value")
		}
		if _, err := changes.Set("param", name, value); err != nil {
			return nil, usagef("--param: %w", err)
		}
	}
	p, err := verifiers.Compile(spec.Merge(changes), verifiers.WithKeyFetcher(keyFetcher))
	if err != nil {
		return nil, usagef("provider %s: %w", id, err)
	}
	return p, nil
}

func unknownOption(known bool) error {
	if known {
		return nil
	}
	return fmt.Errorf("unknown option: want one of %s", strings.Join(verifiers.OptionNames(), ", "))
}

// ownProvider asks the running Caddy for a provider of its configuration.
func ownProvider(cmd *cobra.Command, id string) (*verifiers.Spec, error) {
	unknown := fmt.Errorf("provider %q is not in the catalogue; `caddy webhooks providers` lists it", id)
	client, err := connect(cmd)
	if err != nil {
		return nil, err
	}
	var detail providerDetail
	_, err = client.get(cmd.Context(), "providers/"+segment(id), nil, &detail)
	var failed *commandError
	switch {
	case errors.As(err, &failed) && failed.code == exitNotFound:
		return nil, &commandError{code: exitNotFound, err: unknown}
	case err != nil:
		return nil, fmt.Errorf("%w, and the running Caddy cannot be asked: %w", unknown, err)
	case detail.Spec == nil:
		return nil, unknown
	}
	return detail.Spec, nil
}
