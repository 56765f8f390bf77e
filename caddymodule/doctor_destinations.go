package caddymodule

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"github.com/tidwall/gjson"
)

const (
	probeTime     = 5 * time.Second
	maxProbes     = 8                   // at a time
	expirySoon    = 14 * 24 * time.Hour // a certificate that ends sooner is worth a warning
	maxProbeNotes = 500
)

// checkDestinations connects to every address of every configured destination, and looks at certificates. Nothing is sent to the applications.
func (g *gateway) checkDestinations(ctx context.Context, _ *statusView) []healthNote {
	type probe struct{ destination, address string }
	var probes []probe
	all := g.app.allDestinations()
	for _, name := range sortedKeys(all) {
		for _, address := range all[name].upstreams() {
			probes = append(probes, probe{name, address})
		}
	}
	notes := make([]healthNote, min(len(probes), maxProbeNotes))
	slots := make(chan struct{}, maxProbes)
	var running sync.WaitGroup
	for i := range notes {
		running.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if probes[i].address == "" {
				notes[i] = healthNote{Level: levelOK, Text: "its upstreams are found for each request and were not tried"}
			} else {
				notes[i] = all[probes[i].destination].knock(ctx, probes[i].address)
			}
			notes[i].Check, notes[i].Target = "destination", probes[i].destination
		})
	}
	running.Wait()
	return notes
}

// upstreams are the addresses that requests are sent to: those of the proxy, if it has its own, and else those of `to`. One that is not known before there is a
// request is empty.
func (d *Destination) upstreams() []string {
	own := gjson.GetBytes(d.ProxyRaw, "upstreams")
	switch {
	case gjson.GetBytes(d.ProxyRaw, "dynamic_upstreams").Exists():
		return []string{""}
	case len(own.Array()) == 0:
		return d.To
	}
	scheme := ""
	if sealed, ok := d.proxy.Transport.(*sealedTransport); ok {
		if transport, ok := sealed.RoundTripper.(*reverseproxy.HTTPTransport); ok && transport.TLSEnabled() {
			scheme = "https://"
		}
	}
	var addresses []string
	for _, upstream := range own.Array() {
		dial := upstream.Get("dial").String()
		if !strings.Contains(dial, "/") { // no socket
			dial = scheme + dial
		}
		addresses = append(addresses, dial)
	}
	return addresses
}

// knock connects to an address of the destination and, where it is https, looks at its certificate. Where requests go by way of a proxy, it connects to that.
func (d *Destination) knock(ctx context.Context, address string) healthNote {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	network, target, host, secure, err := dialTarget(address)
	if err != nil {
		return healthNote{Level: levelWarn, Text: err.Error()}
	}
	proxy, err := d.outboundProxy(ctx, network, target, secure)
	if err != nil {
		return healthNote{Level: levelFail, Text: target + ": the address of the proxy for it cannot be used", Advice: "see `network_proxy` in `proxy { transport http ... }`, or HTTP_PROXY and HTTPS_PROXY"}
	}
	if proxy != nil {
		return probeProxy(ctx, proxy, target)
	}
	conn, err := new(net.Dialer).DialContext(ctx, network, target)
	if err != nil {
		return healthNote{
			Level: levelFail, Text: fmt.Sprintf("%s cannot be reached: %s", target, dialReason(err)),
			Advice: "is the application running, and is the address right? Deliveries are retried meanwhile",
		}
	}
	defer conn.Close()
	if !secure {
		return healthNote{Level: levelOK, Text: target + " takes connections"}
	}
	client := tls.Client(conn, &tls.Config{ServerName: host, InsecureSkipVerify: true}) //nolint:gosec // verified below, where the reason can be told; nothing is sent
	if err := client.HandshakeContext(ctx); err != nil {
		return healthNote{Level: levelFail, Text: target + ": TLS handshake fails", Advice: "is it an https address?"}
	}
	return judgeCertificate(client.ConnectionState().PeerCertificates, target, host, gjson.GetBytes(d.ProxyRaw, "transport").Exists())
}

// outboundProxy is the proxy that the transport sends requests to an address by way of: that of its configuration or of the environment. It is nil if there is none.
func (d *Destination) outboundProxy(ctx context.Context, network, target string, secure bool) (*url.URL, error) {
	sealed, ok := d.proxy.Transport.(*sealedTransport)
	if !ok {
		return nil, nil //nolint:nilnil // as http.Transport has it
	}
	transport, ok := sealed.RoundTripper.(*reverseproxy.HTTPTransport)
	if !ok || transport.Transport == nil || network != "tcp" || slices.Equal(transport.Versions, []string{"3"}) {
		return nil, nil //nolint:nilnil // as http.Transport has it
	}
	address := &url.URL{Scheme: "http", Host: target, Path: "/"}
	if secure {
		address.Scheme = "https"
	}
	req := &http.Request{Method: http.MethodPost, URL: address, Host: target, Header: http.Header{}}
	return transport.Transport.Proxy(caddyhttp.PrepareRequest(req.WithContext(ctx), d.headerFiles.replacer(now()), nil, outgoingServer))
}

// probeProxy connects to a proxy. What is behind it, only the proxy sees.
func probeProxy(ctx context.Context, proxy *url.URL, target string) healthNote {
	port := proxy.Port()
	if port == "" {
		port = map[string]string{"https": "443", "socks5": "1080", "socks5h": "1080"}[proxy.Scheme]
	}
	address := net.JoinHostPort(proxy.Hostname(), cmp.Or(port, "80"))
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return healthNote{
			Level: levelFail, Text: fmt.Sprintf("proxy %s, by way of which requests to %s go, cannot be reached: %s", address, target, dialReason(err)),
			Advice: "is the proxy running, and is its address right? Deliveries are retried meanwhile",
		}
	}
	_ = conn.Close()
	return healthNote{Level: levelOK, Text: fmt.Sprintf("requests to %s go by way of the proxy %s, which takes connections; what is behind it was not tried", target, address)}
}

// dialTarget finds out what to connect to.
func dialTarget(address string) (network, target, host string, secure bool, err error) {
	if u, parseErr := url.Parse(address); parseErr == nil && (u.Scheme == "http" || u.Scheme == "https") {
		port := u.Port()
		if port == "" {
			port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
		}
		return "tcp", net.JoinHostPort(u.Hostname(), port), u.Hostname(), u.Scheme == "https", nil
	}
	bare := strings.TrimPrefix(address, "h2c://")
	parsed, err := caddy.ParseNetworkAddress(bare)
	if err != nil || parsed.PortRangeSize() > 1 {
		return "", "", "", false, fmt.Errorf("address %s is for reverse_proxy to resolve and was not tried", maskAddress(address))
	}
	return parsed.Network, parsed.JoinHostPort(0), parsed.Host, false, nil
}

// dialReason is the innermost error, without the address that the caller names already.
func dialReason(err error) string {
	text := err.Error()
	if i := strings.LastIndex(text, ": "); i >= 0 {
		text = text[i+2:]
	}
	return text
}

func judgeCertificate(chain []*x509.Certificate, target, host string, ownTransport bool) healthNote {
	leaf := chain[0]
	left := leaf.NotAfter.Sub(now())
	expires := fmt.Sprintf("certificate of %s ends in %s", target, age(left))
	if left <= 0 {
		return healthNote{Level: levelFail, Text: fmt.Sprintf("certificate of %s ended %s ago", target, age(-left)), Advice: "renew it"}
	}
	intermediates := x509.NewCertPool()
	for _, c := range chain[1:] {
		intermediates.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{DNSName: host, Intermediates: intermediates, CurrentTime: now()})
	switch {
	case err != nil && !ownTransport:
		return healthNote{
			Level: levelFail, Text: fmt.Sprintf("certificate of %s is not trusted: %v", target, err),
			Advice: "give the authority in `proxy { transport http { tls_trust_pool ... } }`, or use a name the certificate has",
		}
	case left < expirySoon:
		return healthNote{Level: levelWarn, Text: expires, Advice: "renew it"}
	}
	return healthNote{Level: levelOK, Text: target + " takes connections; " + expires}
}
