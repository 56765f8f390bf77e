package caddymodule

import (
	"fmt"
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
	if args[0] == "" {
		return d.Err("provider: its name is empty")
	}
	if _, ok := app.Providers[args[0]]; ok {
		return d.Errf("provider '%s' is already specified", args[0])
	}
	had := make(given)
	at := d.Token()
	for d.NextBlock(1) {
		if err := parseSpecOption(d, &p.Spec, had, "provider "+args[0], ""); err != nil {
			return err
		}
	}
	app.Providers = withEntry(app.Providers, args[0], p)
	spec, err := app.providerSpec(args[0])
	if err != nil {
		return placed(err, at)
	}
	if _, err := compileEarly(spec); err != nil {
		return placed(fmt.Errorf("provider %s: %w", args[0], verifiers.OptionError(err)), at)
	}
	return nil
}

// parseSpecOption hands an option to the provider's data. had are those before it in the block. For errors, block names the block, and others what it takes besides.
func parseSpecOption(d *caddyfile.Dispenser, spec *verifiers.Spec, had given, block, others string) error {
	if err := had.add(d); err != nil {
		return err
	}
	name, args := d.Val(), asWritten(d.RemainingArgs())
	known, err := spec.Set(name, args...)
	if err != nil {
		return d.WrapErr(err)
	}
	if name == "param" {
		return checkSecretsOf(d, "param "+args[0], args[1])
	}
	if !known {
		return d.Errf("unrecognized option '%s' of %s: want %sone of %s", name, block, others, strings.Join(verifiers.OptionNames(), ", "))
	}
	return nil
}
