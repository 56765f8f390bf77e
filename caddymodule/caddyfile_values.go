package caddymodule

import (
	"strconv"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/dustin/go-humanize"
)

// parseSize reads exactly one size, such as 5MiB.
func parseSize(d *caddyfile.Dispenser, into *int64) error {
	name := d.Val()
	if *into != 0 {
		return d.Errf("%s is already specified", name)
	}
	var text string
	if !d.AllArgs(&text) {
		return d.Errf("%s: want exactly one size, such as 5MiB", name)
	}
	n, err := humanize.ParseBytes(text)
	if err != nil || n == 0 || n > 1<<62 {
		return d.Errf("%s: invalid size '%s': want one such as 5MiB", name, text)
	}
	*into = int64(n)
	return nil
}

// parseCount reads exactly one positive number.
func parseCount(d *caddyfile.Dispenser, into *int) error {
	name := d.Val()
	if *into != 0 {
		return d.Errf("%s is already specified", name)
	}
	var text string
	if !d.AllArgs(&text) {
		return d.Errf("%s: want exactly one number", name)
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return d.Errf("%s: invalid number '%s': want 1 or more", name, text)
	}
	*into = n
	return nil
}

// given are the options of a scheme that a block has had.
type given map[string]bool

// add refuses an option that sets what an earlier one has set.
func (g given) add(d *caddyfile.Dispenser) error {
	name := d.Val()
	slot := name
	switch name {
	case "claim", "param": // refuse a second value of one name themselves
		return nil
	case "query", "form", "json":
		slot = "header"
	case "prefix":
		slot = "format"
	}
	if g[slot] {
		return d.Errf("%s is already specified%s", name, alternatives[slot])
	}
	g[slot] = true
	return nil
}

// alternatives say with what else an option shares its place.
var alternatives = map[string]string{
	"header": ": want only one of header, query, form and json, and all names of headers on one line",
	"format": ": want only one of format and prefix",
}

// parseText reads exactly one argument.
func parseText(d *caddyfile.Dispenser, into *string, want string) error {
	name := d.Val()
	if *into != "" {
		return d.Errf("%s is already specified", name)
	}
	if !d.AllArgs(into) || *into == "" {
		return d.Errf("%s: want exactly one argument: %s", name, want)
	}
	return nil
}

// parseList reads one or more arguments and adds them.
func parseList(d *caddyfile.Dispenser, into *[]string, want string) error {
	name := d.Val()
	args := d.RemainingArgs()
	if len(args) == 0 {
		return d.Errf("%s: want one or more arguments: %s", name, want)
	}
	*into = append(*into, args...)
	return nil
}
