package caddymodule

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/verifiers"
)

// metaPrivacy is where the store's metadata keeps what sources hide, so that events of a source that left the configuration stay as hidden as they were.
const metaPrivacy = "privacy/"

// privacyRules are what a source hides.
type privacyRules struct {
	Redact bool     `json:"redact,omitempty"`
	Mask   []string `json:"mask,omitempty"` // what the configuration masks, and where the provider's secrets are
	places
}

// places are where requests have secrets, and what must be known of requests to find in them what is masked. What a source ever had of them stays: its older events have live
// secrets in the old places, and so has what somebody sends who was not told.
type places struct {
	Headers  []string   `json:"headers,omitempty"`  // canonical names
	Queries  []string   `json:"queries,omitempty"`  // lower-case names of parameters
	Secrets  []string   `json:"secrets,omitempty"`  // those of the masks that are the provider's
	Elements [][]string `json:"elements,omitempty"` // where in a request the elements of its batch are
	Path     bool       `json:"path,omitempty"`     // the last segment of the path is a secret
	ByGet    bool       `json:"by_get,omitempty"`   // the query may be the payload
}

// maxFormerPlaces bounds how many places of each kind are remembered that a source has no more. The oldest are forgotten.
const maxFormerPlaces = 100

// keepPrivacy stores what the sources of this configuration hide.
func (app *App) keepPrivacy(ctx context.Context, meta queue.Metadata) error {
	sources := app.allSources()
	for _, name := range sortedKeys(sources) {
		kept, _, err := keptPrivacy(ctx, meta, name)
		if err != nil {
			return err
		}
		p := sources[name].privacy()
		p.remember(&kept.places)
		value, err := json.Marshal(p.privacyRules)
		if err != nil {
			return fmt.Errorf("privacy of source %s: %w", name, err)
		}
		if err := putChanged(ctx, meta, metaPrivacy+name, value); err != nil {
			return fmt.Errorf("privacy of source %s: %w", name, err)
		}
	}
	return nil
}

// keptPrivacy reads what a source hid; known tells whether anything is stored of it.
func keptPrivacy(ctx context.Context, meta queue.Metadata, source string) (rules privacyRules, known bool, err error) {
	value, err := meta.Meta(ctx, metaPrivacy+source)
	if errors.Is(err, queue.ErrNotFound) {
		return rules, false, nil
	}
	if err == nil {
		err = json.Unmarshal(value, &rules)
	}
	if err != nil {
		return rules, false, fmt.Errorf("privacy of source %s: %w", source, err)
	}
	return rules, true, nil
}

// privacy is what may be shown of a source's requests.
type privacy struct {
	privacyRules
	whole bool // batches are not split
}

// privacy is what the source's configuration says.
func (h *Handler) privacy() *privacy {
	p := &privacy{privacyRules: privacyRules{Redact: h.Redact, Mask: slices.Clone(h.Mask)}, whole: !h.rules.split}
	p.learn(h.provider.Spec())
	if h.Token != nil {
		p.learnToken(h.Token.Place)
	}
	return p
}

// privacy finds out what may be shown of a source's requests: by its configuration or, if that is gone, by what it was, and in either case by where its secrets ever were.
// Nothing is known of a source that neither has: its payloads are hidden. The gateway's own alerts hide nothing.
func (g *gateway) privacy(ctx context.Context, source, provider string) (*privacy, error) {
	if source == alertSource {
		return new(privacy), nil
	}
	kept, known, err := keptPrivacy(ctx, g.meta, source)
	if err != nil {
		return nil, err
	}
	h := g.app.source(source)
	p := &privacy{privacyRules: privacyRules{Redact: kept.Redact || !known, Mask: kept.Mask}}
	if h != nil {
		p = h.privacy()
	}
	if h == nil || provider != h.provider.Spec().ID { // the source had another one before
		if spec, err := g.app.providerSpec(provider); err == nil { // else the provider is gone too
			p.learn(spec)
		}
	}
	p.remember(&kept.places)
	return p, nil
}

// remember adds the places that the source had before.
func (p *privacy) remember(before *places) {
	p.Headers, p.Queries = withFormer(before.Headers, p.Headers), withFormer(before.Queries, p.Queries)
	p.Secrets, p.Elements = withFormer(before.Secrets, p.Secrets), withFormer(before.Elements, p.Elements)
	p.Path, p.ByGet = p.Path || before.Path, p.ByGet || before.ByGet
	for _, mask := range p.Secrets {
		if !slices.Contains(p.Mask, mask) {
			p.Mask = append(p.Mask, mask)
		}
	}
}

// withFormer are what was and what is, in this order: what has just left stands behind what left before.
func withFormer[T any](before, present []T) []T {
	former := slices.DeleteFunc(slices.Clone(before), func(was T) bool {
		return slices.ContainsFunc(present, func(is T) bool { return reflect.DeepEqual(was, is) })
	})
	return append(former[max(0, len(former)-maxFormerPlaces):], present...)
}

// learn notes where a provider's requests carry signatures, tokens and secrets, and the elements of batches.
func (p *privacy) learn(spec *verifiers.Spec) {
	if spec.Batch != nil {
		p.Elements = append(p.Elements, elementsPath(spec.Batch))
	}
	p.ByGet = p.ByGet || slices.Contains(spec.Methods, http.MethodGet)
	names := slices.Concat(spec.Signature.Names, spec.Signature.Legacy)
	switch spec.Signature.In {
	case "", "header":
		p.addHeaders(names)
	case "query":
		p.addQueries(names)
	case "path":
		p.Path = true
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

// learnToken notes where the source's own token is. The one in a path or query is masked before the event is stored; in the query, a sender may go on with it when it is elsewhere.
func (p *privacy) learnToken(place string) {
	switch kind, name, _ := strings.Cut(place, ":"); kind {
	case "header":
		p.addHeaders([]string{name})
	case "query":
		p.addQueries([]string{cmp.Or(name, defaultTokenParam)})
	}
}

func (p *privacy) addHeaders(names []string) {
	for _, name := range names {
		if before, _, numbered := strings.Cut(name, "{n}"); numbered {
			for i := range 10 {
				p.Headers = append(p.Headers, http.CanonicalHeaderKey(before+string(rune('0'+i))))
			}
			continue
		}
		p.Headers = append(p.Headers, http.CanonicalHeaderKey(name))
	}
}

// addMasks adds the places of secrets in a payload.
func (p *privacy) addMasks(place string, names ...string) {
	for _, name := range names {
		if place == "json" {
			name = maskOf(plainPath(name))
		}
		p.Mask, p.Secrets = append(p.Mask, name), append(p.Secrets, name)
	}
}

func (p *privacy) addQueries(names []string) {
	for _, name := range names {
		p.Queries = append(p.Queries, strings.ToLower(name))
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
		if slices.Contains(p.Headers, name) || soundsSecret(name) {
			out[name] = []string{maskText}
			continue
		}
		out[name] = values
	}
	return out
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
