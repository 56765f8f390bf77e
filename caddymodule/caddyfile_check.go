package caddymodule

import (
	"encoding/json"
	"fmt"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"

	"github.com/sluice-webhooks/sluice/verifiers"
)

// check finds what Provision would find without secrets, disk and network, while the place in the Caddyfile is still known.
func (h *Handler) check(helper httpcaddyfile.Helper, at caddyfile.Token) error {
	app := new(App)
	if declared, ok := helper.Option(appName).(httpcaddyfile.App); ok {
		if err := json.Unmarshal(declared.Value, app); err != nil {
			return helper.Errf("reading the global options: %v", err)
		}
	}
	probe := &Handler{SourceConfig: h.SourceConfig, app: app}
	if probe.Name == "" {
		probe.Name = probe.Provider
	}
	if err := probe.checkSource(); err != nil {
		return placed(err, at)
	}
	for _, f := range h.Forwards {
		if f.Inline != nil {
			continue
		}
		if _, err := app.declared(f.Destination); err != nil {
			return placed(fmt.Errorf("source %s: %w", probe.Name, err), f.at)
		}
	}
	return nil
}

// checkSource compiles the provider and applies the source's options to it. A plugin's provider, and one with
// placeholders in its values, can only be compiled when it is provisioned.
func (h *Handler) checkSource() error {
	spec, err := h.spec()
	if err != nil {
		return fmt.Errorf("webhook %s: %w", h.Provider, err)
	}
	for _, value := range spec.Values {
		if isPlaceholder(value) {
			return nil
		}
	}
	if spec.Scheme == verifiers.SchemeGuest {
		return nil
	}
	if h.provider, err = verifiers.Compile(spec); err != nil {
		return fmt.Errorf("webhook %s: %w", h.Provider, err)
	}
	for _, check := range []func() error{
		func() error { return validSourceName(h.Name) }, h.checkVouched, h.provisionRules, h.provisionAck,
	} {
		if err := check(); err != nil {
			return fmt.Errorf("source %s: %w", h.Name, err)
		}
	}
	return nil
}

// placed says where in the Caddyfile an error is, as Caddy's own errors do.
func placed(err error, at caddyfile.Token) error {
	return fmt.Errorf("%w, at %s:%d", err, at.File, at.Line)
}
