package caddymodule

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/sluice-webhooks/sluice/queue/delivery"
)

// destinationView is a destination: configured, or one that still has deliveries.
type destinationView struct {
	Name       string   `json:"name"`
	Configured bool     `json:"configured"`
	To         []string `json:"to,omitempty"` // secrets in it are masked
	Sources    []string `json:"sources,omitempty"`
	Format     string   `json:"format,omitempty"`
	Signed     string   `json:"signed,omitempty"`          // standard or provider; absent if requests are not signed
	Failing    []string `json:"failing_secrets,omitempty"` // why secrets' files cannot be used; their last good values are
	TimeoutMS  int64    `json:"timeout_ms,omitempty"`
	Retry      string   `json:"retry,omitempty"`

	Paused     bool      `json:"paused"`
	Held       bool      `json:"held"` // nothing goes out at present
	HeldReason string    `json:"held_reason,omitempty"`
	Breaker    string    `json:"breaker,omitempty"` // closed, open or half-open; absent if it is not configured
	ProbeAt    time.Time `json:"probe_at,omitzero"`

	InFlight    int     `json:"in_flight"`
	Limit       int     `json:"limit"`       // attempts that may be under way at present
	Concurrency int     `json:"concurrency"` // as configured
	Auto        bool    `json:"auto,omitempty"`
	Rate        float64 `json:"rate,omitempty"` // attempts per second as configured; absent if there is no limit

	Pending              uint64    `json:"pending"` // held and leased ones included
	Delivering           uint64    `json:"delivering"`
	Delivered            uint64    `json:"delivered"` // over the store's life
	Dead                 uint64    `json:"dead"`
	Cancelled            uint64    `json:"cancelled"` // over the store's life
	OldestPending        time.Time `json:"oldest_pending,omitzero"`
	OldestPendingSeconds float64   `json:"oldest_pending_seconds"`
	NextDue              time.Time `json:"next_due,omitzero"`

	BreakerChanges []breakerChange `json:"breaker_changes,omitempty"` // of the last day, newest first; of one destination only
}

// Reasons for which a destination takes nothing.
const (
	heldUnconfigured = "not configured"
	heldPaused       = "paused"
	heldBreaker      = "breaker open"
)

// Destinations returns all destinations by name.
func (g *gateway) Destinations(ctx context.Context) ([]destinationView, error) {
	states, err := g.rt.engine.Status(ctx)
	if err != nil {
		return nil, err
	}
	configured := g.app.allDestinations()
	views := make([]destinationView, len(states))
	for i := range states {
		views[i] = destinationState(&states[i])
		if d := configured[states[i].Name]; d != nil {
			d.describe(&views[i])
		}
	}
	return views, nil
}

// Destination returns one destination; delivery.ErrUnknownDestination.
func (g *gateway) Destination(ctx context.Context, name string) (destinationView, error) {
	all, err := g.Destinations(ctx)
	if err != nil {
		return destinationView{}, err
	}
	for i := range all {
		if all[i].Name == name {
			all[i].BreakerChanges = g.rt.rollup.breakerChanges(name, now().Add(-24*time.Hour))
			return all[i], nil
		}
	}
	return destinationView{}, fmt.Errorf("%w: %q", delivery.ErrUnknownDestination, name)
}

// allDestinations are the configured destinations, inline ones included.
func (app *App) allDestinations() map[string]*Destination {
	app.mu.Lock()
	defer app.mu.Unlock()
	all := make(map[string]*Destination, len(app.Destinations)+len(app.inlines))
	for name, d := range app.Destinations {
		all[name] = d
	}
	for name, d := range app.inlines {
		all[name] = d
	}
	return all
}

func destinationState(s *delivery.DestinationStatus) destinationView {
	v := destinationView{
		Name: s.Name, Configured: s.Configured, Paused: s.Paused, Held: s.Held, Breaker: s.Breaker.String(), ProbeAt: utc(s.ProbeAt),
		InFlight: s.InFlight, Limit: s.Limit, Concurrency: s.Concurrency, Auto: s.Auto, Rate: s.Rate.PerSecond,
		Pending: s.Pending, Delivering: s.Delivering, Delivered: s.Delivered, Dead: s.Dead, Cancelled: s.Cancelled,
		OldestPending: utc(s.OldestPending), NextDue: utc(s.NextDue),
	}
	if !s.OldestPending.IsZero() {
		v.OldestPendingSeconds = max(0, now().Sub(s.OldestPending).Seconds())
	}
	switch {
	case !s.Configured: // nothing is due, and there is no breaker
		v.HeldReason = heldUnconfigured
		v.Breaker, v.NextDue = "", time.Time{}
	case s.Paused:
		v.HeldReason = heldPaused
	case s.Held:
		v.HeldReason = heldBreaker
	}
	return v
}

// utc keeps a zero time zero.
func utc(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.UTC()
}

// describe adds what the configuration says, without credentials.
func (d *Destination) describe(v *destinationView) {
	for _, address := range d.To {
		v.To = append(v.To, maskAddress(address))
	}
	d.app.mu.Lock()
	v.Sources = sortedKeys(d.forwardBy)
	d.app.mu.Unlock()
	v.Format = d.Format
	if d.Sign != nil {
		v.Signed = d.Sign.As
		v.Failing = d.signer.secrets.failing(now())
	}
	if d.Auth != nil {
		v.Failing = append(v.Failing, d.Auth.secrets.failing(now())...)
	}
	v.Failing = append(v.Failing, d.headerFiles.set.failing(now())...)
	timeout := d.policy.Timeout
	if timeout == 0 {
		timeout = delivery.DefaultTimeout
	}
	v.TimeoutMS = timeout.Milliseconds()
	v.Retry = describeRetry(d.policy.Retry)
}

// maskAddress hides the values of an address's parameters, which are credentials as often as not.
func maskAddress(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return address // a bare upstream such as unix//run/app.sock
	}
	u.User = nil
	u.RawQuery = maskQuery(u.RawQuery, func(string) bool { return true })
	return u.String()
}

// describeRetry writes a retry policy as the Caddyfile does.
func describeRetry(p delivery.RetryPolicy) string {
	var parts []string
	switch b := p.Backoff.(type) {
	case nil:
		parts = append(parts, describeExponential(delivery.DefaultBackoff.(delivery.Exponential)))
	case delivery.Exponential:
		parts = append(parts, describeExponential(b))
	case delivery.Schedule:
		for _, delay := range b.Delays {
			parts = append(parts, shortDuration(delay))
		}
	case delivery.None:
		parts = append(parts, "none")
	}
	if p.MaxAttempts > 0 {
		parts = append(parts, fmt.Sprintf("up to %d attempts", p.MaxAttempts))
	}
	if p.MaxAge > 0 {
		parts = append(parts, "up to "+shortDuration(p.MaxAge)+" old")
	}
	return strings.Join(parts, " ")
}

func describeExponential(e delivery.Exponential) string {
	text := "exponential " + shortDuration(e.First) + " " + shortDuration(e.Cap)
	if e.Total > 0 {
		text += " for " + shortDuration(e.Total)
	}
	return text
}

// shortDuration writes a duration without zero parts: 5m, not 5m0s.
func shortDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// SetPaused pauses or resumes a destination and returns its state afterwards, or with dryRun as it would be.
func (g *gateway) SetPaused(ctx context.Context, name string, paused, dryRun bool) (destinationView, error) {
	before, err := g.Destination(ctx, name)
	if err != nil {
		return destinationView{}, err
	}
	if dryRun {
		before.Paused = paused
		before.Held = paused || !before.Configured || before.Breaker != delivery.BreakerClosed.String()
		return before, nil
	}
	change, action := g.rt.engine.Resume, "resume"
	if paused {
		change, action = g.rt.engine.Pause, "pause"
	}
	if err := change(ctx, name); err != nil {
		return destinationView{}, err
	}
	if before.Paused != paused {
		g.audit(ctx, action, name, "")
	}
	return g.Destination(ctx, name)
}
