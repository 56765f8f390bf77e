package caddymodule

import (
	"context"
	"fmt"
	"time"

	"github.com/sluice-webhooks/sluice/queue/delivery"
)

// statusView is the gateway at a glance: is everything arriving, is everything leaving, what is stuck.
type statusView struct {
	Time         time.Time         `json:"time"`
	OK           bool              `json:"ok"`       // nothing asks for an operator
	Problems     []string          `json:"problems"` // what does, in words
	Store        storeView         `json:"store"`
	Totals       totalsView        `json:"totals"`
	Sources      []sourceView      `json:"sources"`
	Destinations []destinationView `json:"destinations"`
	Replays      int               `json:"replays"`       // under way
	CountedSince time.Time         `json:"counted_since"` // for requests and refusals

	refusing error // why new events are refused; nil if they are not
}

type storeView struct {
	Events    uint64 `json:"events"`
	Bytes     int64  `json:"bytes"`
	FreeBytes int64  `json:"free_bytes"` // -1 if that means nothing for this store
}

type totalsView struct {
	Pending       uint64    `json:"pending"` // held and leased ones included
	Held          uint64    `json:"held"`
	Delivering    uint64    `json:"delivering"`
	Dead          uint64    `json:"dead"`
	Delivered     uint64    `json:"delivered"` // over the store's life
	Accepted      uint64    `json:"accepted"`  // over the store's life
	OldestPending time.Time `json:"oldest_pending,omitzero"`
}

// Status returns the gateway at a glance. It reads counters and never scans.
func (g *gateway) Status(ctx context.Context) (statusView, error) {
	stats, err := g.inspect.Stats(ctx)
	if err != nil {
		return statusView{}, fmt.Errorf("statistics of the store: %w", err)
	}
	v := statusView{
		Time: now().UTC(), Problems: []string{}, CountedSince: processStart.UTC(),
		Store:    storeView{Events: stats.Events, Bytes: stats.Bytes, FreeBytes: stats.FreeBytes},
		refusing: stats.Refusing,
	}
	if v.refusing != nil {
		v.Problems = append(v.Problems, refusingText(v.refusing))
	}
	if v.Sources, err = g.Sources(ctx); err != nil {
		return statusView{}, err
	}
	if v.Destinations, err = g.Destinations(ctx); err != nil {
		return statusView{}, err
	}
	for i := range v.Sources {
		v.Totals.Accepted += v.Sources[i].Accepted
	}
	for i := range v.Destinations {
		v.Totals.add(&v.Destinations[i])
		v.Problems = append(v.Problems, v.Destinations[i].problems()...)
	}
	for _, s := range v.failingSecrets() {
		v.Problems = append(v.Problems, fmt.Sprintf("%s: %s; its last good value is used until Caddy stops", s.of, s.why))
	}
	for _, job := range g.rt.engine.Replays() {
		if job.State == delivery.ReplayRunning {
			v.Replays++
		}
	}
	v.OK = len(v.Problems) == 0
	return v, nil
}

func refusingText(why error) string { return fmt.Sprintf("new events are refused with 503: %v", why) }

// failingSecret is a secret of a source or destination without which Caddy would not start again.
type failingSecret struct{ of, target, why string }

func (v *statusView) failingSecrets() (out []failingSecret) {
	for i := range v.Sources {
		for _, why := range v.Sources[i].Failing {
			out = append(out, failingSecret{"source " + v.Sources[i].Name, v.Sources[i].Name, why})
		}
	}
	for i := range v.Destinations {
		for _, why := range v.Destinations[i].Failing {
			out = append(out, failingSecret{"destination " + v.Destinations[i].Name, v.Destinations[i].Name, why})
		}
	}
	return out
}

func (t *totalsView) add(d *destinationView) {
	t.Pending += d.Pending
	t.Delivering += d.Delivering
	t.Dead += d.Dead
	t.Delivered += d.Delivered
	if d.Held {
		t.Held += d.Pending - min(d.Delivering, d.Pending)
	}
	if !d.OldestPending.IsZero() && (t.OldestPending.IsZero() || d.OldestPending.Before(t.OldestPending)) {
		t.OldestPending = d.OldestPending
	}
}

// problems says what about a destination asks for an operator.
func (d *destinationView) problems() []string {
	var out []string
	switch {
	case d.HeldReason == heldUnconfigured && d.Pending > 0:
		out = append(out, fmt.Sprintf("destination %s is no longer configured, deliveries that wait for it: %d", d.Name, d.Pending))
	case d.HeldReason == heldPaused:
		out = append(out, fmt.Sprintf("destination %s is paused, deliveries that wait: %d", d.Name, d.Pending))
	case d.HeldReason == heldBreaker:
		out = append(out, fmt.Sprintf("destination %s fails (its breaker is %s), deliveries that wait: %d", d.Name, d.Breaker, d.Pending))
	}
	if d.Dead > 0 {
		out = append(out, fmt.Sprintf("destination %s has dead deliveries: %d", d.Name, d.Dead))
	}
	return out
}
