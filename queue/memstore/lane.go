package memstore

import (
	"slices"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
)

// delivery is a delivery's row, its attempts, and the place where it waits.
type delivery struct {
	queue.Delivery
	event    *event
	attempts []queue.Attempt
	lane     *lane
	line     *line // of its order key; nil if it has none, or takes part in its order only later

	since time.Time // it is due since then; says whose turn it is
	aside bool      // later ones of its order key may overtake it
	token uint64    // of its lease, also when that has run out; 0 if none can settle it
	until time.Time // end of its lease

	in  [slots]*pq
	pos [slots]int
}

// lane holds the unsettled deliveries of one destination. Each is in exactly one of ready, scheduled, leased, or hidden in its line.
type lane struct {
	name      string
	ready     pq // due
	scheduled pq // due at a later time
	leased    pq
	open      pq // all of them, oldest event first
	lines     map[string]*line
	recalls   []*recalled
	stats     queue.DestinationStats // but for OldestPending and NextDue
}

func newLane(name string) *lane {
	return &lane{
		name:      name,
		ready:     pq{less: byTurn},
		scheduled: pq{less: byDue},
		leased:    pq{less: byUntil},
		open:      pq{less: byID, slot: slotOpen},
		lines:     map[string]*line{},
	}
}

// line holds the deliveries of a lane with the same order key. At most two of them are shown to the lane, that is to say
// ready or scheduled: the oldest that did not step aside, and the first due one of those that did. While one is leased, none is.
type line struct {
	key     string
	waiting pq // hidden, in order
	aside   pq // hidden, stepped aside
	front   *delivery
	spare   *delivery
	leased  *delivery
	recall  *recalled // keeps the others hidden, as leased does
}

// recalled is the lease of a cancelled delivery whose attempt may be under way.
type recalled struct {
	event queue.ID
	token uint64
	until time.Time
	line  *line
}

func (l *lane) line(key string) *line {
	n := l.lines[key]
	if n == nil {
		n = &line{key: key, waiting: pq{less: byPlace}, aside: pq{less: byDue}}
		l.lines[key] = n
	}
	return n
}

// begin takes in a delivery that became pending.
func (l *lane) begin(d *delivery) {
	d.lane = l
	if d.OrderAt.IsZero() || d.Due.IsZero() {
		l.join(d)
	}
	l.open.add(d)
	l.stats.Pending++
	l.place(d)
}

// join makes a delivery take part in the order of its key, if it has one.
func (l *lane) join(d *delivery) {
	if d.OrderKey != "" && d.line == nil {
		d.line = l.line(d.OrderKey)
	}
}

// place puts a pending delivery where it has to wait.
func (l *lane) place(d *delivery) {
	switch n := d.line; {
	case n == nil:
		l.show(d)
	case d.aside:
		if n.spare != nil && byDue(d, n.spare) {
			n.hideSpare()
		}
		n.aside.add(d)
		l.advance(n)
	default:
		if n.front != nil && byPlace(d, n.front) {
			n.hideFront()
		}
		n.waiting.add(d)
		l.advance(n)
	}
}

// show makes a delivery claimable once it is due.
func (l *lane) show(d *delivery) {
	if d.Due.IsZero() {
		l.ready.add(d)
	} else {
		l.scheduled.add(d)
	}
}

// advance shows what a line has to show, and reports whether that is something new.
func (l *lane) advance(n *line) (shown bool) {
	if n.leased != nil || n.recall != nil {
		return false
	}
	if n.front == nil {
		if n.front = n.waiting.take(); n.front != nil {
			l.show(n.front)
			shown = true
		}
	}
	if n.spare == nil {
		if n.spare = n.aside.take(); n.spare != nil {
			l.show(n.spare)
			shown = true
		}
	}
	if n.front == nil && n.spare == nil {
		delete(l.lines, n.key)
	}
	return shown
}

func (n *line) hideFront() {
	n.front.leave(slotPlace)
	n.waiting.add(n.front)
	n.front = nil
}

func (n *line) hideSpare() {
	n.spare.leave(slotPlace)
	n.aside.add(n.spare)
	n.spare = nil
}

// remove takes a delivery out of the place where it waits or is leased. Its line is to be advanced afterwards.
func (l *lane) remove(d *delivery) {
	if d.in[slotPlace] == &l.leased {
		l.stats.Delivering--
	}
	d.leave(slotPlace)
	if n := d.line; n != nil {
		switch d {
		case n.front:
			n.front = nil
		case n.spare:
			n.spare = nil
		case n.leased:
			n.leased = nil
		}
	}
}

// lease gives a ready delivery to a claimer and hides the others of its line.
func (l *lane) lease(d *delivery, token uint64, until time.Time) {
	l.remove(d)
	if n := d.line; n != nil {
		n.leased = d
		if n.front != nil {
			n.hideFront()
		}
		if n.spare != nil {
			n.hideSpare()
		}
	}
	d.State, d.token, d.until = queue.StateDelivering, token, until
	l.leased.add(d)
	l.stats.Delivering++
}

// putBack ends the lease of a delivery that is to be tried again. It reports whether others of its line can go now.
func (l *lane) putBack(d *delivery) (unlocked bool) {
	d.token = 0
	return l.release(d)
}

// release makes a delivery pending again that was pending or leased. It reports whether others of its line can go now.
func (l *lane) release(d *delivery) (unlocked bool) {
	l.remove(d)
	d.State = queue.StatePending
	n := d.line
	if n == nil {
		l.place(d)
		return false
	}
	front, spare := n.front, n.spare
	l.place(d)
	return n.front != nil && n.front != d && n.front != front || n.spare != nil && n.spare != d && n.spare != spare
}

// finish takes out a delivery that is settled for good. It reports whether others of its line can go now.
func (l *lane) finish(d *delivery) (unlocked bool) {
	l.remove(d)
	d.token = 0
	d.leave(slotOpen)
	l.stats.Pending--
	if n := d.line; n != nil {
		d.line = nil
		return l.advance(n)
	}
	return false
}

// recall keeps the line of a leased delivery, which is to be cancelled, hidden until its attempt has ended.
func (l *lane) recall(d *delivery) {
	if n := d.line; n != nil && n.leased == d {
		n.recall = &recalled{event: d.Event, token: d.token, until: d.until, line: n}
		l.recalls = append(l.recalls, n.recall)
	}
}

// letGo ends that for the leases that are chosen, and reports whether others of their lines can go now.
func (l *lane) letGo(chosen func(*recalled) bool) (unlocked bool) {
	l.recalls = slices.DeleteFunc(l.recalls, func(r *recalled) bool {
		if !chosen(r) {
			return false
		}
		r.line.recall = nil
		unlocked = l.advance(r.line) || unlocked
		return true
	})
	return unlocked
}

// promote makes ready what has come due and what was leased for too long.
func (l *lane) promote(now time.Time) {
	l.letGo(func(r *recalled) bool { return !r.until.After(now) })
	for d := l.leased.top(); d != nil && !d.until.After(now); d = l.leased.top() {
		l.release(d)
	}
	for d := l.scheduled.top(); d != nil && !d.Due.After(now); d = l.scheduled.top() {
		l.scheduled.take()
		d.since = d.Due
		if d.line == nil && d.OrderKey != "" {
			l.join(d)
			l.place(d) // where it comes here again if it is its turn
			continue
		}
		l.ready.add(d)
	}
}

// next is the earliest moment at which more can be claimed without anything else happening; zero if there is none.
func (l *lane) next(now time.Time) time.Time {
	if l.ready.Len() > 0 {
		return now
	}
	var next time.Time
	if d := l.scheduled.top(); d != nil {
		next = d.Due
	}
	if d := l.leased.top(); d != nil && (next.IsZero() || d.until.Before(next)) {
		next = d.until
	}
	for _, r := range l.recalls {
		if next.IsZero() || r.until.Before(next) {
			next = r.until
		}
	}
	return next
}

// snapshot returns the lane's counters.
func (l *lane) snapshot() queue.DestinationStats {
	s := l.stats
	if d := l.open.top(); d != nil {
		s.OldestPending = d.event.ReceivedAt
	}
	if d := l.scheduled.top(); d != nil {
		s.NextDue = d.Due
	}
	return s
}
