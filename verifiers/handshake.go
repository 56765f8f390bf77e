package verifiers

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// handshake is a compiled Handshake.
type handshake struct {
	spec    *Handshake
	p       *Provider
	signed  bool
	methods []string
	match   []check
	require []check
	body    *Template
	headers map[string]*Template
	store   *Expr
	surface *Expr
	visit   *Expr
	hosts   []*Template
	custom  func(ctx context.Context, h *handshake, a *attempt, secrets []Secret) (Reply, error)
}

// customHandshakes answer what templates cannot, by Spec.Custom and Handshake.Name.
var customHandshakes = map[string]func(ctx context.Context, h *handshake, a *attempt, secrets []Secret) (Reply, error){}

func (p *Provider) compileHandshake(field string, s *Handshake) (handshake, error) {
	h := handshake{spec: s, p: p, signed: s.Signed, methods: s.Methods, headers: make(map[string]*Template, len(s.Headers))}
	if len(h.methods) == 0 {
		h.methods = []string{http.MethodPost}
	}
	if err := checkMethods(field+".methods", h.methods); err != nil {
		return h, err
	}
	if len(s.Match) == 0 && slices.ContainsFunc(h.methods, func(m string) bool { return slices.Contains(p.spec.Methods, m) }) {
		return h, fieldError(field+".match", "expected what tells it from a delivery, for both use the same method")
	}
	if s.Signed && (p.spec.Scheme == SchemeNone) {
		return h, fieldError(field+".signed", "the provider signs nothing")
	}
	var err error
	if h.match, err = p.parseChecks(field+".match", s.Match); err != nil {
		return h, err
	}
	if h.require, err = p.parseChecks(field+".require", s.Require); err != nil {
		return h, err
	}
	if h.body, err = p.parseTemplate(field+".body", s.Body); err != nil {
		return h, err
	}
	for _, name := range slices.Sorted(maps.Keys(s.Headers)) {
		if h.headers[name], err = p.parseTemplate(field+".headers."+name, s.Headers[name]); err != nil {
			return h, err
		}
	}
	for _, e := range []struct {
		name, text string
		to         **Expr
	}{{"store_secret", s.StoreSecret, &h.store}, {"surface", s.Surface, &h.surface}, {"visit", s.Visit, &h.visit}} {
		if *e.to, err = p.parseExpr(field+"."+e.name, e.text); err != nil {
			return h, err
		}
	}
	if h.visit != nil && len(s.VisitHosts) == 0 {
		return h, fieldError(field+".visit_hosts", "expected the only hosts that may be visited")
	}
	if h.hosts, err = p.parseHosts(field+".visit_hosts", s.VisitHosts); err != nil {
		return h, err
	}
	h.custom = customHandshakes[p.spec.Custom+"/"+s.Name]
	return h, nil
}

// matches tells whether the request is this handshake.
func (h *handshake) matches(a *attempt, secrets []Secret) bool {
	return slices.Contains(h.methods, a.r.Method) && holdAll(h.match, a, secrets)
}

// answer makes the reply. Keyed functions use the first secret.
func (h *handshake) answer(ctx context.Context, a *attempt, secrets []Secret) (Reply, error) {
	if !holdAll(h.require, a, secrets) {
		return Reply{}, fmt.Errorf("%w: handshake %s", ErrMismatch, h.spec.Name)
	}
	if h.custom != nil {
		return h.custom(ctx, h, a, secrets)
	}
	h.p.usable(secrets, "", func(_ int, k *key) bool { a.key = k; return true })
	if h.needsKey() && a.key == nil {
		return Reply{}, fmt.Errorf("%w: handshake %s needs a secret", ErrMismatch, h.spec.Name)
	}
	reply := Reply{Status: h.spec.Status, ContentType: h.spec.ContentType, Body: []byte(h.body.string(a))}
	if reply.Status == 0 {
		reply.Status = http.StatusOK
	}
	if reply.ContentType == "" && len(reply.Body) > 0 {
		reply.ContentType = plainText
	}
	for name, t := range h.headers {
		if reply.Header == nil {
			reply.Header = make(map[string]string, len(h.headers))
		}
		v := t.string(a)
		if strings.ContainsAny(v, "\r\n\x00") {
			return Reply{}, fmt.Errorf("%w: handshake %s would break a header", ErrMalformed, h.spec.Name)
		}
		reply.Header[name] = v
	}
	if v := h.store.eval(a); v != "" {
		reply.StoreSecret = []byte(v)
	}
	reply.Surface = h.surface.eval(a)
	return reply, h.setVisit(&reply, a)
}

// needsKey tells whether the answer cannot be made without a secret.
func (h *handshake) needsKey() bool {
	for _, t := range h.headers {
		if t.keyed() {
			return true
		}
	}
	return h.body.keyed()
}

// setVisit checks the address that must be fetched: https and a pinned host, or the handshake is refused.
func (h *handshake) setVisit(reply *Reply, a *attempt) error {
	if h.visit == nil {
		return nil
	}
	u, err := url.Parse(h.visit.eval(a))
	if err != nil || !publicHTTPS(u) || !allowedHost(h.hosts, a, u.Hostname()) {
		return fmt.Errorf("%w: handshake %s names an address that is not allowed", ErrMismatch, h.spec.Name)
	}
	reply.Visit = u.String()
	return nil
}

// VisitAllowed tells whether host may be visited for a handshake of p, for redirects.
func (p *Provider) VisitAllowed(host string) bool {
	a := newAttempt(p, &Request{})
	defer a.release()
	return slices.ContainsFunc(p.handshakes, func(h handshake) bool { return allowedHost(h.hosts, a, host) })
}
