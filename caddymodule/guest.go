package caddymodule

import (
	"fmt"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sluice-webhooks/sluice/verifiers"
)

const verifierNamespace = "webhooks.verifiers"

// VerifierModule is a provider that another plugin brings, as a Caddy module in the namespace webhooks.verifiers: `webhook <name>` uses the module
// webhooks.verifiers.<name>, for what no parameter of a scheme can express. It also signs if it is a [verifiers.Signer]. The options of a
// source apply to it as to any provider; those of the module itself stand in a block `verifier { ... }`.
type VerifierModule interface {
	caddy.Module
	verifiers.Verifier

	// Provider is what else is known of the provider: how its events are named, its deadline, ack and handshakes. Its scheme is [verifiers.SchemeGuest],
	// which is filled in. It needs no provisioned module. A Key.Kind says in words what the secret is; without one, the module uses none.
	Provider() *verifiers.Spec
}

// guestSpec is the data of a module's provider.
func guestSpec(m VerifierModule, id string) *verifiers.Spec {
	spec := *m.Provider()
	spec.ID, spec.Scheme = id, verifiers.SchemeGuest
	return &spec
}

// lookupGuest returns the provider of an installed plugin.
func lookupGuest(id string) (*verifiers.Spec, bool) {
	info, err := caddy.GetModule(verifierNamespace + "." + id)
	if err != nil {
		return nil, false
	}
	m, ok := info.New().(VerifierModule)
	if !ok {
		return nil, false
	}
	return guestSpec(m, id), true
}

// provisionGuest loads the plugin that the provider is made by, if it is.
func (h *Handler) provisionGuest(ctx caddy.Context, scheme string) (verifiers.Option, error) {
	if scheme != verifiers.SchemeGuest {
		if h.VerifierRaw != nil {
			return nil, fmt.Errorf("verifier: provider %s is not one of a plugin", h.Provider)
		}
		return func(*verifiers.Provider) {}, nil
	}
	if h.VerifierRaw == nil {
		h.VerifierRaw = caddyconfig.JSONModuleObject(struct{}{}, "provider", h.Provider, nil)
	}
	loaded, err := ctx.LoadModule(h, "VerifierRaw")
	if err != nil {
		return nil, fmt.Errorf("loading verifier: %w", err)
	}
	guest, ok := loaded.(VerifierModule)
	if !ok {
		return nil, fmt.Errorf("verifier %T is not one of this version of Sluice", loaded)
	}
	return verifiers.WithVerifier(guest), nil
}

func (h *Handler) parseVerifier(d *caddyfile.Dispenser) error {
	module, err := caddyfile.UnmarshalModule(d, verifierNamespace+"."+h.Provider)
	if err != nil {
		return err
	}
	h.VerifierRaw = caddyconfig.JSONModuleObject(module, "provider", h.Provider, nil)
	return nil
}
