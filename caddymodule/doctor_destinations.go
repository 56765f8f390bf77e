package caddymodule

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
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
	own := map[string]bool{}
	all := g.app.allDestinations()
	for _, name := range sortedKeys(all) {
		own[name] = gjson.GetBytes(all[name].ProxyRaw, "transport").Exists()
		for _, address := range all[name].To {
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
			notes[i] = probeAddress(ctx, probes[i].address, own[probes[i].destination])
			notes[i].Check, notes[i].Target = "destination", probes[i].destination
		})
	}
	running.Wait()
	return notes
}

// probeAddress connects to an address and, where it is https, looks at its certificate. ownTransport says that the configuration has its own idea of TLS.
func probeAddress(ctx context.Context, address string, ownTransport bool) healthNote {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	network, target, host, secure, err := dialTarget(address)
	if err != nil {
		return healthNote{Level: levelWarn, Text: err.Error()}
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
	return judgeCertificate(client.ConnectionState().PeerCertificates, target, host, ownTransport)
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
