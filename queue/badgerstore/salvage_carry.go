package badgerstore

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/sluice-webhooks/sluice/queue"
)

// carrier writes events with their deliveries as they are into a new store, in order of their numbers. It goes the way that recovery goes, so that all tables and
// counters follow from what is carried.
type carrier struct {
	s      *Store
	a      *applier
	room   *room
	events int
	now    int64
	first  uint64
	busy   map[busyKey]bool   // order keys of which some delivery has left the FIFO
	owners map[busyKey]turn   // who comes first, of those
	lanes  map[string]*counts // what the old store has counted
	late   map[string]uint64  // by source: events that the old store has not counted yet
}

// busyKey is an order key of a destination.
type busyKey struct {
	destination string
	hash        uint64
}

// newCarrier makes the new store.
// size is what the old store takes; the new one takes that at most.
func newCarrier(dir string, lock *storeLock, o Options, size int64) (*carrier, error) {
	s := newStore(dir, o)
	s.lock = lock
	c := &carrier{s: s, now: o.Clock().UnixNano(), busy: map[busyKey]bool{}, owners: map[busyKey]turn{}, lanes: map[string]*counts{}, late: map[string]uint64{}}
	if err := s.disk.prepare(); err != nil {
		return c, err
	}
	if err := s.openDatabase(filepath.Join(dir, "db")); err != nil {
		return c, err
	}
	state, err := s.loadState()
	if err != nil {
		return c, err
	}
	state.seq = 0 // what is carried is older than the new store
	s.applier = newApplier(s, state)
	c.a = s.applier
	c.a.tx = c.a.begin()
	out := func() error {
		err := c.a.commit()
		c.a.tx = c.a.begin()
		return err
	}
	c.room = newRoom(s.disk, out, func() (string, int64) { return fmt.Sprintf("%d events are carried", c.events), max(0, size-c.room.sum) })
	return c, nil
}

// carriedDelivery is a delivery with its state and the records of its attempts but the last.
type carriedDelivery struct {
	destination string
	record      record
	attempts    map[int][]byte
}

// event carries an event. states are those of its deliveries that are known; the others are as if nothing had happened to them.
func (c *carrier) event(seq uint64, rec []byte, states []carriedDelivery) (*pending, error) {
	if c.first == 0 {
		c.first = seq
		c.a.state.seq = seq - 1
	}
	c.events++
	if err := c.room.take(len(rec)); err != nil {
		return nil, err
	}
	p, err := c.s.pendingOf(seq, rec)
	if err != nil {
		return nil, err
	}
	if p.claim.until <= c.now {
		p.claim.until = 0
	} else {
		c.s.buckets.note(dayOf(p.enqueued), &p.claim)
	}
	if err := errors.Join(c.a.addEvent(p), c.seal()); err != nil {
		return nil, err
	}
	stated := map[string]bool{}
	for i := range states {
		stated[states[i].destination] = true
		if err := c.state(p, &states[i]); err != nil {
			return nil, err
		}
	}
	for i := range p.deliveries {
		if d := &p.deliveries[i]; !stated[d.lane.name] && d.hash != 0 {
			c.queues(d.lane.name, d.hash, turn{d.place, seq})
		}
	}
	return p, nil
}

// queues notes a delivery with an order key that is not settled and has not stepped aside.
func (c *carrier) queues(destination string, hash uint64, t turn) {
	k := busyKey{destination, hash}
	if !c.busy[k] {
		return
	}
	if owner, ok := c.owners[k]; !ok || t.before(owner) {
		c.owners[k] = t
	}
}

// state brings a delivery from its beginning to the state it had.
func (c *carrier) state(p *pending, d *carriedDelivery) error {
	l, err := c.s.lanes.get(d.destination, p.seq)
	if err != nil {
		return err
	}
	before, orderKey := record{}, d.record.orderKey
	for i := range p.deliveries {
		if n := &p.deliveries[i]; n.lane == l {
			orderKey = n.orderKey
			before = initial(queue.NewDelivery{
				Destination: l.name, OrderKey: n.orderKey, NotBefore: fromNanos(n.wanted), OrderAt: fromNanos(n.place)}, p.enqueued)
		}
	}
	hash := hashOrder(orderKey)
	after := c.settled(d.record)
	if !after.state.Settled() && hash != 0 && !after.aside {
		c.queues(l.name, hash, after.turn(p.seq))
	}
	attempts := &op{apart: true}
	for number, value := range d.attempts {
		attempts.put(attemptKey(p.seq, l.id, number), value)
	}
	o := &op{lane: l}
	l.change(o, p.seq, hash, before, after)
	delete(l.recent, p.seq) // nobody reads it from memory
	if err := c.a.add(attempts); err != nil {
		return err
	}
	return c.a.add(o)
}

// settled gives a record the place that it has in the new store. What was parked is scheduled: the owner of its order key, who has a row, keeps it waiting.
func (c *carrier) settled(r record) record {
	if r.state.Settled() {
		r.place, r.due = nowhere, 0
		return r
	}
	if r.due == 0 {
		r.due = max(r.wanted, c.now)
	}
	r.state, r.place = queue.StatePending, inScheduled
	return r
}

// row carries a row that stands for itself.
func (c *carrier) row(key, value []byte) error {
	if err := c.room.take(len(key) + len(value)); err != nil {
		return err
	}
	o := &op{}
	o.put(key, append([]byte{}, value...))
	return c.a.add(o)
}

// claim carries a dedup claim of an event that is not carried.
func (c *carrier) claim(old *loggedClaim) error {
	if err := errors.Join(c.room.take(smallRowMost), c.a.room(smallRows(2))); err != nil {
		return err
	}
	claim := dedupClaim{hash: old.hash, until: old.until}
	c.s.buckets.note(dayOf(c.now), &claim)
	return errors.Join(c.a.addClaim(old.seq, &claim), c.seal())
}

// seal sorts the claims of a bucket that gets no more.
func (c *carrier) seal() error {
	b, ok := c.s.buckets.unsealed()
	if !ok {
		return nil
	}
	write := func(o *op) error {
		for _, m := range o.muts {
			if err := c.room.take(len(m.key) + len(m.value)); err != nil {
				return err
			}
		}
		if err := errors.Join(c.a.add(o), c.a.commit()); err != nil {
			return err
		}
		c.a.tx = c.a.begin()
		return nil
	}
	if err := write(&op{}); err != nil { // its last claims
		return err
	}
	return c.s.seal(b, write)
}

// source carries what a source has brought in over its life.
func (c *carrier) source(name string, row *sourceRow) error {
	if err := c.a.room(sourceCost(name)); err != nil {
		return err
	}
	now := c.a.state.sources[name]
	if now == nil {
		now = &sourceRow{}
		c.a.state.sources[name] = now
	}
	now.accepted, now.last = max(now.accepted, row.accepted+c.late[name]), max(now.last, row.last)
	c.a.tx.source(name)
	return nil
}

// finish writes what comes last, and closes the store. The next event gets a number that was never used.
func (c *carrier) finish(last uint64) error {
	for k, owner := range c.owners {
		l := c.s.lanes.find(k.destination)
		o := &op{lane: l}
		l.writeOwner(o, &orderKey{owner: owner, low: owner.next()}, k.hash)
		if err := c.a.add(o); err != nil {
			return err
		}
	}
	for name, n := range c.lanes {
		l, err := c.s.lanes.get(name, c.a.state.seq+1)
		if err != nil {
			return err
		}
		if err := c.a.room(laneCost(name)); err != nil {
			return err
		}
		row := c.a.laneRow(l)
		row.delivered, row.cancelled = max(row.delivered, n.delivered), max(row.cancelled, n.cancelled)
		c.a.tx.lane(l)
	}
	e := encoder{}
	e.fixed(c.first)
	if err := c.row(keyPruner, e.b); err != nil {
		return err
	}
	c.a.state.seq = max(last, uint64(c.now/1000)-1)
	if err := c.a.commit(); err != nil {
		return err
	}
	c.s.promised.Store(c.a.state.seq)
	return c.close()
}

// close closes what newCarrier opened. The lock stays with whoever gave it.
func (c *carrier) close() error {
	lock := c.s.lock
	defer func() { c.s.lock = lock }()
	c.s.snaps.close()
	if c.s.db == nil {
		return nil
	}
	db := c.s.db
	c.s.db = nil
	err := guarded(db.Close)
	if failed := c.s.Failure(); failed != nil {
		err = errors.Join(err, failed)
	}
	if err == nil && c.a != nil && c.s.promised.Load() > 0 {
		err = c.s.writeMark()
	}
	return err
}
