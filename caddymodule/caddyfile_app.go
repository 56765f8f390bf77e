package caddymodule

import (
	"encoding/json"
	"maps"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"

	"github.com/sluice-webhooks/sluice/queue/delivery"
)

func init() {
	httpcaddyfile.RegisterGlobalOption(appName, parseGlobalOption)
}

// parseGlobalOption reads the global option `webhooks`. It may stand several times; each adds to the ones before.
func parseGlobalOption(d *caddyfile.Dispenser, existing any) (any, error) {
	app := new(App)
	if previous, ok := existing.(httpcaddyfile.App); ok {
		if err := json.Unmarshal(previous.Value, app); err != nil {
			return nil, d.Errf("merging with the options before: %v", err)
		}
	}
	if err := app.UnmarshalCaddyfile(d); err != nil {
		return nil, err
	}
	return httpcaddyfile.App{Name: appName, Value: caddyconfig.JSON(app, nil)}, nil
}

// UnmarshalCaddyfile reads the global options of Sluice. Syntax:
//
//	webhooks {
//	    store <module> [...] {
//	        ...
//	    }
//	    retain {
//	        delivered <duration>
//	        dead      <duration>
//	        rejected  <duration>
//	    }
//	    provider <name> [extends <id>] {
//	        ...
//	    }
//	    destination <name> {
//	        ...
//	    }
//	    alert <name> {
//	        ...
//	    }
//	}
func (app *App) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the option's name
	if d.NextArg() {
		return d.ArgErr()
	}
	for d.NextBlock(0) {
		var err error
		switch d.Val() {
		case "store":
			err = app.parseStore(d)
		case "retain":
			err = app.parseRetain(d)
		case "provider":
			err = app.parseProvider(d)
		case "destination":
			err = app.parseDestination(d)
		case "alert":
			err = app.parseAlert(d)
		default:
			err = d.Errf("unrecognized option '%s' of webhooks: want store, retain, provider, destination or alert", d.Val())
		}
		if err != nil {
			return err
		}
	}
	return app.checkAlerts()
}

func (app *App) parseStore(d *caddyfile.Dispenser) error {
	if app.StoreRaw != nil {
		return d.Err("store is already specified")
	}
	var name string
	if !d.Args(&name) && !d.NextArg() && name == "" {
		return d.Errf("store: want the name of a store, such as badger")
	}
	const namespace = "webhooks.stores"
	if _, err := caddy.GetModule(namespace + "." + name); err != nil {
		known := caddy.GetModules(namespace)
		names := make([]string, len(known))
		for i, module := range known {
			names[i] = module.ID.Name()
		}
		return d.Errf("store %s: no such kind of store: want one of %s, and then the rest, as in `store badger <dir>`", name, strings.Join(names, ", "))
	}
	module, err := caddyfile.UnmarshalModule(d, namespace+"."+name)
	if err != nil {
		return err
	}
	app.StoreRaw = caddyconfig.JSONModuleObject(module, "module", name, nil)
	return nil
}

func (app *App) parseRetain(d *caddyfile.Dispenser) error {
	if d.NextArg() {
		return d.ArgErr()
	}
	if app.Retain == nil {
		app.Retain = new(Retain)
	}
	for d.NextBlock(1) {
		field, ok := map[string]*caddy.Duration{
			"delivered": &app.Retain.Delivered, "dead": &app.Retain.Dead, "rejected": &app.Retain.Rejected,
		}[d.Val()]
		if !ok {
			return d.Errf("unrecognized option '%s' of retain: want delivered, dead or rejected", d.Val())
		}
		if err := parseDuration(d, field); err != nil {
			return err
		}
	}
	return nil
}

func (app *App) parseDestination(d *caddyfile.Dispenser) error {
	var name string
	if !d.AllArgs(&name) {
		return d.Errf("destination: want exactly one name")
	}
	if _, ok := app.Destinations[name]; ok {
		return d.Errf("destination '%s' is already specified", name)
	}
	if err := delivery.ValidName(name); err != nil {
		return d.WrapErr(err)
	}
	if strings.Contains(name, ":") {
		return d.Errf("destination name %q: want one without a colon: `forward` takes it for an address", name)
	}
	dest := new(Destination)
	var opts destinationOptions
	for d.NextBlock(1) {
		known, err := opts.parse(d, dest)
		if err != nil {
			return err
		}
		if !known {
			return d.Errf("unrecognized option '%s' of destination %s: want one of %s", d.Val(), name, destinationOptionNames)
		}
	}
	if err := opts.finish(d, dest); err != nil {
		return err
	}
	app.Destinations = withEntry(app.Destinations, name, dest)
	return nil
}

func withEntry[V any](m map[string]V, name string, value V) map[string]V {
	out := maps.Clone(m)
	if out == nil {
		out = make(map[string]V)
	}
	out[name] = value
	return out
}

// parseDuration reads exactly one positive duration; days are allowed.
func parseDuration(d *caddyfile.Dispenser, into *caddy.Duration) error {
	name := d.Val()
	if *into != 0 {
		return d.Errf("%s is already specified", name)
	}
	var text string
	if !d.AllArgs(&text) {
		return d.Errf("%s: want exactly one duration, such as 30s or 7d", name)
	}
	value, err := caddy.ParseDuration(text)
	if err != nil || value <= 0 || value > delivery.MaxSpan {
		return d.Errf("%s: invalid duration '%s': want one such as 30s, 5m or 7d", name, text)
	}
	*into = caddy.Duration(value)
	return nil
}

// UnmarshalCaddyfile reads the options of the store. Syntax:
//
//	store badger [<dir>] {
//	    durability     fsync|os
//	    encryption_key <placeholder>
//	    min_free       <size>
//	    max_size       <size>
//	    max_pending    <count>
//	}
func (b *BadgerStore) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the module's name
	if d.NextArg() {
		b.Dir = d.Val()
		if d.NextArg() {
			return d.ArgErr()
		}
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		var err error
		switch d.Val() {
		case "durability":
			if err = parseText(d, &b.Durability, "fsync or os"); err == nil && b.Durability != "fsync" && b.Durability != "os" {
				err = d.Err("durability: want fsync or os")
			}
		case "encryption_key":
			if err = parseText(d, &b.EncryptionKey, "a placeholder such as {env.SLUICE_KEY}"); err == nil {
				err = b.checkKey(d)
			}
		case "min_free":
			err = parseSize(d, &b.MinFree)
		case "max_size":
			err = parseSize(d, &b.MaxSize)
		case "max_pending":
			n := int(b.MaxPending)
			err = parseCount(d, &n)
			b.MaxPending = int64(n)
		default:
			err = d.Errf("unrecognized option '%s' of store badger: want durability, encryption_key, min_free, max_size or max_pending", d.Val())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

var _ caddyfile.Unmarshaler = (*BadgerStore)(nil)
