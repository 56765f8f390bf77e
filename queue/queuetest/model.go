package queuetest

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
)

// model is what a store is expected to hold, in the plainest form: a list of deliveries that every question goes through.
type model struct {
	deliveries []*expected
	claims     map[string]expectedClaim // by source and dedup key
	events     []queue.ID
	sources    map[string]uint64
	delivered  map[string]uint64 // over the store's life, by destination
	cancelled  map[string]uint64
}

// expected is what is known about a delivery.
type expected struct {
	id       queue.ID
	dest     string
	key      string
	at       time.Time // place within the key; zero: by the id
	joins    time.Time // when a delivery with a place begins to take part in the order of its key
	received time.Time
	state    queue.State // pending while leased, too
	due      time.Time
	attempts int
	series   int
	replayed bool
	aside    bool
	untried  bool // was never leased, and is due at once since it was stored
	token    uint64
	until    time.Time
	recalled uint64 // token of the lease that keeps the key taken after a cancellation
}

type expectedClaim struct {
	id    queue.ID
	until time.Time
}

func newModel() *model {
	return &model{
		claims:    map[string]expectedClaim{},
		sources:   map[string]uint64{},
		delivered: map[string]uint64{},
		cancelled: map[string]uint64{},
	}
}

func (m *model) find(id queue.ID, dest string) *expected {
	for _, d := range m.deliveries {
		if d.id == id && d.dest == dest {
			return d
		}
	}
	return nil
}

func (d *expected) pending() bool { return d.state == queue.StatePending }

// leased reports whether a lease keeps others away at that time.
func (d *expected) leased(now time.Time) bool { return d.token != 0 && d.until.After(now) }

// taken reports whether the attempt of a cancelled delivery may be under way at that time.
func (d *expected) taken(now time.Time) bool { return d.recalled != 0 && d.until.After(now) }

// claimable reports whether a delivery may be leased.
func (m *model) claimable(d *expected, now time.Time) bool {
	if !d.pending() || d.leased(now) || d.due.After(now) {
		return false
	}
	if d.key == "" {
		return true
	}
	return !slices.ContainsFunc(m.deliveries, func(o *expected) bool {
		if o == d || o.dest != d.dest || o.key != d.key {
			return false
		}
		if !o.pending() {
			return o.taken(now)
		}
		// Of a replayed one and one that was held back and has not been leased yet, the one that is due first may go first.
		free := d.replayed && !o.joins.IsZero() || o.joins.After(now)
		return o.leased(now) || !d.aside && !o.aside && !free && o.before(d)
	})
}

// before is the order within a key.
func (d *expected) before(o *expected) bool {
	if !d.at.Equal(o.at) {
		return d.at.Before(o.at)
	}
	return d.id < o.id
}

// count is how many deliveries of a destination can be leased together: one of each key.
func (m *model) count(dest string, now time.Time) int {
	n, keys := 0, map[string]bool{}
	for _, d := range m.deliveries {
		if d.dest != dest || keys[d.key] || !m.claimable(d, now) {
			continue
		}
		n++
		if d.key != "" {
			keys[d.key] = true
		}
	}
	return n
}

// moments are the ends of schedules and leases of a destination that lie after now, in order.
func (m *model) moments(dest string, now time.Time) []time.Time {
	var all []time.Time
	for _, d := range m.deliveries {
		if d.dest == dest && d.taken(now) {
			all = append(all, d.until)
		}
		if d.dest != dest || !d.pending() {
			continue
		}
		if d.due.After(now) {
			all = append(all, d.due)
		}
		if d.leased(now) {
			all = append(all, d.until)
		}
	}
	slices.SortFunc(all, time.Time.Compare)
	return all
}

// checkNext says what is wrong with the moment at which a store wants to be asked again.
func (m *model) checkNext(next time.Time, dest string, now time.Time) error {
	if m.count(dest, now) > 0 {
		if next.IsZero() || next.After(now) {
			return fmt.Errorf("%s: next %v, but more is due now, at %v", dest, next, now)
		}
		return nil
	}
	moments := m.moments(dest, now)
	if len(moments) == 0 {
		if !next.IsZero() {
			return fmt.Errorf("%s: next %v, but nothing is scheduled or leased", dest, next)
		}
		return nil
	}
	if !next.IsZero() && next.Before(moments[0]) {
		return fmt.Errorf("%s: next %v is before anything can happen, at %v", dest, next, moments[0])
	}
	for _, at := range moments {
		if m.count(dest, at) > 0 {
			if next.IsZero() || next.After(at) {
				return fmt.Errorf("%s: next %v is too late, something can be claimed at %v", dest, next, at)
			}
			return nil
		}
	}
	return nil
}

// lease notes that a delivery was leased, and says what is wrong with that.
func (m *model) lease(c queue.Claimed, dest string, now time.Time) error {
	d := m.find(c.Event.ID, dest)
	switch {
	case d == nil:
		return fmt.Errorf("%s was never stored for %s", c.Event.ID, dest)
	case !m.claimable(d, now):
		return fmt.Errorf("%s must not be leased now: %+v", c.Event.ID, *d)
	case c.Delivery.Attempts != d.attempts || c.Delivery.SeriesTries != d.series || c.Delivery.Replayed != d.replayed || c.Delivery.OrderKey != d.key || !c.Delivery.OrderAt.Equal(d.at):
		return fmt.Errorf("%s was leased as %+v, want %+v", c.Event.ID, c.Delivery, *d)
	case c.Lease.Token == d.token:
		return fmt.Errorf("%s: token %d was given twice", c.Event.ID, d.token)
	}
	// Of those that wait for nothing but their turn, the oldest comes first.
	if d.untried && d.key == "" {
		for _, o := range m.deliveries {
			if o.dest == dest && o.untried && o.key == "" && o.id < d.id && m.claimable(o, now) {
				return fmt.Errorf("%s was leased before %s", d.id, o.id)
			}
		}
	}
	d.token, d.until, d.untried, d.joins = c.Lease.Token, c.Lease.Until, false, time.Time{}
	return nil
}

// settle applies a settlement; false if its lease is lost.
func (m *model) settle(s queue.Settlement) bool {
	d := m.find(s.Lease.Event, s.Lease.Destination)
	if d != nil && d.recalled == s.Lease.Token {
		d.recalled = 0
	}
	if d == nil || !d.pending() || d.token == 0 || d.token != s.Lease.Token {
		return false
	}
	if s.Attempt != nil {
		d.attempts++
		d.series++
	}
	d.token, d.due = 0, s.Due
	d.aside = d.aside || s.StepAside
	if s.State.Settled() {
		m.finish(d, s.State)
	}
	return true
}

// cancel notes a cancellation.
func (m *model) cancel(d *expected, now time.Time) {
	if d.key != "" && d.leased(now) {
		d.recalled = d.token
	}
	m.finish(d, queue.StateCancelled)
}

func (m *model) finish(d *expected, state queue.State) {
	d.state, d.token = state, 0
	switch state {
	case queue.StateDelivered:
		m.delivered[d.dest]++
	case queue.StateCancelled:
		m.cancelled[d.dest]++
	}
}

func (m *model) replay(id queue.ID, dest, key string, received time.Time) {
	d := m.find(id, dest)
	if d == nil {
		d = &expected{id: id, dest: dest, key: key, received: received}
		m.deliveries = append(m.deliveries, d)
	}
	d.state, d.due, d.series, d.replayed, d.aside, d.untried, d.token = queue.StatePending, time.Time{}, 0, true, false, false, 0
	d.joins, d.recalled = time.Time{}, 0
}

// reopen ends all leases.
func (m *model) reopen() {
	for _, d := range m.deliveries {
		d.token, d.recalled = 0, 0
	}
}

// prune forgets the events of which everything is settled. It returns how many went.
func (m *model) prune() int {
	gone := map[queue.ID]bool{}
	for _, id := range m.events {
		gone[id] = true
	}
	for _, d := range m.deliveries {
		if d.pending() {
			delete(gone, d.id)
		}
	}
	m.events = slices.DeleteFunc(m.events, func(id queue.ID) bool { return gone[id] })
	m.deliveries = slices.DeleteFunc(m.deliveries, func(d *expected) bool { return gone[d.id] })
	return len(gone)
}

// stats are the counters of one destination; those of leases are left out, because an ended lease counts until somebody notices.
func (m *model) stats(dest string) queue.DestinationStats {
	s := queue.DestinationStats{Delivered: m.delivered[dest], Cancelled: m.cancelled[dest]}
	for _, d := range m.deliveries {
		switch {
		case d.dest != dest:
		case d.state == queue.StateDead:
			s.Dead++
		case d.pending():
			s.Pending++
			if s.OldestPending.IsZero() || d.received.Before(s.OldestPending) {
				s.OldestPending = d.received
			}
		}
	}
	return s
}

// rows are the deliveries of an event, sorted by destination.
func (m *model) rows(id queue.ID) []*expected {
	var rows []*expected
	for _, d := range m.deliveries {
		if d.id == id {
			rows = append(rows, d)
		}
	}
	slices.SortFunc(rows, func(a, b *expected) int { return cmp.Compare(a.dest, b.dest) })
	return rows
}
