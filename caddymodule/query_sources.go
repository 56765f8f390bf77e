package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-webhooks/sluice/queue"
)

// sourceView is a source: configured, or one whose events are still there.
type sourceView struct {
	Name       string        `json:"name"`
	Configured bool          `json:"configured"`
	Provider   string        `json:"provider,omitempty"`
	Scheme     string        `json:"scheme,omitempty"`
	Secrets    []secretView  `json:"secrets,omitempty"`
	Failing    []string      `json:"failing_secrets,omitempty"` // why secrets' files cannot be used; their last good values are
	Token      string        `json:"token,omitempty"`           // place of the shared secret in the address
	UnsignedOK bool          `json:"unsigned_ok,omitempty"`
	DeadlineMS int64         `json:"deadline_ms,omitempty"`
	MaxBody    int64         `json:"max_body,omitempty"`
	Dedup      *dedupView    `json:"dedup,omitempty"`
	AckStatus  int           `json:"ack_status,omitempty"`
	Redact     bool          `json:"redact,omitempty"`
	Mask       []string      `json:"mask,omitempty"` // paths within payloads that are masked where payloads are shown
	Forwards   []forwardView `json:"forwards,omitempty"`
	Reconcile  string        `json:"reconcile,omitempty"` // API that lists its past events

	Accepted  uint64    `json:"accepted"` // events over the store's life
	LastEvent time.Time `json:"last_event,omitzero"`

	// Requests by what became of them, and refused ones by reason, since the process started.
	Requests map[string]uint64 `json:"requests,omitempty"`
	Refused  map[string]uint64 `json:"refused,omitempty"`

	// The provider has sent a token that has to be pasted into its own pages; revealing it is a call of its own.
	HandshakeToken bool `json:"handshake_token,omitempty"`
}

// secretView is a live secret by its place in the configuration; never its value. Its use is counted over reloads and restarts.
type secretView struct {
	Label    string    `json:"label"` // the placeholder, or "(literal)"
	Matches  uint64    `json:"matches"`
	LastUsed time.Time `json:"last_used,omitzero"`
	Since    time.Time `json:"since,omitzero"` // when this source had the secret first
}

type dedupView struct {
	Off      bool  `json:"off,omitempty"`
	WindowMS int64 `json:"window_ms,omitempty"`
}

// forwardView is where a source's events go.
type forwardView struct {
	Destination string   `json:"destination"`
	Events      []string `json:"events,omitempty"`
	When        string   `json:"when,omitempty"`
	Format      string   `json:"format"`
	Transformed bool     `json:"transformed,omitempty"`
	Enriched    bool     `json:"enriched,omitempty"`
	OrderBy     []string `json:"order_by,omitempty"`
}

// Sources returns all sources by name, those included that are no longer configured but have events.
func (g *gateway) Sources(ctx context.Context) ([]sourceView, error) {
	stats, err := g.inspect.Stats(ctx)
	if err != nil {
		return nil, fmt.Errorf("statistics of the store: %w", err)
	}
	views := map[string]*sourceView{}
	for name := range stats.Sources {
		views[name] = &sourceView{Name: name}
	}
	for name, h := range g.app.allSources() { // their files are read, which others must not wait for
		views[name] = h.view()
	}
	for name, s := range stats.Sources {
		if views[name].Accepted = s.Accepted; !s.LastEvent.IsZero() {
			views[name].LastEvent = s.LastEvent.UTC()
		}
	}
	if err := countRequests(views); err != nil {
		return nil, err
	}
	if err := g.markHandshakes(ctx, views); err != nil {
		return nil, err
	}
	out := make([]sourceView, 0, len(views))
	for _, name := range sortedKeys(views) {
		out = append(out, *views[name])
	}
	return out, nil
}

func (h *Handler) view() *sourceView {
	spec := h.provider.Spec()
	v := &sourceView{
		Name: h.Name, Configured: true, Provider: spec.ID, Scheme: spec.Scheme, UnsignedOK: h.UnsignedOK,
		DeadlineMS: h.rules.deadline.Milliseconds(), MaxBody: h.rules.maxBody, AckStatus: h.ackReply.status, Redact: h.Redact, Mask: h.Mask, Secrets: h.secrets.views(),
		Dedup: &dedupView{Off: h.rules.dedupOff}, Forwards: make([]forwardView, len(h.Forwards)),
	}
	if !h.rules.dedupOff {
		v.Dedup.WindowMS = h.rules.dedupWindow.Milliseconds()
	}
	v.Failing = append(h.secrets.failing(now()), h.params.failing(now())...)
	if h.Token != nil {
		v.Token = h.Token.Place
		v.Failing = append(v.Failing, h.token.secrets.failing(now())...)
	}
	if h.Reconcile != nil {
		v.Reconcile = h.Reconcile.API
	}
	for i, f := range h.Forwards {
		format := f.Format
		if format == "" {
			format = f.destination.Format
		}
		v.Failing = append(v.Failing, f.Enrich.failing(now())...)
		v.Forwards[i] = forwardView{
			Destination: f.destination.name, Events: f.Events, When: f.When, Format: format,
			Transformed: f.Transform != "", Enriched: f.Enrich != nil, OrderBy: f.OrderBy,
		}
	}
	return v
}

// countRequests adds what the metrics know.
func countRequests(views map[string]*sourceView) error {
	count := func(field func(*sourceView) *map[string]uint64, label string) func(map[string]string, float64) {
		return func(labels map[string]string, value float64) {
			v := views[labels["source"]]
			if v == nil {
				return
			}
			counts := field(v)
			if *counts == nil {
				*counts = map[string]uint64{}
			}
			(*counts)[labels[label]] += uint64(value)
		}
	}
	for _, read := range []struct {
		from prometheus.Collector
		into func(map[string]string, float64)
	}{
		{processMetrics.requests, count(func(v *sourceView) *map[string]uint64 { return &v.Requests }, "result")},
		{processMetrics.refused, count(func(v *sourceView) *map[string]uint64 { return &v.Refused }, "reason")},
	} {
		if err := readMetric(read.from, read.into); err != nil {
			return err
		}
	}
	return nil
}

// markHandshakes notes which sources have a token to reveal.
func (g *gateway) markHandshakes(ctx context.Context, views map[string]*sourceView) error {
	err := g.meta.ListMeta(ctx, metaHandshakeSurface, "", func(key string, _ []byte) bool {
		if v := views[key[len(metaHandshakeSurface):]]; v != nil {
			v.HandshakeToken = true
		}
		return true
	})
	if err != nil {
		return fmt.Errorf("tokens of handshakes: %w", err)
	}
	return nil
}

// handshakeToken is a token that a provider sent in a handshake and that has to be pasted into the provider's own pages.
type handshakeToken struct {
	Source string `json:"source"`
	Token  string `json:"token"`
}

// RevealHandshake returns the token of a source's handshake, and records that it was asked for: to some providers it is the signing secret.
func (g *gateway) RevealHandshake(ctx context.Context, source string) (handshakeToken, error) {
	value, err := g.meta.Meta(ctx, metaHandshakeSurface+source)
	if errors.Is(err, queue.ErrNotFound) {
		return handshakeToken{}, fmt.Errorf("token of a handshake of source %q: %w", source, queue.ErrNotFound)
	}
	if err != nil {
		return handshakeToken{}, fmt.Errorf("token of a handshake: %w", err)
	}
	g.audit(ctx, "reveal", source, "token of a handshake")
	return handshakeToken{Source: source, Token: string(value)}, nil
}
