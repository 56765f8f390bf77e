package caddymodule

import (
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
)

func init() {
	httpcaddyfile.RegisterDirective("webhooks_dashboard", parseDashboard)
	httpcaddyfile.RegisterDirectiveOrder("webhooks_dashboard", httpcaddyfile.Before, "respond")
}

// parseDashboard reads the directive. A path matcher such as /dashboard/* also says what the dashboard stands below.
func parseDashboard(h httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
	handler := new(Dashboard)
	if h.Next() && h.NextArg() && strings.HasPrefix(h.Val(), "/") {
		handler.Base = strings.TrimSuffix(strings.TrimSuffix(h.Val(), "*"), "/")
		if strings.Contains(handler.Base, "*") {
			handler.Base = ""
		}
	}
	h.Reset()
	h.Next()
	matchers, err := h.ExtractMatcherSet()
	if err != nil {
		return nil, err
	}
	if err := handler.UnmarshalCaddyfile(h.Dispenser); err != nil {
		return nil, err
	}
	return h.NewRoute(matchers, handler), nil
}

// UnmarshalCaddyfile reads the dashboard's options. Syntax:
//
//	webhooks_dashboard [<matcher>] {
//	    base           <path>
//	    user           <placeholder>
//	    unprotected_ok
//	}
func (h *Dashboard) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the directive's name
	if d.NextArg() {
		return d.Errf("webhooks_dashboard takes no arguments but a matcher; unexpected '%s'", d.Val())
	}
	for d.NextBlock(0) {
		var err error
		switch d.Val() {
		case "base":
			if err = parseText(d, &h.Base, "a path such as /dashboard"); err == nil {
				if baseErr := h.checkBase(); baseErr != nil {
					err = d.WrapErr(baseErr)
				}
			}
		case "user":
			err = parseText(d, &h.User, "a placeholder such as {http.request.header.Remote-User}")
		case "unprotected_ok":
			h.UnprotectedOK = true
			err = noArgs(d)
		default:
			err = d.Errf("unrecognized option '%s' of webhooks_dashboard: want base, user or unprotected_ok", d.Val())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

var _ caddyfile.Unmarshaler = (*Dashboard)(nil)
