package badgerstore

import (
	"fmt"

	"github.com/dgraph-io/badger/v4"
)

// transaction is what the applier is going to commit next.
type transaction struct {
	txn     *badger.Txn
	rows    int
	size    int    // of everything
	large   int    // of what goes to the value log
	last    uint64 // last operation that is in it as a whole
	lanes   map[*lane]*laneChanges
	sources map[string]struct{}
	buckets map[uint32]struct{}
	waiting []chan error
	events  int64 // change of the number of stored events
	hashes  int   // order keys added to rows of the FIFO
}

type laneChanges struct {
	recents []uint64
	blocks  map[uint64]struct{}
}

func (a *applier) begin() *transaction {
	return &transaction{
		txn:   a.s.db.NewTransaction(true),
		last:  a.visible.Load(),
		lanes: map[*lane]*laneChanges{}, sources: map[string]struct{}{}, buckets: map[uint32]struct{}{},
	}
}

func (t *transaction) empty() bool { return t.rows == 0 && len(t.lanes) == 0 && t.events == 0 }

// small is what counts against Badger's limit for a transaction.
func (t *transaction) small() int { return t.size - t.large + 16*t.rows }

// blocks is the number of rows of the FIFO that finish writes at most.
func (t *transaction) blocks() (n int) {
	for _, c := range t.lanes {
		n += len(c.blocks)
	}
	return n
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
		t.lanes[l] = c
	}
	return c
}

func (t *transaction) set(key, value []byte) error {
	t.rows++
	t.size += len(key) + len(value)
	if value == nil {
		return t.txn.Delete(key)
	}
	return t.txn.SetEntry(&badger.Entry{Key: key, Value: value})
}

// maxLarge bounds the bytes of one transaction that go to the value log, which Badger holds in memory twice.
const maxLarge = 8 << 20

// room commits the transaction and begins a new one if the next change might not fit.
func (a *applier) room(rows, size int) error {
	t := a.tx
	db := a.s.db
	if t.rows == 0 && len(t.lanes) == 0 {
		return nil
	}
	// What finish adds, and what the change itself adds at most.
	rows += t.rows + 3*len(t.lanes) + t.blocks() + len(t.sources) + 16
	bytes := t.small() + 160*len(t.lanes) + 96*t.blocks() + t.hashes*20 + 64*len(t.sources) + 1024
	bytes += min(size, a.s.o.valueThreshold()) + 64*rows/4
	if int64(rows) < db.MaxBatchCount()*8/10 && int64(bytes) < db.MaxBatchSize()*8/10 && t.large+size < maxLarge {
		return nil
	}
	if err := a.commit(); err != nil {
		return err
	}
	a.tx = a.begin()
	return nil
}

// addEvent writes an event that is in the journal.
func (a *applier) addEvent(p *pending) error {
	t := a.tx
	if err := t.set(eventKey(p.seq), p.record); err != nil {
		return fmt.Errorf("apply event: %w", err)
	}
	if len(p.record) >= a.s.o.valueThreshold() {
		t.large += len(p.record)
	}
	if p.claim.until != 0 {
		key := claimKey(p.claim.bucket, p.claim.hash)
		if err := t.set(key, seal(key, encodeClaim(p.seq, p.claim.until))); err != nil {
			return fmt.Errorf("apply dedup claim: %w", err)
		}
		if p.claim.until > a.state.buckets[p.claim.bucket] {
			a.state.buckets[p.claim.bucket] = roundUntil(p.claim.until)
			t.buckets[p.claim.bucket] = struct{}{}
		}
	}
	for i := range p.deliveries {
		if err := a.addDelivery(p, &p.deliveries[i]); err != nil {
			return err
		}
	}
	src := a.state.sources[p.ev.Source]
	if src == nil {
		src = &sourceRow{}
		a.state.sources[p.ev.Source] = src
	}
	src.accepted++
	src.last = max(src.last, nanos(p.ev.ReceivedAt))
	t.sources[p.ev.Source] = struct{}{}
	a.state.events++
	a.state.seq = p.seq
	return a.addToZone(p)
}

func (a *applier) addDelivery(p *pending, d *pendingDelivery) error {
	row := a.laneRow(d.lane)
	changes := a.tx.lane(d.lane)
	row.pending++
	if !d.timed {
		b := a.block(d.lane, blockOf(p.seq))
		b.add(p.seq, d.hash, d.at, p.enqueued)
		changes.blocks[blockOf(p.seq)] = struct{}{}
		if d.hash != 0 {
			a.tx.hashes++
		}
		return nil
	}
	key := scheduledKey(d.lane.id, d.at, p.seq)
	if err := a.tx.set(key, seal(key, scheduledValue(d.entry(p.seq)))); err != nil {
		return fmt.Errorf("apply delivery: %w", err)
	}
	key = openKey(d.lane.id, p.seq)
	if err := a.tx.set(key, seal(key, nil)); err != nil {
		return fmt.Errorf("apply delivery: %w", err)
	}
	row.lowDue, row.lowOpen = min(row.lowDue, d.at), min(row.lowOpen, p.seq)
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
		a.block(o.lane, blockOf(seq)).left |= bitOf(seq)
		changes.blocks[blockOf(seq)] = struct{}{}
	}
	return nil
}

// addPruned forgets a delivery. Its block may still have a row, because of others; there it must not look as if it had never left.
func (a *applier) addPruned(p prunedDelivery) {
	if p.dead {
		a.laneRow(p.lane).dead--
	}
	changes := a.tx.lane(p.lane)
	number := blockOf(p.seq)
	if b := a.block(p.lane, number); b.present&bitOf(p.seq) != 0 {
		b.remove(p.seq)
		b.left &^= bitOf(p.seq)
		b.dirty = true
		changes.blocks[number] = struct{}{}
	} else if !b.row {
		changes.blocks[number] = struct{}{} // it is not needed any more
	}
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
	for bucket := range t.buckets {
		e := encoder{}
		e.int(a.state.buckets[bucket])
		if err := t.set(bucketKey(bucket), seal(bucketKey(bucket), e.b)); err != nil {
			return fmt.Errorf("apply: %w", err)
		}
	}
	a.state.commits++
	e := encoder{}
	e.fixed(a.state.seq)
	e.fixed(a.state.commits)
	e.int(a.state.events)
	e.byte(byte(a.state.kept))
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
