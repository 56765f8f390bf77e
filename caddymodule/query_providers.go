package caddymodule

import (
	"fmt"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/verifiers"
	"github.com/sluice-webhooks/sluice/verifiers/catalogue"
)

// providerView is a provider as lists show it.
type providerView struct {
	ID         string   `json:"id"`
	Name       string   `json:"name,omitempty"`
	Scheme     string   `json:"scheme"`
	Docs       string   `json:"docs,omitempty"`
	Confidence string   `json:"confidence,omitempty"`
	Own        bool     `json:"own,omitempty"` // defined in the configuration or by a plugin
	Secret     string   `json:"secret,omitempty"`
	Unsigned   bool     `json:"unsigned,omitempty"`
	DeadlineMS int64    `json:"deadline_ms,omitempty"` // absent: the default of 10 s
	DedupMS    int64    `json:"dedup_ms,omitempty"`    // absent: the provider's retry horizon, or 72 h
	Handshake  bool     `json:"handshake,omitempty"`
	Retries    string   `json:"retries,omitempty"`
	Quirks     []string `json:"quirks,omitempty"`
	Sources    []string `json:"sources,omitempty"` // that use it
}

// providerDetail is a provider with all of its data.
type providerDetail struct {
	providerView
	Spec *verifiers.Spec `json:"spec"`
}

func newProviderView(id string, spec *verifiers.Spec) providerView {
	needs := spec.Needs()
	return providerView{
		ID: id, Name: spec.Name, Scheme: spec.Scheme, Docs: spec.Docs, Confidence: spec.Confidence,
		Secret: needs.Secret, Unsigned: needs.Unsigned,
		DeadlineMS: max(0, spec.Deadline.Std().Milliseconds()), DedupMS: max(0, spec.Dedup.Window.Std().Milliseconds()),
		Handshake: len(spec.Handshakes) > 0, Retries: spec.Retries, Quirks: spec.Quirks,
	}
}

// builtInProviders lists the catalogue.
func builtInProviders() ([]providerView, error) {
	specs, err := catalogue.All()
	if err != nil {
		return nil, fmt.Errorf("catalogue: %w", err)
	}
	views := make([]providerView, len(specs))
	for i, spec := range specs {
		views[i] = newProviderView(spec.ID, spec)
	}
	return views, nil
}

// Providers lists the catalogue, the plugins' and the configuration's own providers, by id.
func (g *gateway) Providers() ([]providerView, error) {
	views, err := builtInProviders()
	if err != nil {
		return nil, err
	}
	own := sortedKeys(g.app.Providers)
	for _, module := range caddy.GetModules(verifierNamespace) {
		if id := module.ID.Name(); g.app.Providers[id] == nil {
			own = append(own, id)
		}
	}
	for _, id := range own {
		spec, err := g.app.providerSpec(id)
		if err != nil {
			return nil, err
		}
		view := newProviderView(id, spec)
		view.Own = true
		views = slices.DeleteFunc(views, func(v providerView) bool { return v.ID == id })
		views = append(views, view)
	}
	slices.SortFunc(views, func(a, b providerView) int { return strings.Compare(a.ID, b.ID) })
	used := g.providerUse()
	for i := range views {
		views[i].Sources = used[views[i].ID]
	}
	return views, nil
}

// Provider returns one provider with its data; queue.ErrNotFound.
func (g *gateway) Provider(id string) (providerDetail, error) {
	spec, err := g.app.providerSpec(id)
	if err != nil {
		return providerDetail{}, fmt.Errorf("provider %q: %w", id, queue.ErrNotFound)
	}
	detail := providerDetail{providerView: newProviderView(id, spec), Spec: spec.Redacted()}
	_, detail.Own = g.app.Providers[id]
	detail.Own = detail.Own || spec.Scheme == verifiers.SchemeGuest
	detail.Sources = g.providerUse()[id]
	return detail, nil
}

// providerUse lists the sources of each provider.
func (g *gateway) providerUse() map[string][]string {
	used, sources := map[string][]string{}, g.app.allSources()
	for _, name := range sortedKeys(sources) {
		id := sources[name].Provider
		used[id] = append(used[id], name)
	}
	return used
}
