package badgerstore

import (
	"errors"
	"fmt"
	"sync"

	"github.com/dgraph-io/badger/v4"

	"github.com/sluice-webhooks/sluice/queue"
)

// snapshot is a read-only transaction that many share. Badger makes each new one wait for the commit that is under way, so
// a fresh one per read would stall every read behind the applier.
type snapshot struct {
	txn  *badger.Txn
	op   uint64 // last of the applier's operations it shows
	seq  uint64 // last event it shows
	refs int

	events int64 // that it shows

	panicked func(reason any) error // see guard

	mark   sync.Once
	marked uint64 // see prunedTo
}

// snapshots holds the newest snapshot; older ones live as long as somebody reads in them.
type snapshots struct {
	mu       sync.Mutex
	now      *snapshot
	panicked func(reason any) error // see Store.panicked
}

func (s *snapshots) get() *snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now.refs++
	return s.now
}

func (s *snapshots) put(n *snapshot) {
	s.mu.Lock()
	n.refs--
	last := n.refs == 0
	s.mu.Unlock()
	if last {
		_ = guarded(func() error { n.txn.Discard(); return nil }) // it panics where an iterator over a broken table could not be closed; that was told
	}
}

// publish makes n the newest.
func (s *snapshots) publish(n *snapshot) {
	n.refs, n.panicked = 1, s.panicked
	s.mu.Lock()
	before := s.now
	s.now = n
	s.mu.Unlock()
	if before != nil {
		s.put(before)
	}
}

// close lets the newest one go. Nobody may read any more.
func (s *snapshots) close() {
	s.mu.Lock()
	now := s.now
	s.now = nil
	s.mu.Unlock()
	if now != nil {
		s.put(now)
	}
}

// read calls fn with the value of a key, which is valid during the call; queue.ErrNotFound if there is none.
func (n *snapshot) read(key []byte, fn func(value []byte) error) (err error) {
	defer n.guard(&err)
	for again := true; ; again = false {
		item, err := n.txn.Get(key)
		if errors.Is(err, badger.ErrKeyNotFound) {
			return queue.ErrNotFound
		}
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
		collected := false
		err = item.Value(func(value []byte) error {
			if collected = again && len(value) == 0; collected {
				return nil
			}
			return fn(value)
		})
		if !collected {
			return err
		}
		// Badger has no error for a value whose file was collected since the look at the row, which now names another one.
	}
}

// row calls fn with a row that was checked against its checksum.
func (n *snapshot) row(key []byte, fn func(value []byte) error) error {
	return n.read(key, func(sealed []byte) error {
		value, ok := unseal(key, sealed)
		if !ok {
			return fmt.Errorf("row of table %q: %w", key[:1], queue.ErrDamaged)
		}
		return fn(value)
	})
}

// guard is deferred around what reads tables of Badger's, which panics over broken ones: then the store has failed, and what was read ends
// there. err is where to say so; nil where the caller does not need to know.
func (n *snapshot) guard(err *error) {
	if reason := recover(); reason != nil {
		failure := n.panicked(reason)
		if err != nil {
			*err = failure
		}
	}
}

// scan calls fn for the keys with a prefix from a key on, in order, until it returns false. Key and item are valid during the call.
func (n *snapshot) scan(prefix, from []byte, fn func(key []byte, item *badger.Item) bool) {
	defer n.guard(nil)
	n.walk(prefix, from, fn)
}

// walk is a scan for those who can do without its rows: over a broken table it panics.
func (n *snapshot) walk(prefix, from []byte, fn func(key []byte, item *badger.Item) bool) {
	it := n.txn.NewIterator(badger.IteratorOptions{Prefix: prefix})
	defer it.Close()
	for it.Seek(from); it.ValidForPrefix(prefix); it.Next() {
		if !fn(it.Item().Key(), it.Item()) {
			return
		}
	}
}

// event reads and checks an event; queue.ErrNotFound, queue.ErrDamaged.
func (n *snapshot) event(seq uint64, whole bool) (e *stored, err error) {
	err = n.read(eventKey(seq), func(rec []byte) error {
		e, err = readEvent(rec, seq, whole)
		return err
	})
	if !errors.Is(err, queue.ErrNotFound) && n.cameBack(seq) {
		return nil, queue.ErrNotFound
	}
	return e, err
}

// eventOf is event for one that a scan has come to.
func (n *snapshot) eventOf(item *badger.Item, seq uint64) (e *stored, err error) {
	err = item.Value(func(rec []byte) error {
		e, err = readEvent(rec, seq, true)
		return err
	})
	if err == nil && n.cameBack(seq) {
		return nil, queue.ErrNotFound
	}
	return e, err
}

func readEvent(rec []byte, seq uint64, whole bool) (*stored, error) {
	if isTombstone(rec) {
		return nil, queue.ErrNotFound
	}
	return decodeEvent(rec, seq, whole)
}

// record reads the state of a delivery; false if nothing has happened to it yet.
func (n *snapshot) record(seq uint64, dest uint16) (r record, ok bool, err error) {
	err = n.row(deliveryKey(seq, dest), func(value []byte) error {
		r, err = decodeRecord(value)
		return err
	})
	if errors.Is(err, queue.ErrNotFound) {
		return record{}, false, nil
	}
	return r, err == nil, err
}
