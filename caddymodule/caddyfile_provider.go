package caddymodule

import (
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sluice-webhooks/sluice/verifiers"
)

// parseProvider reads a user's own provider. Syntax:
//
//	provider <name> [extends <id>] {
//	    <parameter> <value>...
//	}
//
// The parameters are those of a scheme in a `webhook` block; see the reference of provider options.
func (app *App) parseProvider(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	p := new(ProviderConfig)
	switch {
	case len(args) == 3 && args[1] == "extends":
		p.Extends = args[2]
	case len(args) != 1:
		return d.Err("provider: want a name, and perhaps `extends <id>`")
	}
	if _, ok := app.Providers[args[0]]; ok {
		return d.Errf("provider '%s' is already specified", args[0])
	}
	for d.NextBlock(1) {
		if err := parseSpecOption(d, &p.Spec, "provider "+args[0], ""); err != nil {
			return err
		}
	}
	app.Providers = withEntry(app.Providers, args[0], p)
	return nil
}

// parseSpecOption hands an option to the provider's data. For errors, block names the block, and others what it takes besides.
func parseSpecOption(d *caddyfile.Dispenser, spec *verifiers.Spec, block, others string) error {
	name, args := d.Val(), d.RemainingArgs()
	known, err := spec.Set(name, args...)
	if err != nil {
		return d.WrapErr(err)
	}
	if !known {
		return d.Errf("unrecognized option '%s' of %s: want %sone of %s", name, block, others, strings.Join(verifiers.OptionNames(), ", "))
	}
	return nil
}
