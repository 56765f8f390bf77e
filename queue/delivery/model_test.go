package delivery

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/queuetest"
)

// modelKey identifies a delivery.
type modelKey struct {
	event       queue.ID
	destination string
}

// modelDelivery is what the reference model knows of a delivery.
type modelDelivery struct {
	orderKey string
	settled  queue.State // 0: not yet
	aside    bool
	due      time.Time // not before
	under    int       // attempts under way
	seen     int       // attempts that reached the application
	recorded int       // attempts that the store was told of

	// Of one with a place of its own within its key:
	at       time.Time // the place; zero: by the event's id
	arrived  time.Time
	joins    time.Time // from then on it takes part in the order of its key
	replayed bool
	asked    time.Time // when it was claimed last
}

// model is the reference model: it sees what the store accepts and what reaches the applications, and notes every step that breaks a promise.
type model struct {
	mu         sync.Mutex
	deliveries map[modelKey]*modelDelivery
	paused     map[string]bool
	configured map[string]bool
	mode       map[string]string // of the application
	inside     map[string]int
	broken     []string
}

func (m *model) breach(format string, args ...any) {
	m.broken = append(m.broken, fmt.Sprintf(format, args...))
}

// begins checks an attempt that reaches an application.
func (m *model) begins(try *Try, destination string) (mode string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := modelKey{try.Event.ID, destination}
	d := m.deliveries[key]
	if d == nil {
		m.breach("%v: attempt of a delivery that was never made", key)
		return "ok"
	}
	d.seen++
	d.under++
	m.inside[destination]++
	switch {
	case d.settled != 0:
		m.breach("%v: attempt after it was %s", key, d.settled)
	case d.under > 1:
		m.breach("%v: two attempts at once", key)
	case m.paused[destination]:
		m.breach("%v: attempt while its destination is paused", key)
	case !m.configured[destination]:
		m.breach("%v: attempt while its destination is not configured", key)
	case time.Now().Before(d.due):
		m.breach("%v: attempt %s before it is due", key, time.Until(d.due))
	case m.inside[destination] > modelConcurrency:
		m.breach("%v: %d attempts at once", key, m.inside[destination])
	}
	if d.orderKey == "" {
		return m.mode[destination]
	}
	for other, o := range m.deliveries {
		if other.destination != destination || o.orderKey != d.orderKey || other == key {
			continue
		}
		if o.under > 0 {
			m.breach("%v: attempt while %v of the same order key is under way", key, other)
		}
		if o.precedes(d, other.event < key.event) {
			m.breach("%v: attempt before the older %v of the same order key", key, other)
		}
	}
	return m.mode[destination]
}

// precedes reports whether o, which is of the same key, had to be settled before d was claimed. older: its event came first.
func (o *modelDelivery) precedes(d *modelDelivery, older bool) bool {
	if o.settled != 0 || o.aside || d.aside {
		return false
	}
	if o.at.IsZero() {
		return older
	}
	// One that came, or came into the order, only after d was claimed, is too late; and a replay is due at once, whatever is held back.
	if !o.arrived.Before(d.asked) || o.joins.After(d.asked) || d.replayed && o.seen == 0 {
		return false
	}
	return o.at.Before(d.at) || o.at.Equal(d.at) && older
}

func (m *model) ends(try *Try, destination string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.inside[destination]--
	if d := m.deliveries[modelKey{try.Event.ID, destination}]; d != nil {
		d.under--
	}
}

// handle is one process's view of the store. After a crash it answers nothing any more.
type handle struct {
	*queuetest.Faulty
	model *model

	mu      sync.Mutex
	crashed bool
	slow    time.Duration // that claims and settlements take, in parts before and after they happen
}

// alive takes the time of a call, and answers whether there is anybody to answer.
func (h *handle) alive() error {
	h.mu.Lock()
	slow := h.slow
	h.mu.Unlock()
	<-time.After(slow)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.crashed {
		return queue.ErrClosed
	}
	return nil
}

func (h *handle) Claim(ctx context.Context, r queue.ClaimRequest) ([]queue.Claimed, time.Time, error) {
	if err := h.alive(); err != nil {
		return nil, time.Time{}, err
	}
	claimed, next, err := h.Faulty.Claim(ctx, r)
	h.model.claims(claimed, r.Now)
	if gone := h.alive(); gone != nil {
		return nil, time.Time{}, gone
	}
	return claimed, next, err
}

func (h *handle) Settle(ctx context.Context, settlements []queue.Settlement) ([]error, error) {
	if err := h.alive(); err != nil {
		return nil, err
	}
	h.model.mu.Lock() // so that nobody sees the store's new state before the model has it
	defer h.model.mu.Unlock()
	lost, err := h.Faulty.Settle(ctx, settlements)
	for i := range lost {
		if lost[i] == nil {
			h.model.settles(&settlements[i])
		}
	}
	return lost, err
}

// claims notes when deliveries were claimed.
func (m *model) claims(claimed []queue.Claimed, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range claimed {
		if d := m.deliveries[modelKey{c.Lease.Event, c.Lease.Destination}]; d != nil {
			d.asked = now
		}
	}
}

// settles notes what the store has accepted.
func (m *model) settles(s *queue.Settlement) {
	key := modelKey{s.Lease.Event, s.Lease.Destination}
	d := m.deliveries[key]
	if d.settled != 0 {
		m.breach("%v: settled as %s after it was %s", key, s.State, d.settled)
	}
	if s.Attempt != nil {
		d.recorded++
	} else if s.State != queue.StatePending {
		m.breach("%v: %s without an attempt", key, s.State)
	}
	d.due, d.aside = s.Due, d.aside || s.StepAside
	if s.State.Settled() {
		d.settled = s.State
	}
}

func (h *handle) slowDown(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.slow = d
}

func (h *handle) crash() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.crashed = true
}
