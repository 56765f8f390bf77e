package caddymodule

import (
	"strconv"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/dustin/go-humanize"
)

// parseSize reads exactly one size, such as 5MiB.
func parseSize(d *caddyfile.Dispenser) (int64, error) {
	name := d.Val()
	var text string
	if !d.AllArgs(&text) {
		return 0, d.Errf("%s: want exactly one size, such as 5MiB", name)
	}
	n, err := humanize.ParseBytes(text)
	if err != nil || n == 0 || n > 1<<62 {
		return 0, d.Errf("%s: invalid size '%s': want one such as 5MiB", name, text)
	}
	return int64(n), nil
}

// parseCount reads exactly one positive number.
func parseCount(d *caddyfile.Dispenser) (int, error) {
	name := d.Val()
	var text string
	if !d.AllArgs(&text) {
		return 0, d.Errf("%s: want exactly one number", name)
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, d.Errf("%s: invalid number '%s': want 1 or more", name, text)
	}
	return n, nil
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
