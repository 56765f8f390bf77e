package caddymodule

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/sluice-webhooks/sluice/queue/delivery"
)

var errHandleResponse = errors.New("proxy: handle_response has no place here: there is no client whose response could be handled")

// provisionProxy loads the reverse_proxy handler and works out the URL of requests.
func (d *Destination) provisionProxy(ctx caddy.Context) error {
	raw := d.ProxyRaw
	if raw == nil {
		raw = json.RawMessage(`{}`)
	}
	handler := new(reverseproxy.Handler)
	if err := caddy.StrictUnmarshalJSON(raw, handler); err != nil {
		return fmt.Errorf("proxy: %w", err)
	}
	if len(handler.HandleResponse) > 0 {
		return errHandleResponse
	}
	if len(d.To) == 0 && len(handler.Upstreams) == 0 && handler.DynamicUpstreamsRaw == nil {
		return errors.New("has no address: want `to <url>...`")
	}
	target, upstreams, err := parseTargets(d.To)
	if err != nil {
		return err
	}
	d.target = target
	if len(handler.Upstreams) == 0 && handler.DynamicUpstreamsRaw == nil {
		merged, err := proxyFor(upstreams, nil)
		if err != nil {
			return fmt.Errorf("to: %s", strings.TrimSuffix(err.Error(), ", at :0")) // it stands in no Caddyfile
		}
		handler.Upstreams = merged.Upstreams
		if handler.TransportRaw == nil {
			handler.TransportRaw = merged.TransportRaw
		}
	}
	if handler.Headers != nil {
		if err := checkOwnHeaders(handler.Headers.Request); err != nil {
			return fmt.Errorf("proxy: header_up: %w", err)
		}
	}
	d.setHost(handler)
	handler.TransportRaw = sealed(handler.TransportRaw, cmp.Or(d.policy.Timeout, delivery.DefaultTimeout))
	d.retriesAnswers = handler.LoadBalancing != nil && len(handler.LoadBalancing.RetryMatchRaw) > 0
	if d.rewrite, handler.Rewrite = handler.Rewrite, nil; d.rewrite != nil { // before signing, in place of after it
		if err := d.rewrite.Provision(ctx); err != nil {
			return fmt.Errorf("proxy: rewrite: %w", err)
		}
	}
	loaded, err := ctx.LoadModuleByID("http.handlers.reverse_proxy", caddyModuleJSON(handler))
	if err != nil {
		return fmt.Errorf("proxy: %w", err)
	}
	d.proxy = loaded.(*reverseproxy.Handler)
	return nil
}

// parseTargets splits addresses into the URL that requests get and the upstreams that they are sent to.
func parseTargets(to []string) (*url.URL, []string, error) {
	target := &url.URL{Scheme: "http", Host: "localhost", Path: "/"}
	var upstreams []string
	for i, address := range to {
		if err := checkAddress(address); err != nil {
			return nil, nil, err
		}
		if !strings.HasPrefix(address, "http://") && !strings.HasPrefix(address, "https://") {
			upstreams = append(upstreams, address) // unix//run/app.sock, h2c://app:80, app:8080
			if i == 0 {
				target.Host = hostOf(address)
			}
			continue
		}
		u, err := url.Parse(address)
		if err != nil || u.Host == "" || u.Fragment != "" || u.User != nil {
			return nil, nil, fmt.Errorf("to %q: want a URL such as https://app.internal/hooks, without user or fragment", redactUserinfo(address))
		}
		if u.Path == "" {
			u.Path = "/"
		}
		if i == 0 {
			target = u
		} else if u.Scheme != target.Scheme || u.RequestURI() != target.RequestURI() {
			return nil, nil, fmt.Errorf("to %q: all addresses of a destination must have the same scheme and path as the first one", address)
		}
		upstreams = append(upstreams, u.Scheme+"://"+u.Host)
	}
	return target, upstreams, nil
}

func redactUserinfo(address string) string {
	if u, err := url.Parse(address); err == nil {
		return u.Redacted()
	}
	return "(unreadable)"
}

// hostOf is the Host header for an upstream address that is not a URL.
func hostOf(address string) string {
	if _, rest, ok := strings.Cut(address, "://"); ok {
		address = rest
	}
	if strings.HasPrefix(address, "unix/") || strings.Contains(address, "/") {
		return "localhost"
	}
	return address
}

// outgoingServer gives reverse_proxy the server that it expects of every request; ours come from no listener.
var outgoingServer = new(caddyhttp.Server)

// remoteAddr is what reverse_proxy takes for the peer of a request; it becomes X-Forwarded-For.
func remoteAddr(clientIP string) string {
	ip, err := netip.ParseAddr(clientIP)
	if err != nil {
		ip = netip.IPv6Loopback()
	}
	return netip.AddrPortFrom(ip, 0).String()
}

// rewriteMessage does to a message what the proxy's `rewrite` says. It is done here and not there because signatures may cover the address.
func (d *Destination) rewriteMessage(ctx context.Context, try *delivery.Try, m *message) {
	if d.rewrite == nil {
		return
	}
	plain := *m
	plain.header = m.header.Clone()
	req := d.request(ctx, try, &plain)
	d.rewrite.Rewrite(req, req.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer))
	m.method, m.url = req.Method, req.URL
	if d.rewrite.Method == http.MethodGet || d.rewrite.Method == http.MethodHead {
		m.body = nil
	}
}
