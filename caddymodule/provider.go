package caddymodule

import (
	"fmt"

	"github.com/caddyserver/caddy/v2"

	"github.com/sluice-webhooks/sluice/verifiers"
	"github.com/sluice-webhooks/sluice/verifiers/catalogue"
)

// ProviderConfig is a user's own provider.
type ProviderConfig struct {
	// The id of the provider that this one changes. Default: the built-in provider of the same name, if there is one.
	Extends string `json:"extends,omitempty"`
	verifiers.Spec
}

// spec is the provider's data with the source's changes.
func (h *Handler) spec() (*verifiers.Spec, error) {
	spec, err := h.app.providerSpec(h.Provider)
	if err != nil || h.Spec == nil {
		return spec, err
	}
	return takeID(spec.Merge(h.Spec), h.Spec), nil
}

// takeID lets what an operator says is the id of an event tell duplicates, signed or not. Of the catalogue's ids, those that are not signed do so together with the body.
func takeID(spec, own *verifiers.Spec) *verifiers.Spec {
	if own.Event.ID != "" && (spec.Dedup.Key == "" || spec.Dedup.Whole && own.Dedup.Key == "") {
		spec.Dedup.Key = own.Event.ID
	}
	return spec
}

// provisionProvider resolves the provider's data and compiles it.
func (h *Handler) provisionProvider(ctx caddy.Context) error {
	spec, err := h.spec()
	if err != nil {
		return err
	}
	if spec, h.params, err = resolveParams(spec, h.logger); err != nil {
		return err
	}
	guest, err := h.provisionGuest(ctx, spec.Scheme)
	if err != nil {
		return err
	}
	if h.provider, err = verifiers.Compile(spec, verifiers.WithKeyFetcher(h.app.keys), verifiers.WithParams(h.params.present), guest); err != nil {
		return verifiers.OptionError(err)
	}
	return h.params.require(spec, guest)
}

// providerSpec looks a provider up among the user's own, the plugins' and the catalogue's.
func (app *App) providerSpec(id string) (*verifiers.Spec, error) {
	own, ok := app.Providers[id]
	if !ok {
		if spec, ok := lookupGuest(id); ok {
			return spec, nil
		}
		spec, err := catalogue.Lookup(id)
		if err != nil {
			return nil, fmt.Errorf("%w%s; `caddy webhooks providers` lists all, and a provider of your own is made with `provider %s { ... }` in the global options", err, app.nearProvider(id), id)
		}
		return spec, nil
	}
	base := own.Extends
	if base == "" {
		base = id
	}
	changes := own.Spec
	changes.ID = id
	spec, err := catalogue.Lookup(base)
	switch {
	case err == nil:
		return takeID(spec.Merge(&changes), &own.Spec), nil
	case own.Extends != "":
		return nil, fmt.Errorf("provider %s extends %q: %w%s", id, own.Extends, err, new(App).nearProvider(own.Extends))
	}
	return takeID(&changes, &own.Spec), nil
}
