package badgerstore

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// applier carries everything into Badger, in the order in which it was pushed, in transactions as large as what has come together.
type applier struct {
	s *Store

	mu      sync.Mutex
	queue   []*op
	weight  int // roughly the rows that the queue will write
	last    uint64
	urgent  bool
	loose   bool // the queue has something that is not in the journal
	ending  bool
	wake    chan struct{} // cap 1
	stopped chan struct{}

	commits atomic.Uint64 // transactions so far
	events  atomic.Int64  // that Badger holds
	visible atomic.Uint64 // last operation that the newest snapshot shows
	applied atomic.Uint64 // last event that Badger holds

	// Only the applier's goroutine:
	state  appliedState
	blocks map[blockID]*openBlock
	tx     *transaction
	zone   freshZone
	begun  uint64 // the event of which there is a part from before the store was opened; 0: none
}

const (
	applyDelay   = 20 * time.Millisecond  // how long a small queue waits for more
	journalDelay = 100 * time.Millisecond // the same if all of it is in the journal: nothing is lost by waiting, and slow disks have more time for the journal
	applyWeight  = 4096                   // a queue of that many rows does not wait
)

func newApplier(s *Store, state appliedState) *applier {
	a := &applier{
		s: s, state: state, blocks: map[blockID]*openBlock{},
		wake: make(chan struct{}, 1), stopped: make(chan struct{}),
	}
	a.applied.Store(state.seq)
	a.events.Store(state.events)
	a.commits.Store(state.commits)
	s.latest.Store(state.latest)
	if state.kept&keptPart != 0 {
		a.begun = state.seq + 1
	}
	return a
}

// push queues an operation and numbers it.
func (a *applier) push(o *op) {
	weight := o.weight() // it is the applier's from here on
	a.mu.Lock()
	a.last++
	o.n = a.last
	a.queue = append(a.queue, o)
	was := a.weight
	a.weight += weight
	urgent := o.done != nil && !a.urgent
	a.urgent = a.urgent || o.done != nil
	loose := o.group == nil && !a.loose
	a.loose = a.loose || o.group == nil
	a.mu.Unlock()
	if was == 0 || urgent || loose || was < applyWeight && was+weight >= applyWeight {
		a.signal()
	}
}

// pushAll queues operations that depend on each other in their order, and waits until they are durable and visible.
func (a *applier) pushAll(ops []*op) error {
	if len(ops) == 0 {
		return nil
	}
	last := ops[len(ops)-1]
	last.done = make(chan error, 1)
	for _, o := range ops {
		a.push(o)
	}
	return <-last.done
}

func (o *op) weight() int {
	if o.group != nil {
		return 4 * len(o.group.pends)
	}
	return len(o.muts) + 1
}

func (a *applier) signal() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

func (a *applier) appliedSeq() uint64 { return a.applied.Load() }

// flush waits until everything that was pushed before is durable and visible.
func (a *applier) flush() chan error {
	o := &op{done: make(chan error, 1)}
	a.push(o)
	return o.done
}

// close lets the applier finish its queue and waits for it.
func (a *applier) close() {
	a.mu.Lock()
	a.ending = true
	a.mu.Unlock()
	a.signal()
	<-a.stopped
}

func (a *applier) run() {
	defer close(a.stopped)
	timer := time.NewTimer(applyDelay)
	defer timer.Stop()
	for {
		<-a.wake
		if !a.gather(timer) {
			return
		}
	}
}

// gather waits for the queue to be worth a transaction and applies it, until it is empty. It returns false when the applier is to end.
func (a *applier) gather(timer *time.Timer) bool {
	for {
		a.mu.Lock()
		n, now, ending := len(a.queue), a.urgent || a.ending || a.weight >= applyWeight, a.ending
		delay := journalDelay
		if a.loose {
			delay = applyDelay
		}
		a.mu.Unlock()
		if n == 0 {
			return !ending
		}
		if !now {
			timer.Reset(delay)
			select {
			case <-timer.C:
			case <-a.wake:
				continue
			}
		}
		a.mu.Lock()
		batch := a.queue
		a.queue, a.weight, a.urgent, a.loose = nil, 0, false, false
		a.mu.Unlock()
		a.applyBatch(batch)
	}
}

// applyBatch writes operations. After a failure nothing is written any more, and everybody who waits is told.
func (a *applier) applyBatch(batch []*op) {
	if err := a.awaitRoom(batch); err != nil {
		a.s.leaveOut(err)
	}
	a.tx = a.begin()
	for _, o := range batch {
		if a.s.Failure() != nil {
			break
		}
		if err := a.add(o); err != nil {
			a.s.fail(err)
			break
		}
		a.tx.last = o.n
		if o.done != nil && !o.told {
			a.tx.waiting = append(a.tx.waiting, o.done)
		}
	}
	if a.s.Failure() == nil {
		if err := a.commit(); err != nil {
			a.s.fail(err)
		}
	}
	if a.s.Failure() != nil {
		a.tx.discard()
		err := a.s.usable()
		for _, o := range batch {
			if o.done != nil {
				select {
				case o.done <- err:
				default: // it was told before that it succeeded
				}
			}
		}
		a.s.releaseFailed()
	}
}

// add writes one operation into the transaction; a group of events, and rows that stand each for itself, may take several transactions.
func (a *applier) add(o *op) error {
	if o.group != nil {
		for _, p := range o.group.pends {
			if err := a.addEvent(p); err != nil {
				return err
			}
		}
		return nil
	}
	if o.apart {
		if err := a.addApart(o.muts); err != nil {
			return err
		}
		o.muts = nil
	}
	if err := a.room(a.opCost(o)); err != nil {
		return err
	}
	return a.addOp(o)
}

// commit makes the transaction durable, shows it to everybody, and gives back what was kept for it.
func (a *applier) commit() error {
	t := a.tx
	if t.empty() {
		t.discard()
		t.tell()
		return nil
	}
	if err := a.write(t); err != nil {
		return err
	}
	a.publish(t)
	t.tell()
	return nil
}

// write makes a transaction durable.
func (a *applier) write(t *transaction) error {
	if err := a.finish(t); err != nil {
		return err
	}
	if err := t.txn.Commit(); err != nil {
		return err
	}
	a.s.disk.wrote(t.used.bytes + t.used.large)
	// Badger only logs a failed sync of its value log; the logger has made the store fail then.
	return a.s.Failure()
}

func (a *applier) publish(t *transaction) {
	s := a.s
	visible := max(t.last, a.visible.Load())
	s.snaps.publish(&snapshot{txn: s.db.NewTransaction(false), op: visible, seq: a.state.seq, events: a.state.events})
	for l, claims := range t.claims {
		l.note(claims)
	}
	a.visible.Store(visible)
	a.applied.Store(a.state.seq)
	a.events.Store(a.state.events)
	a.commits.Store(a.state.commits)
	keep := s.hotShare()
	for l, lt := range t.lanes {
		l.seen(lt.recents, horizon{visible, a.state.seq}, keep)
	}
	for _, l := range t.unseen {
		l.seen(nil, horizon{visible, a.state.seq}, keep)
	}
	s.applied(a.state.seq)
	if s.journal == nil {
		return // it is being read
	}
	if _, waits := s.buckets.unsealed(); waits {
		select {
		case s.toSeal <- struct{}{}:
		default:
		}
	}
	if err := s.journal.release(a.state.seq); err != nil {
		s.fail(err)
	}
}

// laneRow returns what is kept of a destination.
func (a *applier) laneRow(l *lane) *laneRow {
	r := a.state.lanes[l.id]
	if r == nil {
		r = &laneRow{name: l.name, lowFIFO: blockOf(a.state.seq), lowDue: math.MaxInt64, lowOpen: math.MaxUint64}
		a.state.lanes[l.id] = r
	}
	return r
}

// hotShare is how much a lane may keep of what is in Badger already.
func (s *Store) hotShare() int {
	const total, least, most = 16 << 20, 64 << 10, 2 << 20
	return min(max(total/max(s.lanes.count(), 1), least), most)
}
