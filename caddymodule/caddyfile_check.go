package caddymodule

import (
	"cmp"
	"encoding/json"
	"fmt"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"

	"github.com/sluice-webhooks/sluice/queue/delivery"
	"github.com/sluice-webhooks/sluice/verifiers"
)

// check finds what Provision would find without secrets, disk and network, while the place in the Caddyfile is still known.
func (h *Handler) check(helper httpcaddyfile.Helper, at caddyfile.Token) error {
	app, err := appSoFar(helper)
	if err != nil {
		return err
	}
	probe := &Handler{SourceConfig: h.SourceConfig, app: app}
	if probe.Name == "" {
		probe.Name = probe.Provider
	}
	err = probe.checkSource()
	if err == nil {
		err = app.register(probe)
	}
	if err != nil {
		return placed(err, at)
	}
	if err := probe.checkSecretsOfSource(h.secretsAt); err != nil {
		return err
	}
	for i, f := range h.Forwards {
		if err := f.check(probe, h.Forwards[:i]); err != nil {
			return placed(fmt.Errorf("source %s: %w", probe.Name, err), f.at)
		}
	}
	return nil
}

// appSoFar is the app of the global options with the sources and the inline destinations of the blocks that were read before; check adds to them.
func appSoFar(helper httpcaddyfile.Helper) (*App, error) {
	const key = "webhooks.app"
	if app, ok := helper.State[key].(*App); ok {
		return app, nil
	}
	app := &App{sources: make(map[string]*Handler), inlines: make(map[string]*Destination)}
	if declared, ok := helper.Option(appName).(httpcaddyfile.App); ok {
		if err := json.Unmarshal(declared.Value, app); err != nil {
			return nil, helper.Errf("reading the global options: %v", err)
		}
	}
	for name, d := range app.Destinations {
		d.probe(app, name)
	}
	helper.State[key] = app
	return app, nil
}

// probe makes a destination ready for checks of what is said of it in several places.
func (d *Destination) probe(app *App, name string) {
	d.app, d.name, d.forwardBy = app, name, make(map[string]*Forward)
}

// check finds the destination as resolve does, provisions nothing, and holds the forward against those before it and those of other sources.
func (f *Forward) check(h *Handler, before []*Forward) (err error) {
	if f.Inline == nil {
		f.destination, err = h.app.declared(f.Destination)
	} else {
		f.nameInline(h.Name)
		f.Inline.probe(h.app, f.Inline.name)
		err = cmp.Or(f.checkInlineName(), h.app.registerInline(f.Inline))
	}
	if err != nil {
		return err
	}
	if err := f.once(before); err != nil {
		return err
	}
	if f.Format != "" {
		if _, err := checkFormat(f.Format, f.destination.Sign); err != nil {
			return err
		}
	}
	if err := f.destination.Sign.checkFor(h.provider); err != nil {
		return fmt.Errorf("destination %s: %w", f.destination.name, err)
	}
	return f.destination.addForward(h, f)
}

// checkInlineName refuses an address of which no name can be made.
func (f *Forward) checkInlineName() error {
	if err := delivery.ValidName(f.Inline.name); err != nil {
		return fmt.Errorf("%w: declare it as `destination <name> { ... }` in the global option webhooks, and forward to that", err)
	}
	return nil
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
	checks := []func() error{func() error { return validSourceName(h.Name) }}
	if h.provider != nil {
		checks = append(checks, h.checkVouched, h.provisionRules, h.provisionAck)
	}
	for _, check := range checks {
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
