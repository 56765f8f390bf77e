package caddymodule

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/sluice-webhooks/sluice/queue"
)

const maxPageSize = 1000

// params reads the parameters of a call. The first mistake is kept, and so is a parameter that nobody asked for: a misspelt filter must not be no filter.
type params struct {
	values url.Values
	known  []string
	err    error
}

func newParams(u *url.URL) *params {
	values, err := url.ParseQuery(u.RawQuery)
	p := &params{values: values}
	if err != nil {
		p.fail("query cannot be read")
	}
	return p
}

func (p *params) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf("%w: "+format, append([]any{errBadQuery}, args...)...)
	}
}

func (p *params) text(name string) string {
	p.known = append(p.known, name)
	if n := len(p.values[name]); n > 1 {
		p.fail("%s is given %d times: want it once", name, n)
	}
	return p.values.Get(name)
}

// list reads a parameter that is repeated, or has commas in it.
func (p *params) list(name string) []string {
	p.known = append(p.known, name)
	var out []string
	for _, value := range p.values[name] {
		for part := range strings.SplitSeq(value, ",") {
			if part = strings.TrimSpace(part); part != "" {
				out = append(out, part)
			}
		}
	}
	return out
}

func (p *params) boolean(name string) bool {
	value := p.text(name)
	if value == "" {
		return p.values.Has(name) // ?dry_run
	}
	b, err := strconv.ParseBool(value)
	if err != nil {
		p.fail("%s %q: want true or false", name, value)
	}
	return b
}

func (p *params) limit() int {
	value := p.text("limit")
	if value == "" {
		return defaultPageSize
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 || n > maxPageSize {
		p.fail("limit %q: want 1 to %d", value, maxPageSize)
	}
	return n
}

func (p *params) time(name string) time.Time {
	value := p.text(name)
	if value == "" {
		return time.Time{}
	}
	t, err := parseMoment(value, now())
	if err != nil {
		p.fail("%s: %v", name, err)
	}
	return t
}

func (p *params) states(name string) []queue.State {
	var states []queue.State
	for _, text := range p.list(name) {
		state, err := queue.ParseState(text)
		if err != nil {
			p.fail("%s: %v", name, err)
			return nil
		}
		states = append(states, state)
	}
	return states
}

// done returns the first mistake.
func (p *params) done() error {
	for _, name := range sortedKeys(p.values) {
		switch {
		case len(p.known) == 0:
			p.fail("unknown parameter %q: this call takes none", name)
		case !slices.Contains(p.known, name):
			p.fail("unknown parameter %q: want one of %s", name, strings.Join(p.known, ", "))
		}
	}
	return p.err
}

// parseMoment reads a time as RFC 3339, as a date, or as how long ago it was: 90m, 24h, 7d.
func parseMoment(s string, now time.Time) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04", time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	d, err := caddy.ParseDuration(s)
	if err != nil || d < 0 {
		return time.Time{}, fmt.Errorf("%q is not a time: want 2006-01-02T15:04:05Z, a date, or a duration before now such as 24h", s)
	}
	return now.Add(-d), nil
}

// filter reads the parameters that select events.
func (p *params) filter() queue.Filter {
	return queue.Filter{
		Source: p.text("source"), Provider: p.text("provider"), Destination: p.text("destination"), Type: p.text("type"),
		EventID: p.text("id"), States: p.states("state"), Error: p.oneOf("error", failureClasses),
		Since: p.time("since"), Until: p.time("until"), Cursor: p.text("cursor"), Limit: p.limit(),
	}
}
