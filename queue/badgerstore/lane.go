package badgerstore

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
)

// lane is what the store keeps in memory about a destination: a window on its FIFO, a window on its schedule, its leases, and the
// order keys that are busy. None of them grows with the backlog.
type lane struct {
	name string
	id   uint16

	pending    atomic.Int64 // leased ones included
	woken      uint64       // number of the last group that woke it; only the leader's
	maxPending atomic.Int64 // 0: no limit

	hotMu    sync.Mutex
	hot      []fresh // the newest deliveries of the FIFO, oldest first
	hotBytes int
	hotFrom  uint64  // every delivery from this event on is in hot
	hotTimed []entry // new deliveries for the schedule

	mu       sync.Mutex
	cursor   uint64  // the FIFO before this event has been handed out
	loaded   []fresh // read from the FIFO's rows, not handed out yet
	schedule schedule
	leases   map[uint64]*lease
	lapsed   map[uint64]*lease // ran out, but nobody has claimed the delivery again
	recalled map[uint64]*lease // of cancelled deliveries whose attempt may be under way; they keep their order keys taken
	expiry   expiryHeap
	keys     map[uint64]*orderKey
	holding  map[*orderKey]struct{} // those that hold entries
	idle     []uint64               // keys that nobody owns, until the snapshot shows it
	owners   int64                  // rows in the owner table
	recent   map[uint64]recent

	delivered, dead, cancelled int64

	lowOpen   uint64 // no rows of the open table below
	marked    marks  // as they were queued last
	oldestSeq uint64 // whose time of arrival is oldestAt
	oldestAt  time.Time
	known     bool   // it had deliveries before the store was opened
	joined    uint64 // zone of which a row says that it got a delivery later,
	ended     uint64 // and one of which a row says that a delivery was cancelled
}

// fresh is a delivery in the FIFO to which nothing has happened.
type fresh struct {
	seq      uint64
	hash     uint64
	at       int64 // not before; only with an order key
	since    int64
	ev       *queue.Event // nil: to be read
	orderKey string       // set if ev is
	wanted   int64        // set if ev is
	bytes    int
}

// lease is a delivery that was handed out.
type lease struct {
	seq    uint64
	hash   uint64
	token  uint64
	until  int64
	since  int64
	record record
}

// recent is the state of a delivery that Badger's newest snapshot does not show yet.
type recent struct {
	record record
	op     uint64
}

const maxName = 255 // bytes of the name of a source or a destination

type lanes struct {
	mu     sync.RWMutex
	byName map[string]*lane
	byID   []*lane // the index is the id; nil where none is known
	max    map[string]int64
}

func newLane(name string, id uint16) *lane {
	return &lane{
		name: name, id: id,
		schedule: schedule{complete: true},
		leases:   map[uint64]*lease{},
		lapsed:   map[uint64]*lease{},
		recalled: map[uint64]*lease{},
		keys:     map[uint64]*orderKey{},
		holding:  map[*orderKey]struct{}{},
		recent:   map[uint64]recent{},
	}
}

// find returns a lane; nil if there is none.
func (l *lanes) find(name string) *lane {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.byName[name]
}

func (l *lanes) withID(id uint16) *lane {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if int(id) < len(l.byID) {
		return l.byID[id]
	}
	return nil
}

func (l *lanes) count() int {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return len(l.byName)
}

// all returns the lanes that have or had deliveries.
func (l *lanes) all() []*lane {
	l.mu.RLock()
	defer l.mu.RUnlock()
	out := make([]*lane, 0, len(l.byName))
	for _, d := range l.byName {
		out = append(out, d)
	}
	return out
}

// get returns the lane of a destination and makes it if needed. from is the number of the next event. The id becomes durable with the
// first row that uses it.
func (l *lanes) get(name string, from uint64) (*lane, error) {
	if d := l.find(name); d != nil {
		return d, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if d := l.byName[name]; d != nil {
		return d, nil
	}
	if name == "" || len(name) > maxName {
		return nil, fmt.Errorf("name of a destination has %d bytes (want 1 to %d)", len(name), maxName)
	}
	if len(l.byID) > math.MaxUint16 {
		return nil, errors.New("the store knows 65536 destinations, which is as many as it can")
	}
	d := newLane(name, uint16(len(l.byID)))
	d.hotFrom, d.cursor, d.lowOpen = from, from, from
	l.add(d)
	return d, nil
}

func (l *lanes) add(d *lane) {
	for int(d.id) >= len(l.byID) {
		l.byID = append(l.byID, nil)
	}
	l.byID[d.id] = d
	l.byName[d.name] = d
	if limit, ok := l.max[d.name]; ok {
		d.maxPending.Store(limit)
	} else {
		d.maxPending.Store(l.max[""])
	}
}

// full reports whether the lane takes no more deliveries.
func (l *lane) full() bool {
	limit := l.maxPending.Load()
	return limit > 0 && l.pending.Load() >= limit
}

// push takes in deliveries whose events have just become durable.
func (l *lane) push(f fresh) {
	l.hotMu.Lock()
	l.hot = append(l.hot, f)
	l.hotBytes += f.bytes
	l.hotMu.Unlock()
}

func (l *lane) pushTimed(e entry) {
	l.hotMu.Lock()
	l.hotTimed = append(l.hotTimed, e)
	l.hotMu.Unlock()
}

const hotEntries = 512

// trim forgets the oldest of the new deliveries that a snapshot with the events up to seq shows, as far as they are more than keep bytes.
// They are read from their rows when their turn comes. The caller holds l.mu.
func (l *lane) trim(seq uint64, keep int) {
	l.hotMu.Lock()
	defer l.hotMu.Unlock()
	n := 0
	for n < len(l.hot) && l.hot[n].seq <= seq && (len(l.hot)-n > hotEntries || l.hotBytes > keep) {
		l.hotBytes -= l.hot[n].bytes
		l.hotFrom = l.hot[n].seq + 1
		n++
	}
	if n > 0 {
		l.hot = slices.Delete(l.hot, 0, n)
	}
}

// takeHot returns the oldest of the new deliveries from the cursor on; false if there is none, or if older ones have to be read first.
func (l *lane) takeHot(take bool) (f fresh, from uint64, ok bool) {
	l.hotMu.Lock()
	defer l.hotMu.Unlock()
	if l.cursor < l.hotFrom || len(l.hot) == 0 {
		return fresh{}, l.hotFrom, false
	}
	f = l.hot[0]
	if take {
		l.hot[0] = fresh{}
		l.hot = l.hot[1:]
		l.hotBytes -= f.bytes
		l.hotFrom = f.seq + 1
	}
	return f, l.hotFrom, true
}

// withdraw takes a delivery out of the window on the FIFO, if it is there, because something else has happened to it.
func (l *lane) withdraw(seq uint64) {
	l.loaded = slices.DeleteFunc(l.loaded, func(f fresh) bool { return f.seq == seq })
	l.hotMu.Lock()
	defer l.hotMu.Unlock()
	l.hot = slices.DeleteFunc(l.hot, func(f fresh) bool {
		if f.seq == seq {
			l.hotBytes -= f.bytes
		}
		return f.seq == seq
	})
}

// state returns the record of a delivery, false if nothing has happened to it; its lease wins over what is on disk. The caller holds l.mu.
func (l *lane) state(sn *snapshot, seq uint64) (record, bool, error) {
	if r, ok := l.recent[seq]; ok {
		return r.record, true, nil
	}
	return sn.record(seq, l.id)
}

// seen forgets what is on disk and shown by the newest snapshot.
func (l *lane) seen(seqs []uint64, by horizon, keep int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.trim(by.seq, keep)
	for _, seq := range seqs {
		if r, ok := l.recent[seq]; ok && r.op <= by.op {
			delete(l.recent, seq)
		}
	}
	l.forgetIdleKeys(by.op)
	l.drainTimed(by)
}

// drainTimed takes the new deliveries that start in the schedule into the window on it. The caller holds l.mu.
func (l *lane) drainTimed(seen horizon) {
	l.hotMu.Lock()
	timed := l.hotTimed
	l.hotTimed = nil
	l.hotMu.Unlock()
	for _, e := range timed {
		l.lowOpen = min(l.lowOpen, e.seq)
		l.schedule.put(e, seen)
	}
}

// waiting calls fn for each delivery that has been met and is not leased: those of the window on the schedule, and those that wait for a leased one of their key. The caller holds l.mu.
func (l *lane) waiting(fn func(entry)) {
	for _, e := range l.schedule.heap {
		fn(e)
	}
	for k := range l.holding {
		for _, e := range k.held {
			fn(e)
		}
	}
}
