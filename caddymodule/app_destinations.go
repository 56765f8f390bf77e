package caddymodule

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/sluice-webhooks/sluice/queue/delivery"
)

// registerInline makes the destination of a `forward <url>` known. Its name does not tell all addresses and sources apart, and deliveries
// find their destination by name: two that differ must not have the same one.
func (app *App) registerInline(d *Destination) error {
	app.mu.Lock()
	defer app.mu.Unlock()
	if _, ok := app.Destinations[d.name]; ok {
		return fmt.Errorf("destination %q is declared, and an inline one has the same name", d.name)
	}
	if other, ok := app.inlines[d.name]; ok && !d.copyOf(other) {
		return fmt.Errorf("inline destination %q of source %q: source %q has another one with the same name: give one of them a name of its own"+
			" with `destination <name> { ... }` in the global option webhooks, and forward to that", d.name, d.source, other.source)
	}
	app.inlines[d.name] = d
	return nil
}

// copyOf reports whether an inline destination is another one again, because its source stands in two servers.
func (d *Destination) copyOf(other *Destination) bool {
	mine, err1 := json.Marshal(d)
	theirs, err2 := json.Marshal(other)
	return d.source == other.source && err1 == nil && err2 == nil && string(mine) == string(theirs)
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
