package caddymodule

import (
	"fmt"
	"math"
	"strconv"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sluice-webhooks/sluice/queue/delivery"
)

const retryForms = "`retry exponential [<first> [<cap>]] [for <total>] [x <multiplier>]`, `retry <delay>... [jitter <part>]`, or `retry heyvisa|standard|none`"

// parseRetry reads one of the forms of `retry`.
func parseRetry(d *caddyfile.Dispenser, dest *Destination) error {
	args := d.RemainingArgs()
	if len(args) == 0 {
		return d.Errf("retry: want %s", retryForms)
	}
	r := dest.ensureRetry()
	if r.Exponential != nil || len(r.Schedule) > 0 || r.Preset != "" || r.None {
		return d.Err("retry is already specified")
	}
	var err error
	switch args[0] {
	case "exponential":
		r.Exponential, err = parseExponential(args[1:])
	case "none", "heyvisa", "standard":
		if len(args) > 1 {
			return d.Errf("retry %s takes no further arguments", args[0])
		}
		if r.None = args[0] == "none"; !r.None {
			r.Preset = args[0]
		}
	default:
		err = r.parseSchedule(args)
	}
	if err != nil {
		return d.Errf("retry: %v: want %s", err, retryForms)
	}
	if _, err := r.policy(); err != nil {
		return d.WrapErr(err)
	}
	return nil
}

func parseExponential(args []string) (*Exponential, error) {
	e := new(Exponential)
	positional := []*caddy.Duration{&e.First, &e.Cap}
	for i := 0; i < len(args); i++ {
		switch args[i] {
		case "for":
			i++
			if i == len(args) {
				return nil, fmt.Errorf("nothing after 'for'")
			}
			if err := durationInto(&e.Total, args[i]); err != nil {
				return nil, err
			}
		case "x":
			i++
			if i == len(args) {
				return nil, fmt.Errorf("nothing after 'x'")
			}
			m, err := strconv.ParseFloat(args[i], 64)
			if err != nil || outside(m, 1, math.MaxFloat64) {
				return nil, fmt.Errorf("invalid multiplier '%s'", args[i])
			}
			e.Multiplier = m
		default:
			if len(positional) == 0 {
				return nil, fmt.Errorf("'%s' is one argument too many", args[i])
			}
			if err := durationInto(positional[0], args[i]); err != nil {
				return nil, err
			}
			positional = positional[1:]
		}
	}
	return e, nil
}

func (r *Retry) parseSchedule(args []string) error {
	for i := 0; i < len(args); i++ {
		if args[i] == "jitter" {
			if i+2 != len(args) {
				return fmt.Errorf("want one number after 'jitter', and nothing more")
			}
			j, err := strconv.ParseFloat(args[i+1], 64)
			if err != nil || outside(j, 0, 1) {
				return fmt.Errorf("invalid jitter '%s'", args[i+1])
			}
			r.Jitter = j
			return nil
		}
		var delay caddy.Duration
		if err := durationInto(&delay, args[i]); err != nil {
			return err
		}
		r.Schedule = append(r.Schedule, delay)
	}
	return nil
}

func durationInto(into *caddy.Duration, text string) error {
	value, err := caddy.ParseDuration(text)
	if err != nil || value <= 0 || value > delivery.MaxSpan {
		return fmt.Errorf("invalid duration '%s'", text)
	}
	*into = caddy.Duration(value)
	return nil
}

// parseBreaker reads `breaker off` or `breaker <failures> [<open> [<ratio>]]`.
func parseBreaker(d *caddyfile.Dispenser, dest *Destination) error {
	args := d.RemainingArgs()
	if dest.Breaker != nil {
		return d.Err("breaker is already specified")
	}
	b := new(Breaker)
	dest.Breaker = b
	if len(args) == 1 && args[0] == "off" {
		b.Off = true
		return nil
	}
	if len(args) == 0 || len(args) > 3 {
		return d.Err("breaker: want `breaker <failures> [<open> [<ratio>]]` or `breaker off`")
	}
	var err error
	if b.Failures, err = atoiPositive(args[0]); err != nil {
		return d.Errf("breaker: invalid number of failures '%s': want 1 or more, or off", args[0])
	}
	if len(args) > 1 {
		if err := durationInto(&b.Open, args[1]); err != nil {
			return d.Errf("breaker: %v: want how long it stays open, such as 30s", err)
		}
	}
	if len(args) > 2 {
		if b.Ratio, err = strconv.ParseFloat(args[2], 64); err != nil || outside(b.Ratio, 0, 1) || b.Ratio == 0 {
			return d.Errf("breaker: invalid ratio '%s': want a part from 0 to 1, such as 0.5", args[2])
		}
	}
	return nil
}

func atoiPositive(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err == nil && n < 1 {
		err = strconv.ErrRange
	}
	return n, err
}
