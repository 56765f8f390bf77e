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
	app.inlines = inlinesSoFar(helper)
	probe := &Handler{SourceConfig: h.SourceConfig, app: app}
	if probe.Name == "" {
		probe.Name = probe.Provider
	}
	if err := probe.checkSource(); err != nil {
		return placed(err, at)
	}
	for i, f := range h.Forwards {
		err := f.checkDestination(app, probe.Name)
		if err == nil {
			err = f.once(h.Forwards[:i])
		}
		if err != nil {
			return placed(fmt.Errorf("source %s: %w", probe.Name, err), f.at)
		}
	}
	return nil
}

// inlinesSoFar are the inline destinations of the blocks that were read before; check adds to them.
func inlinesSoFar(helper httpcaddyfile.Helper) map[string]*Destination {
	const key = "webhooks.inlines"
	inlines, ok := helper.State[key].(map[string]*Destination)
	if !ok {
		inlines = make(map[string]*Destination)
		helper.State[key] = inlines
	}
	return inlines
}

// checkDestination finds the destination as resolve does, and provisions nothing.
func (f *Forward) checkDestination(app *App, source string) (err error) {
	if f.Inline == nil {
		f.destination, err = app.declared(f.Destination)
		return err
	}
	f.nameInline(source)
	return app.registerInline(f.Inline)
}

// compileEarly compiles a provider. A plugin's, and one with placeholders in its values, is nil: it can only be compiled when it is provisioned.
func compileEarly(spec *verifiers.Spec) (*verifiers.Provider, error) {
	for _, value := range spec.Values {
		if isPlaceholder(value) {
			return nil, nil
		}
	}
	if spec.Scheme == verifiers.SchemeGuest {
		return nil, nil
	}
	return verifiers.Compile(spec)
}

// checkSource compiles the provider and applies the source's options to it.
func (h *Handler) checkSource() error {
	spec, err := h.spec()
	if err == nil {
		h.provider, err = compileEarly(spec)
	}
	if err != nil {
		return fmt.Errorf("webhook %s: %w", h.Provider, verifiers.OptionError(err))
	}
	if h.provider == nil {
		return nil
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
