package caddymodule

import (
	"slices"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

const orderForm = "`order by <expr>... [within <duration> by <expr>] [park <attempts>]`"

// parseOrder reads the `order` of a forward.
func (f *Forward) parseOrder(d *caddyfile.Dispenser) error {
	args := asWritten(d.RemainingArgs())
	if len(args) < 2 || args[0] != "by" {
		return d.Errf("order: want %s", orderForm)
	}
	if f.OrderBy != nil {
		return d.Err("order is already specified")
	}
	args = args[1:]
	if n := len(args); n > 2 && args[n-2] == "park" {
		park, err := atoiPositive(args[n-1])
		if err != nil {
			return d.Errf("order: invalid number of attempts '%s' after park: want 1 or more", args[n-1])
		}
		f.Park, args = park, args[:n-2]
	}
	if i := slices.Index(args, "within"); i >= 0 {
		if err := f.parseOrderWithin(d, args[i+1:]); err != nil {
			return err
		}
		args = args[:i]
	}
	if len(args) == 0 {
		return d.Errf("order: want %s", orderForm)
	}
	if _, err := parseExprs(args); err != nil {
		return d.Errf("order by: %v", err)
	}
	f.OrderBy = args
	return nil
}

// parseOrderWithin reads what stands after `within`.
func (f *Forward) parseOrderWithin(d *caddyfile.Dispenser, args []string) error {
	if len(args) != 3 || args[1] != "by" {
		return d.Errf("order within: want a duration, `by` and one expression, as in %s", orderForm)
	}
	w := &OrderWithin{By: args[2]}
	if err := durationInto(&w.For, args[0]); err != nil {
		return d.Errf("order within: %v: want for how long events are held back, such as 5s", err)
	}
	if _, err := w.provision(true); err != nil {
		return d.Errf("order within: %v", err)
	}
	f.OrderWithin = w
	return nil
}
