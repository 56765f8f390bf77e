package caddymodule

import (
	"fmt"
	"strings"

	"github.com/sluice-webhooks/sluice/queue/delivery"
)

// registerInline makes the destination of a `forward <url>` known.
func (app *App) registerInline(d *Destination) error {
	app.mu.Lock()
	defer app.mu.Unlock()
	if _, ok := app.Destinations[d.name]; ok {
		return fmt.Errorf("destination %q is declared, and an inline one has the same name", d.name)
	}
	app.inlines[d.name] = d
	return nil
}

// declared returns a destination of the global options.
func (app *App) declared(name string) (*Destination, error) {
	if d, ok := app.Destinations[name]; ok {
		return d, nil
	}
	if len(app.Destinations) == 0 {
		return nil, fmt.Errorf("destination %q is not declared: want `destination %s { ... }` in the global option webhooks, or a URL", name, name)
	}
	return nil, fmt.Errorf("destination %q is not declared: want one of %s, or a URL", name, strings.Join(sortedKeys(app.Destinations), ", "))
}

// routes is the table that the engine delivers by.
func (app *App) routes() *delivery.Routes {
	table := &delivery.Routes{Destinations: make(map[string]*delivery.Destination)}
	for _, all := range []map[string]*Destination{app.Destinations, app.inlines} {
		for name, d := range all {
			table.Destinations[name] = &delivery.Destination{Name: name, Policy: d.policy, Forwarder: d, OrderKey: d.orderKey}
		}
	}
	for _, alert := range app.Alerts {
		if m := alert.mail; m != nil {
			table.Destinations[m.name] = &delivery.Destination{Name: m.name, Forwarder: m}
		}
	}
	return table
}

// destinationNames are the configured destinations, inline ones included.
func (app *App) destinationNames() []string {
	app.mu.Lock()
	defer app.mu.Unlock()
	return append(sortedKeys(app.Destinations), sortedKeys(app.inlines)...)
}
