package caddymodule

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/sluice-webhooks/sluice/caddymodule/dashboard"
)

func init() {
	caddy.RegisterModule(new(Dashboard))
}

// Dashboard shows the gateway in a browser and lets people operate it. It asks nobody for a password: protect its route as any other, with `basic_auth`,
// `forward_auth` or client certificates. It is a terminal handler.
type Dashboard struct {
	// The path that the dashboard stands below, such as /dashboard. Default: what `handle_path` or `uri strip_prefix` took off.
	Base string `json:"base,omitempty"`

	// Who makes changes, for the audit log: a placeholder, such as {http.request.header.Remote-User} behind `forward_auth`.
	// Default: {http.auth.user.id}, else the subject of the client certificate.
	User string `json:"user,omitempty"`

	// The operator's word that the route is fenced in a way that cannot be seen from here, by `remote_ip` for instance.
	UnprotectedOK bool `json:"unprotected_ok,omitempty"`

	pages *dashboard.Dashboard
}

// CaddyModule returns the Caddy module information.
func (*Dashboard) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.webhooks_dashboard", New: func() caddy.Module { return new(Dashboard) }}
}

// Provision implements caddy.Provisioner.
func (h *Dashboard) Provision(caddy.Context) error {
	err := h.checkBase()
	if err != nil {
		return err
	}
	if h.pages, err = dashboard.New(newDashboardBackend()); err != nil {
		return fmt.Errorf("dashboard: %w", err)
	}
	return nil
}

func (h *Dashboard) checkBase() error {
	if h.Base != "" && (!strings.HasPrefix(h.Base, "/") || strings.HasSuffix(h.Base, "/") || strings.ContainsAny(h.Base, "*?#{}")) {
		return fmt.Errorf("base %q: want a path such as /dashboard", h.Base)
	}
	return nil
}

// ServeHTTP implements caddyhttp.MiddlewareHandler.
func (h *Dashboard) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	visit, err := h.visit(r)
	if err != nil {
		return caddyhttp.Error(http.StatusForbidden, err)
	}
	h.pages.ServeHTTP(w, r, visit)
	return nil
}

// errRebinding means that a page of another site may have been made to point here.
var errRebinding = errors.New("unprotected dashboard on a loopback address was asked for by the name of another host: protect the route, or set unprotected_ok")

// visit says who asks for which page.
func (h *Dashboard) visit(r *http.Request) (dashboard.Visit, error) {
	v := dashboard.Visit{Base: h.Base, Path: r.URL.Path}
	if h.Base != "" {
		if rest, ok := strings.CutPrefix(r.URL.Path, h.Base); ok && (rest == "" || rest[0] == '/') {
			v.Path = rest
		}
	} else if o, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok && o.URL != nil {
		v.Base, v.Path = strippedBase(o.URL.Path, r.URL.Path)
	}
	v.User, v.Known = h.user(r)
	v.Protected = v.Known || h.UnprotectedOK
	if v.User == "" {
		v.User = actorOf(r)
	}
	if !v.Protected && rebound(r) {
		return v, errRebinding
	}
	return v, nil
}

// strippedBase is what was taken off a path, and what is left of it. Nothing is left of the base itself: Caddy makes that "/", as if the base had a slash at its end, which links need.
func strippedBase(original, path string) (base, rest string) {
	before, ok := strings.CutSuffix(original, path)
	switch {
	case !ok && path == "/":
		before, path = original, ""
	case !ok:
		return "", path
	}
	if before = strings.Trim(before, "/\\"); before != "" { // two slashes would make a host of it
		before = "/" + before
	}
	return before, path
}

// user names whom Caddy let in, and reports whether it let anybody in that it knows.
func (h *Dashboard) user(r *http.Request) (name string, known bool) {
	repl, _ := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if repl != nil {
		if h.User != "" {
			name = repl.ReplaceAll(h.User, "")
		} else if id, ok := repl.GetString("http.auth.user.id"); ok {
			name = id
		}
	}
	verified := r.TLS != nil && len(r.TLS.VerifiedChains) > 0
	return truncate(name, 200), name != "" || verified
}

// rebound reports whether a request that reached a loopback address names a host that is none: browsers on this machine send such ones when a foreign site
// lets its own name point here.
func rebound(r *http.Request) bool {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return false
	}
	at, err := netip.ParseAddrPort(local.String())
	if err != nil || !at.Addr().Unmap().IsLoopback() {
		return false
	}
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return false
	}
	_, err = netip.ParseAddr(host)
	return err != nil
}

var (
	_ caddy.Provisioner           = (*Dashboard)(nil)
	_ caddyhttp.MiddlewareHandler = (*Dashboard)(nil)
)
