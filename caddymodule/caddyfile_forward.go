package caddymodule

import (
	"fmt"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// parseForward reads a forward. Syntax:
//
//	forward <destination>|<url>... {
//	    events    <glob>...
//	    when      <CEL expression>
//	    format    cloudevents | cloudevents_binary | original
//	    transform jq <program>
//	    order     by <expr>... [within <duration> by <expr>] [park <attempts>]
//	    enrich    <url> {
//	        header <name> <value>
//	        into   <path>
//	    }
//
//	    # with a url: all options of a destination
//	}
func (h *Handler) parseForward(d *caddyfile.Dispenser) error {
	to := d.RemainingArgs()
	if len(to) == 0 {
		return d.Err("forward: want the name of a destination, or a URL")
	}
	f := &Forward{at: d.Token()}
	switch {
	case strings.Contains(to[0], "/") || strings.Contains(to[0], ":"):
		f.Inline = &Destination{To: to}
	case len(to) > 1:
		return d.Errf("forward: unexpected '%s': want one name; write another forward for another destination", to[1])
	default:
		f.Destination = to[0]
	}
	opts := destinationOptions{to: f.at}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		known, err := f.parseOption(d)
		if !known && err == nil && f.Inline != nil {
			known, err = opts.parse(d, f.Inline)
		}
		if err != nil {
			return err
		}
		if !known {
			return d.Errf("unrecognized option '%s' of forward: want events, when, format, transform, order or enrich; with a URL, also the options of a destination", d.Val())
		}
	}
	if f.Inline != nil {
		if err := opts.finish(d, f.Inline); err != nil {
			return err
		}
	}
	h.Forwards = append(h.Forwards, f)
	return nil
}

// parseOption reads the option of a forward at the cursor; known is false if it is none.
func (f *Forward) parseOption(d *caddyfile.Dispenser) (known bool, err error) {
	switch d.Val() {
	case "events":
		if err = parseList(d, &f.Events, "globs such as invoice.* or !invoice.draft"); err == nil {
			if _, globErr := newTypeFilter(f.Events); globErr != nil {
				err = d.WrapErr(globErr)
			}
		}
	case "when":
		if err = parseText(d, &f.When, "a CEL expression in quotes or backticks"); err == nil {
			f.When = written.Replace(f.When)
			if _, celErr := newCondition(f.When); celErr != nil {
				err = d.WrapErr(celErr)
			}
		}
	case "format":
		if err = parseText(d, &f.Format, "cloudevents, cloudevents_binary or original"); err == nil {
			if _, formatErr := checkFormat(f.Format, nil); formatErr != nil {
				err = d.WrapErr(formatErr)
			}
		}
	case "transform":
		err = f.parseTransform(d)
	case "order":
		err = f.parseOrder(d)
	case "enrich":
		err = f.parseEnrich(d)
	default:
		return false, nil
	}
	return true, err
}

func (f *Forward) parseTransform(d *caddyfile.Dispenser) error {
	args := asWritten(d.RemainingArgs())
	if f.Transform != "" {
		return d.Err("transform is already specified")
	}
	if len(args) != 2 || args[0] != "jq" {
		return d.Err("transform: want `transform jq <program>`, with the program in quotes or backticks")
	}
	if _, err := newTransform(args[1]); err != nil {
		return d.WrapErr(err)
	}
	f.Transform = args[1]
	return nil
}

func (f *Forward) parseEnrich(d *caddyfile.Dispenser) error {
	if f.Enrich != nil {
		return d.Err("enrich is already specified")
	}
	f.Enrich = new(Enrich)
	if !d.AllArgs(&f.Enrich.URL) {
		return d.Err("enrich: want exactly one URL")
	}
	f.Enrich.URL = written.Replace(f.Enrich.URL)
	if err := new(enrichment).parseURL(f.Enrich.URL); err != nil {
		return d.WrapErr(err)
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		switch d.Val() {
		case "header":
			var name, value string
			if !d.AllArgs(&name, &value) {
				return d.Err("header: want a name and a value")
			}
			if err := f.Enrich.addHeader(name, value); err != nil {
				return d.WrapErr(err)
			}
		case "into":
			if err := parseText(d, &f.Enrich.Into, "a path such as data"); err != nil {
				return err
			}
		default:
			return d.Errf("unrecognized option '%s' of enrich: want header or into", d.Val())
		}
	}
	return nil
}

func (e *Enrich) addHeader(name, value string) error {
	if err := checkEnrichHeader(name, value); err != nil {
		return err
	}
	if err := checkWritten(value); err != nil {
		return fmt.Errorf("header %s: %w", name, err)
	}
	for _, other := range sortedKeys(e.Headers) {
		if strings.EqualFold(other, name) {
			return fmt.Errorf("header %s is already specified", name)
		}
	}
	e.Headers = withEntry(e.Headers, name, value)
	return nil
}

var (
	_ caddyfile.Unmarshaler = (*Handler)(nil)
)
