package badgerstore

import (
	"bytes"
	"errors"
	"math/bits"
	"slices"

	"github.com/dgraph-io/badger/v4"

	"github.com/sluice-webhooks/sluice/queue"
)

// candidates are the numbers of the events that a filter may let through, newest first.
type candidates interface {
	// below returns the greatest one below a limit, which never grows from one call to the next; false if there is none.
	below(limit uint64) (seq uint64, ok bool)
	close()
}

// backward goes back through the keys with a prefix.
type backward struct {
	it     *badger.Iterator
	guard  func(err *error) // see snapshot.guard
	prefix []byte
	sought bool
	ended  bool
}

func (n *snapshot) backward(prefix []byte) backward {
	return backward{it: n.txn.NewIterator(badger.IteratorOptions{Prefix: prefix, Reverse: true}), guard: n.guard, prefix: prefix}
}

func (b *backward) close() { b.it.Close() }

// to moves to the last key that is not after the given one, which is never after the one before; false if there is none. What it returns is valid until
// the next call. Over a broken table it panics, and its callers over a broken key: they defer guard.
func (b *backward) to(key []byte) (*badger.Item, bool) {
	for step := 0; !b.ended; step++ {
		switch {
		case !b.sought || step == 2: // it is not near
			b.sought = true
			b.it.Seek(key)
		case step == 1:
			b.it.Next()
		}
		if !b.it.ValidForPrefix(b.prefix) {
			b.ended = true
			return nil, false
		}
		if item := b.it.Item(); bytes.Compare(item.Key(), key) <= 0 {
			return item, true
		}
	}
	return nil, false
}

// tableRows are the candidates of a table whose keys begin with the numbers of events.
type tableRows struct {
	backward
	lowest uint64                      // there are none before it
	skip   func(row *badger.Item) bool // of rows that do not count; nil: none
}

func (t *tableRows) below(limit uint64) (uint64, bool) {
	defer t.guard(nil)
	if limit <= t.lowest {
		return 0, false
	}
	key := append(key8(t.prefix[0], limit-1), 0xff, 0xff)
	for {
		item, ok := t.to(key)
		if !ok {
			return 0, false
		}
		if t.skip == nil || !t.skip(item) {
			return be.Uint64(item.Key()[1:]), true
		}
		key = append(key[:0], item.Key()...)
		key = key[:lastBefore(key)]
	}
}

// lastBefore makes of a key the greatest one before it among those of its length, and returns its length.
func lastBefore(key []byte) int {
	for i := len(key) - 1; i >= 0; i-- {
		key[i]--
		if key[i] != 0xff {
			break
		}
	}
	return len(key)
}

// openRows are the unsettled deliveries of a destination that have left the FIFO.
type openRows struct {
	backward
	dest uint16
	low  uint64 // no rows before it
}

func (o *openRows) below(limit uint64) (uint64, bool) {
	defer o.guard(nil)
	if limit <= o.low {
		return 0, false
	}
	item, ok := o.to(openKey(o.dest, limit-1))
	if !ok {
		return 0, false
	}
	return be.Uint64(item.Key()[3:]), true
}

// fifoRows are the deliveries of a destination that have not left the FIFO.
type fifoRows struct {
	backward
	sn     *snapshot
	dest   uint16
	low    uint64 // block; no rows before it
	loaded bool
	number uint64 // of the block
	waits  uint64 // its deliveries that have not left
}

func (f *fifoRows) below(limit uint64) (uint64, bool) {
	defer f.guard(nil)
	for limit > f.low<<blockBits {
		number := blockOf(limit - 1)
		if !f.loaded || number < f.number {
			if !f.load(number) {
				return 0, false
			}
		}
		waits := f.waits
		if number == f.number && limit&(1<<blockBits-1) != 0 {
			waits &= bitOf(limit) - 1
		}
		if waits != 0 {
			return f.number<<blockBits | uint64(63-bits.LeadingZeros64(waits)), true
		}
		limit = f.number << blockBits
	}
	return 0, false
}

// load reads the last block that is not after the given one.
func (f *fifoRows) load(number uint64) bool {
	item, ok := f.to(fifoKey(f.dest, number))
	if !ok {
		return false
	}
	key := item.Key()
	f.loaded, f.number, f.waits = true, be.Uint64(key[3:]), ^uint64(0)
	_ = item.Value(func(sealed []byte) error {
		value, ok := unseal(key, sealed)
		if !ok {
			return queue.ErrDamaged
		}
		b, err := decodeBlock(value)
		if err == nil {
			f.waits = b.present
		}
		return err
	}) // of a row that cannot be read every delivery counts: each is looked at
	f.waits &^= f.sn.blockLeft(f.dest, f.number)
	return true
}

// numbers are candidates that are known, in ascending order.
type numbers []uint64

func (l *numbers) below(limit uint64) (uint64, bool) {
	n, _ := slices.BinarySearch(*l, limit)
	if *l = (*l)[:n]; n == 0 {
		return 0, false
	}
	return (*l)[n-1], true
}

func (*numbers) close() {}

// merged are the candidates of several.
type merged []mergedPart

type mergedPart struct {
	candidates
	asked, ended bool
	head         uint64
}

func (m *merged) add(c candidates) { *m = append(*m, mergedPart{candidates: c}) }

func (m merged) below(limit uint64) (best uint64, found bool) {
	for i := range m {
		c := &m[i]
		if !c.ended && (!c.asked || c.head >= limit) {
			var ok bool
			c.head, ok = c.candidates.below(limit)
			c.asked, c.ended = true, !ok
		}
		if !c.ended && (!found || c.head > best) {
			best, found = c.head, true
		}
	}
	return best, found
}

func (m merged) close() {
	for i := range m {
		m[i].close()
	}
}

// lowest returns a number before which no event is stored, and close to the first that is: going back over what was pruned takes long.
func (n *snapshot) lowest() uint64 {
	low := n.prunedTo()
	n.scan([]byte{tabStraggler}, []byte{tabStraggler}, func(key []byte, _ *badger.Item) bool {
		low = min(low, be.Uint64(key[1:]))
		return false
	})
	return low
}

// laneRow reads what is kept of a destination; false if it has no rows yet.
func (n *snapshot) laneRow(dest uint16) (row laneRow, ok bool) {
	err := n.row(destKey(dest), func(value []byte) error {
		r, err := decodeLaneRow(value)
		if err == nil {
			row = *r
		}
		return err
	})
	return row, !errors.Is(err, queue.ErrNotFound) // without its marks everything is gone through
}
