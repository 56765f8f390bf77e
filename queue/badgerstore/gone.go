package badgerstore

import (
	"context"
	"errors"

	"github.com/dgraph-io/badger/v4"

	"github.com/sluice-webhooks/sluice/queue"
)

// What was deleted from the value log may come back. Badger's collector writes the live values of a file again as what they were; a value whose
// deletion is not compacted yet counts as live, so it ends up above its deletion, and when a compaction takes the deletion to the bottom of the tree
// and drops it there, the value is all that is left. The rows of other tables are too small for the value log, so it happens to events and to
// metadata only, and they do not rely on Badger's deletions:
//
//   - An event below the pruner's mark is there only as a straggler, which is a row of its own. Other ones have come back: nobody sees
//     them, and they are deleted again after each compaction of the whole tree.
//   - An event that is pruned before the mark has come to it, and metadata that is deleted, is overwritten with a tombstone of ours. The collector
//     does not bring back what was overwritten. It is deleted once no older version is left that could come back.
var tombstone = []byte{0}

func isTombstone(raw []byte) bool { return len(raw) == 1 && raw[0] == tombstone[0] }

// bury overwrites a row with a tombstone.
func (o *op) bury(key []byte) { o.muts = append(o.muts, mut{key, tombstone}) }

// buried reports whether an event was overwritten with a tombstone.
func (n *snapshot) buried(seq uint64) (buried bool) {
	// One that cannot be read is none.
	_ = n.read(eventKey(seq), func(raw []byte) error {
		buried = isTombstone(raw)
		return nil
	})
	return buried
}

// prunedTo returns the pruner's mark: events below it are pruned or stragglers.
func (n *snapshot) prunedTo() uint64 {
	n.mark.Do(func() {
		// Without the mark everything that is there counts.
		_ = n.row(keyPruner, func(value []byte) error {
			d := decoder{b: value}
			n.marked = d.fixed()
			return nil
		})
	})
	return n.marked
}

// cameBack reports whether an event that is in its table was pruned.
func (n *snapshot) cameBack(seq uint64) bool {
	if seq >= n.prunedTo() {
		return false
	}
	err := n.read(stragglerKey(seq), func([]byte) error { return nil })
	return errors.Is(err, queue.ErrNotFound)
}

// gone reports whether a row of any table was deleted and is there all the same.
func (n *snapshot) gone(key, value []byte) bool {
	switch {
	case key[0] == tabEvent && len(key) == 9:
		return isTombstone(value) || n.cameBack(be.Uint64(key[1:]))
	case key[0] == tabUser:
		return isTombstone(value)
	}
	return false
}

// sweepStep is how many events a sweep looks at between two waits for the applier.
const sweepStep = 4096

// sweepEvents deletes the events again that came back. The tree has just been compacted, so there are no deletions to step over on the way.
func (s *Store) sweepEvents(ctx context.Context) error {
	from := uint64(0)
	for more := true; more; {
		if err := ctx.Err(); err != nil {
			return err
		}
		o := &op{apart: true, done: make(chan error, 1)}
		sn := s.snaps.get()
		looked := 0
		more = false
		sn.scan([]byte{tabEvent}, eventKey(from), func(key []byte, _ *badger.Item) bool {
			seq := be.Uint64(key[1:])
			if seq >= sn.prunedTo() {
				return false
			}
			if sn.cameBack(seq) {
				o.del(eventKey(seq))
			}
			from = seq + 1
			looked++
			more = looked == sweepStep
			return !more
		})
		s.snaps.put(sn)
		if len(o.muts) == 0 {
			continue
		}
		s.applier.push(o)
		if err := <-o.done; err != nil {
			return err
		}
	}
	return nil
}

// sweepMeta deletes the tombstones of metadata of which no older version is left.
func (s *Store) sweepMeta(ctx context.Context) (err error) {
	if !s.metaBuried.Load() {
		return nil
	}
	s.metaMu.Lock() // nothing is put between the look and the deletion
	defer s.metaMu.Unlock()
	if err := s.flush(ctx); err != nil {
		return err
	}
	sn := s.snaps.get()
	defer s.snaps.put(sn)
	defer sn.guard(&err)
	o := &op{apart: true, done: make(chan error, 1)}
	waiting := 0
	s.metaGarbage = 0
	it := sn.txn.NewIterator(badger.IteratorOptions{Prefix: []byte{tabUser}, AllVersions: true})
	defer it.Close()
	for it.Rewind(); it.Valid() && len(o.muts) < pruneStep; {
		key := it.Item().KeyCopy(nil)
		buried := !it.Item().IsDeletedOrExpired() && it.Item().Value(func(raw []byte) error {
			if !isTombstone(raw) {
				return errNotBuried
			}
			return nil
		}) == nil
		versions := 0
		for ; it.Valid() && string(it.Item().Key()) == string(key); it.Next() {
			if versions++; versions > 1 {
				s.metaGarbage += it.Item().EstimatedSize()
			}
		}
		switch {
		case buried && versions == 1:
			o.del(key)
		case buried:
			waiting++
		}
	}
	if len(o.muts) == 0 {
		s.metaBuried.Store(waiting > 0)
		return nil
	}
	s.applier.push(o)
	return <-o.done
}

var errNotBuried = errors.New("not a tombstone")
