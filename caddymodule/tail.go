package caddymodule

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/delivery"
)

// Kinds of what a tail shows.
const (
	tailRequest  = "request"  // a request was answered
	tailAttempt  = "attempt"  // an attempt came to its end
	tailDelivery = "delivery" // a delivery was delivered or died
	tailBreaker  = "breaker"  // a destination's breaker changed
	tailPause    = "pause"    // a destination was paused or resumed
)

// tailItem is one thing that happened. It holds names and numbers, never a payload or a header.
type tailItem struct {
	Kind        string    `json:"kind"`
	At          time.Time `json:"at"`
	Source      string    `json:"source,omitempty"`
	Provider    string    `json:"provider,omitempty"`
	Destination string    `json:"destination,omitempty"`
	Event       string    `json:"event,omitempty"` // the gateway's id
	EventID     string    `json:"event_id,omitempty"`
	Type        string    `json:"type,omitempty"`

	Result     string  `json:"result,omitempty"` // of a request: accepted, duplicate, refused, handshake or error; of a breaker or a pause: its state
	Reason     string  `json:"reason,omitempty"` // why a request was refused, or the class of an attempt's failure
	Status     int     `json:"status,omitempty"` // HTTP status of the answer
	State      string  `json:"state,omitempty"`  // of the delivery
	Attempt    int     `json:"attempt,omitempty"`
	DurationMS float64 `json:"duration_ms,omitempty"`
	ClientIP   string  `json:"client_ip,omitempty"`
	Due        string  `json:"due,omitempty"` // of the next attempt
}

const (
	maxTails   = 64
	tailBuffer = 512 // items that one slow reader may be behind
)

// broadcaster hands what happens to everybody who looks on. It never waits: who reads too slowly misses items and learns how many.
type broadcaster struct {
	watching atomic.Int32 // number of subscribers, so that nothing is made for nobody
	mu       sync.Mutex
	tails    map[*tail]struct{}
}

// live is the process's broadcaster: it outlives reloads.
var live = &broadcaster{tails: map[*tail]struct{}{}}

// tail is one subscriber.
type tail struct {
	items  chan tailItem
	missed atomic.Uint64
	want   func(*tailItem) bool
}

// subscribe begins to collect the items that want accepts. It is false if too many look on already. leave must be called.
func (b *broadcaster) subscribe(want func(*tailItem) bool) (t *tail, leave func(), ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.tails) >= maxTails {
		return nil, nil, false
	}
	t = &tail{items: make(chan tailItem, tailBuffer), want: want}
	b.tails[t] = struct{}{}
	b.watching.Add(1)
	return t, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.tails, t)
		b.watching.Add(-1)
	}, true
}

// watched reports whether anybody looks on: whoever publishes asks first.
func (b *broadcaster) watched() bool { return b.watching.Load() > 0 }

func (b *broadcaster) publish(item tailItem) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for t := range b.tails {
		if t.want != nil && !t.want(&item) {
			continue
		}
		select {
		case t.items <- item:
		default:
			t.missed.Add(1)
		}
	}
}

// tellEvents publishes what became of a request's events.
func (h *Handler) tellEvents(events []queue.NewEvent, receipts []queue.Receipt) {
	if !live.watched() {
		return
	}
	for i, receipt := range receipts {
		e, result := &events[i], resultAccepted
		if receipt.Duplicate {
			result = resultDuplicate
		}
		shown := h.app.shown(&e.Event)
		live.publish(tailItem{
			Kind: tailRequest, At: e.ReceivedAt.UTC(), Source: h.Name, Provider: e.Provider, Event: receipt.ID.String(), EventID: shown.EventID, Type: shown.Type,
			Result: result, Status: h.ackReply.status, ClientIP: e.ClientIP, DurationMS: milliseconds(now().Sub(e.ReceivedAt)),
		})
	}
}

// tellRequest publishes a request that became no event.
func (h *Handler) tellRequest(result, reason string, status int, clientIP string) {
	if !live.watched() {
		return
	}
	live.publish(tailItem{
		Kind: tailRequest, At: now().UTC(), Source: h.Name, Provider: h.provider.Spec().ID, Result: result, Reason: reason, Status: status, ClientIP: clientIP,
	})
}

func tellAttempt(r *delivery.AttemptReport) {
	if !live.watched() {
		return
	}
	item := tailItem{
		Kind: tailAttempt, At: r.Attempt.At.UTC(), Source: r.Event.Source, Provider: r.Event.Provider, Destination: r.Destination,
		Event: r.Event.ID.String(), EventID: r.Event.EventID, Type: r.Event.Type, Reason: r.Attempt.Class, Status: r.Attempt.Status,
		State: r.State.String(), Attempt: r.Attempt.Number, DurationMS: milliseconds(r.Attempt.Duration),
	}
	if r.State == queue.StatePending && !r.Due.IsZero() {
		item.Due = r.Due.UTC().Format(time.RFC3339Nano)
	}
	live.publish(item)
}

func tellSettled(r *delivery.SettledReport) {
	if !live.watched() {
		return
	}
	live.publish(tailItem{
		Kind: tailDelivery, At: now().UTC(), Source: r.Event.Source, Provider: r.Event.Provider, Destination: r.Destination,
		Event: r.Event.ID.String(), EventID: r.Event.EventID, Type: r.Event.Type, Reason: r.LastError, Status: r.LastStatus,
		State: r.State.String(), Attempt: r.Attempts, DurationMS: milliseconds(r.Age),
	})
}

// tellDestination publishes a change of a destination's own state.
func tellDestination(kind, destination, result string) {
	if live.watched() {
		live.publish(tailItem{Kind: kind, At: now().UTC(), Destination: destination, Result: result})
	}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
