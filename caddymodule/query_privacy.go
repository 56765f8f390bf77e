package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/verifiers"
)

// metaPrivacy is where the store's metadata keeps what sources hide, so that events of a source that left the configuration stay as hidden as they were.
const metaPrivacy = "privacy/"

// privacyRules are what a source hides of its payloads.
type privacyRules struct {
	Redact   bool       `json:"redact,omitempty"`
	Mask     []string   `json:"mask,omitempty"`     // what the configuration masks, and where the provider's secrets are
	Elements [][]string `json:"elements,omitempty"` // where in a request the elements of its batch are
}

// keepPrivacy stores what the sources of this configuration hide.
func (app *App) keepPrivacy(ctx context.Context, meta queue.Metadata) error {
	sources := app.allSources()
	for _, name := range sortedKeys(sources) {
		value, err := json.Marshal(sources[name].privacy().privacyRules)
		if err != nil {
			return fmt.Errorf("privacy of source %s: %w", name, err)
		}
		if err := putChanged(ctx, meta, metaPrivacy+name, value); err != nil {
			return fmt.Errorf("privacy of source %s: %w", name, err)
		}
	}
	return nil
}

// privacy is what may be shown of a source's requests.
type privacy struct {
	privacyRules
	headers map[string]bool // canonical names of those with secrets
	queries map[string]bool // lower-case names of parameters with secrets
	path    bool            // the last segment of the path is a secret
	whole   bool            // batches are not split
}

// privacy is what the source's configuration says.
func (h *Handler) privacy() *privacy {
	p := &privacy{privacyRules: privacyRules{Redact: h.Redact, Mask: slices.Clone(h.Mask)}, headers: map[string]bool{}, queries: map[string]bool{}, whole: !h.rules.split}
	p.learn(h.provider.Spec())
	if h.Token != nil {
		p.learnToken(h.Token.Place)
	}
	return p
}

// privacy finds out what may be shown of a source's requests: by its configuration or, if that is gone, by what it was. Nothing is known of a source
// that neither has: its payloads are hidden.
func (g *gateway) privacy(ctx context.Context, source, provider string) (*privacy, error) {
	if h := g.app.source(source); h != nil {
		p := h.privacy()
		if spec, err := g.app.providerSpec(provider); err == nil && provider != h.provider.Spec().ID { // the source had another one before
			p.learn(spec)
		}
		return p, nil
	}
	p := &privacy{headers: map[string]bool{}, queries: map[string]bool{}}
	if spec, err := g.app.providerSpec(provider); err == nil { // else the provider is gone too, and only the usual headers are masked
		p.learn(spec)
	}
	value, err := g.meta.Meta(ctx, metaPrivacy+source)
	switch {
	case errors.Is(err, queue.ErrNotFound):
		p.Redact = true
		return p, nil
	case err != nil:
		return nil, fmt.Errorf("privacy of source %s: %w", source, err)
	}
	var rules privacyRules
	if err := json.Unmarshal(value, &rules); err != nil {
		return nil, fmt.Errorf("privacy of source %s: %w", source, err)
	}
	p.Redact, p.Mask, p.Elements = rules.Redact, append(p.Mask, rules.Mask...), append(p.Elements, rules.Elements...)
	return p, nil
}

// learn notes where a provider's requests carry signatures, tokens and secrets, and the elements of batches.
func (p *privacy) learn(spec *verifiers.Spec) {
	if spec.Batch != nil {
		p.Elements = append(p.Elements, elementsPath(spec.Batch))
	}
	names := slices.Concat(spec.Signature.Names, spec.Signature.Legacy)
	switch spec.Signature.In {
	case "", "header":
		p.addHeaders(names)
	case "query":
		p.addQueries(names)
	case "path":
		p.path = true
	case "json", "form":
		if spec.Scheme == verifiers.SchemeToken { // the secret itself; a signature in the payload is none
			p.addMasks(spec.Signature.In, names...)
		}
	}
	for _, c := range spec.Checks {
		expr, err := verifiers.ParseExpr(c.Expr)
		if err != nil || c.Equals != "secret" && !isSecretParam(spec, strings.TrimPrefix(c.Equals, "param:")) {
			continue
		}
		for _, at := range expr.Places() {
			switch at.Kind {
			case "header":
				p.addHeaders([]string{at.Name})
			case "query":
				p.addQueries([]string{at.Name})
			case "json", "form":
				p.addMasks(at.Kind, at.Name)
			}
		}
	}
}

func isSecretParam(spec *verifiers.Spec, name string) bool {
	return slices.ContainsFunc(spec.Params, func(param verifiers.Param) bool { return param.Name == name && param.Secret })
}

// learnToken notes where the source's own token is. The one in a path or query is masked before the event is stored.
func (p *privacy) learnToken(place string) {
	if kind, name, _ := strings.Cut(place, ":"); kind == "header" {
		p.addHeaders([]string{name})
	}
}

func (p *privacy) addHeaders(names []string) {
	for _, name := range names {
		if before, _, numbered := strings.Cut(name, "{n}"); numbered {
			for i := range 10 {
				p.headers[http.CanonicalHeaderKey(before+string(rune('0'+i)))] = true
			}
			continue
		}
		p.headers[http.CanonicalHeaderKey(name)] = true
	}
}

// addMasks adds the places of secrets in a payload.
func (p *privacy) addMasks(place string, names ...string) {
	for _, name := range names {
		if place == "json" {
			name = maskOf(plainPath(name))
		}
		p.Mask = append(p.Mask, name)
	}
}

func (p *privacy) addQueries(names []string) {
	for _, name := range names {
		p.queries[strings.ToLower(name)] = true
	}
}

// secretWords are parts of names whose values are not for showing, whoever sends them.
var secretWords = []string{
	"signature", "hmac", "token", "secret", "password", "passwd", "credential", "authorization", "authentication", "cookie", "api-key", "apikey", "api_key", "assertion",
}

func soundsSecret(name string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc(secretWords, func(word string) bool { return strings.Contains(name, word) })
}

// header returns the headers as they may be shown.
func (p *privacy) header(h http.Header) map[string][]string {
	out := make(map[string][]string, len(h))
	for name, values := range h {
		if p.headers[name] || soundsSecret(name) {
			out[name] = []string{maskText}
			continue
		}
		out[name] = values
	}
	return out
}

// address returns the request's address as it may be shown.
func (p *privacy) address(stored string) string {
	u, err := url.Parse(stored)
	if err != nil {
		return ""
	}
	u.User = nil
	if p.path {
		escaped := u.EscapedPath()
		if i, j := strings.LastIndexByte(u.Path, '/'), strings.LastIndexByte(escaped, '/'); i >= 0 && j >= 0 {
			u.Path, u.RawPath = u.Path[:i+1]+maskText, escaped[:j+1]+maskText
		}
	}
	u.RawQuery = maskQuery(u.RawQuery, func(name string) bool { return p.queries[strings.ToLower(name)] || soundsSecret(name) })
	return u.String()
}

// maskQuery replaces the values of some parameters and leaves the others as they are written.
func maskQuery(raw string, secret func(name string) bool) string {
	if raw == "" {
		return ""
	}
	pairs := strings.Split(raw, "&")
	for i, pair := range pairs {
		name, _, hasValue := strings.Cut(pair, "=")
		plain, err := url.QueryUnescape(name)
		if hasValue && (err != nil || secret(plain)) {
			pairs[i] = name + "=" + maskText
		}
	}
	return strings.Join(pairs, "&")
}

// payload returns the payload of an event as it may be shown; errHidden if it may not.
func (p *privacy) payload(body []byte, contentType string) ([]byte, bool, error) {
	masks, all := p.eventMasks()
	if all && !p.Redact && len(body) > 0 && !(p.whole && p.looksWhole(body)) {
		return []byte(`"` + maskText + `"`), true, nil
	}
	return p.masked(body, contentType, masks)
}

// request returns the body of a request, which was not taken apart, as it may be shown; errHidden if it may not.
func (p *privacy) request(body []byte, contentType string) ([]byte, bool, error) {
	return p.masked(body, contentType, p.requestMasks())
}

func (p *privacy) masked(body []byte, contentType string, masks []string) ([]byte, bool, error) {
	if p.Redact {
		return nil, false, fmt.Errorf("%w: it shows no payloads (redact)", errHidden)
	}
	out, hit, err := maskPayload(body, contentType, masks)
	if err != nil {
		return nil, false, fmt.Errorf("%w: %w", errHidden, err)
	}
	return out, hit, nil
}

// response returns what a destination answered as it may be shown. An application may echo what it was sent, in any form: where anything of a payload is
// hidden, so is the answer.
func (p *privacy) response(answer []byte) string {
	if p.Redact || len(p.Mask) > 0 {
		return ""
	}
	return strings.ToValidUTF8(string(answer), "�")
}
