package badgerstore

import (
	"fmt"

	"github.com/dgraph-io/badger/v4"
)

// transaction is what the applier is going to commit next.
type transaction struct {
	s       *Store
	txn     *badger.Txn
	roomy   cost   // what it takes
	used    cost   // of that
	later   cost   // what finish will take
	last    uint64 // last operation that is in it as a whole
	lanes   map[*lane]*laneChanges
	unseen  []*lane // those that parts of an event before it have changed
	sources map[string]struct{}
	buckets map[uint32]struct{}
	claims  map[*claimLog][]loggedClaim
	waiting []chan error
	events  int64 // change of the number of stored events
}

type laneChanges struct {
	recents []uint64
	blocks  map[uint64]struct{}
}

func (a *applier) begin() *transaction {
	return &transaction{
		s:     a.s,
		txn:   a.s.db.NewTransaction(true),
		roomy: a.s.roomy(),
		later: smallRows(1), // what is applied
		last:  a.visible.Load(),
		lanes: map[*lane]*laneChanges{}, sources: map[string]struct{}{}, buckets: map[uint32]struct{}{},
		claims: map[*claimLog][]loggedClaim{},
	}
}

func (t *transaction) empty() bool {
	return t.used.rows == 0 && len(t.lanes)+len(t.sources)+len(t.buckets) == 0 && t.events == 0
}

// takes reports whether there is room for more.
func (t *transaction) takes(more cost) bool {
	more.add(t.used)
	more.add(t.later)
	return more.rows < t.roomy.rows && more.bytes < t.roomy.bytes && (more.large < t.roomy.large || t.used.large == 0)
}

func (t *transaction) discard() { t.txn.Discard() }

// tell says to everybody who waits that it is done.
func (t *transaction) tell() {
	for _, w := range t.waiting {
		w <- nil
	}
	t.waiting = nil
}

func (t *transaction) lane(l *lane) *laneChanges {
	c := t.lanes[l]
	if c == nil {
		c = &laneChanges{blocks: map[uint64]struct{}{}}
		t.later.add(laneCost(l.name))
		t.lanes[l] = c
	}
	return c
}

func (t *transaction) source(name string) {
	if _, ok := t.sources[name]; !ok {
		t.later.add(sourceCost(name))
		t.sources[name] = struct{}{}
	}
}

func (t *transaction) bucket(number uint32) {
	if _, ok := t.buckets[number]; !ok {
		t.later.add(smallRows(1))
		t.buckets[number] = struct{}{}
	}
}

func (t *transaction) set(key, value []byte) error {
	t.used.add(t.s.mutCost(len(key), len(value)))
	if value == nil {
		return t.txn.Delete(key)
	}
	return t.txn.SetEntry(&badger.Entry{Key: key, Value: value})
}

// room commits the transaction and begins a new one if the next change does not fit.
func (a *applier) room(next cost) error {
	if a.tx.empty() || a.tx.takes(next) {
		return nil
	}
	return a.renew()
}

func (a *applier) renew() error {
	if err := a.commit(); err != nil {
		return err
	}
	a.tx = a.begin()
	return nil
}

// addOp writes what a lane has decided.
func (a *applier) addOp(o *op) error {
	for _, m := range o.muts {
		if err := a.tx.set(m.key, m.value); err != nil {
			return fmt.Errorf("apply: %w", err)
		}
	}
	a.state.events += o.events
	a.tx.events += o.events
	for _, p := range o.pruned {
		a.addPruned(p)
	}
	if o.endBucket != 0 {
		delete(a.state.buckets, o.endBucket)
		delete(a.tx.buckets, o.endBucket)
		if err := a.tx.set(bucketKey(o.endBucket), nil); err != nil {
			return fmt.Errorf("apply: %w", err)
		}
	}
	if o.sealed.number != 0 {
		bucket := a.state.buckets[o.sealed.number]
		bucket.form, bucket.pages = formPages, o.sealed.pages
		a.state.buckets[o.sealed.number] = bucket
		a.tx.bucket(o.sealed.number)
	}
	a.state.kept |= o.kept
	if o.lane == nil {
		return nil
	}
	row := a.laneRow(o.lane)
	row.add(o.count)
	if m := o.marks; m != nil {
		row.lowFIFO, row.lowDue, row.lowOpen = m.fifo, m.due, m.open
	}
	if o.minDue != 0 {
		row.lowDue = min(row.lowDue, o.minDue)
	}
	if o.minSeq != 0 {
		row.lowOpen = min(row.lowOpen, o.minSeq)
	}
	changes := a.tx.lane(o.lane)
	changes.recents = append(changes.recents, o.recents...)
	for _, seq := range o.left {
		a.touch(o.lane, blockOf(seq)).left |= bitOf(seq)
	}
	return nil
}

// addPruned forgets a delivery. Its block may still have a row, because of others; there it must not look as if it had never left.
func (a *applier) addPruned(p prunedDelivery) {
	if p.dead {
		a.laneRow(p.lane).dead--
	}
	a.tx.lane(p.lane)
	number := blockOf(p.seq)
	if b := a.block(p.lane, number); b.present&bitOf(p.seq) != 0 {
		a.touch(p.lane, number)
		b.remove(p.seq)
		b.left &^= bitOf(p.seq)
		b.dirty = true
	} else if !b.row {
		a.touch(p.lane, number) // it is not needed any more
	}
}

// touch returns a block of which the transaction is going to write the row.
func (a *applier) touch(l *lane, number uint64) *openBlock {
	b := a.block(l, number)
	c := a.tx.lane(l)
	if _, ok := c.blocks[number]; !ok {
		a.tx.later.add(blockCost(&b.block))
		c.blocks[number] = struct{}{}
	}
	return b
}

// finish writes the rows that a transaction has once.
func (a *applier) finish(t *transaction) error {
	for l, c := range t.lanes {
		if err := a.finishLane(t, l, c); err != nil {
			return fmt.Errorf("apply: %w", err)
		}
	}
	for name := range t.sources {
		key := sourceKey(name)
		if err := t.set(key, seal(key, a.state.sources[name].encode())); err != nil {
			return fmt.Errorf("apply: %w", err)
		}
	}
	for l, claims := range t.claims {
		if err := l.writeClaims(t, claims); err != nil {
			return fmt.Errorf("apply dedup claims: %w", err)
		}
	}
	for bucket := range t.buckets {
		key := bucketKey(bucket)
		if err := t.set(key, seal(key, a.state.buckets[bucket].encode())); err != nil {
			return fmt.Errorf("apply: %w", err)
		}
	}
	a.state.commits++
	e := encoder{}
	e.fixed(a.state.seq)
	e.fixed(a.state.commits)
	e.int(a.state.events)
	e.byte(byte(a.state.kept))
	e.int(a.s.latest.Load())
	if err := t.set(keyApplied, seal(keyApplied, e.b)); err != nil {
		return fmt.Errorf("apply: %w", err)
	}
	return nil
}

func (a *applier) finishLane(t *transaction, l *lane, c *laneChanges) error {
	for number := range c.blocks {
		id := blockID{l.id, number}
		b := a.blocks[id]
		key := fifoKey(l.id, number)
		switch gone := b.left&b.present == b.present; {
		case !gone && b.dirty:
			if err := t.set(key, seal(key, b.encode())); err != nil {
				return err
			}
			b.dirty, b.row = false, true
		case gone && b.row:
			if err := t.set(key, nil); err != nil {
				return err
			}
			b.row = false
		}
		// What is still growing, or has partly left, is likely to be needed again.
		if b.left&b.present == b.present && number < blockOf(a.state.seq) || number < blockOf(a.state.seq) && b.left == 0 {
			delete(a.blocks, id)
		}
	}
	row := a.laneRow(l)
	key := destKey(l.id)
	return t.set(key, seal(key, row.encode()))
}
