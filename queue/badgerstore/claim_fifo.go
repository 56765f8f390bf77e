package badgerstore

import (
	"container/heap"
	"slices"

	"github.com/dgraph-io/badger/v4"
	"go.uber.org/zap"

	"github.com/sluice-webhooks/sluice/queue"
)

// loadBlocks is how many rows of the FIFO are read at a time.
const loadBlocks = 4

// next is when to look again: at once, when something comes due, or when a lease runs out; 0: when woken.
func (w *claimWork) next() int64 {
	if _, ok := w.peekFIFO(); ok {
		return w.now
	}
	var next int64
	if e, ok := w.earliest(); ok {
		if e.due <= w.now || e.once {
			return w.now
		}
		next = e.due
	}
	for len(w.l.expiry) > 0 {
		e := w.l.expiry[0]
		if held := w.l.leases[e.seq]; (held == nil || held.token != e.token) && !w.l.isRecalled(e.seq, e.token) {
			heap.Pop(&w.l.expiry)
			continue
		}
		if next == 0 || e.until < next {
			next = e.until
		}
		break
	}
	return next
}

// peekFIFO returns the oldest delivery of the FIFO, from memory, or else from its rows.
func (w *claimWork) peekFIFO() (fresh, bool) {
	l := w.l
	for {
		if len(l.loaded) > 0 {
			return l.loaded[0], true
		}
		f, from, ok := l.takeHot(false)
		if ok || l.cursor >= from {
			return f, ok
		}
		w.load(from)
	}
}

func (w *claimWork) takeFIFO() {
	l := w.l
	if len(l.loaded) > 0 {
		l.loaded[0] = fresh{}
		l.loaded = l.loaded[1:]
		return
	}
	if f, _, ok := l.takeHot(true); ok {
		l.cursor = f.seq + 1
	}
}

// load reads the next rows of the FIFO, with the deliveries of events before the given one.
func (w *claimWork) load(before uint64) {
	l := w.l
	l.loaded = nil
	rows := 0
	w.sn.scan(destTable(tabFIFO, l.id, 0), fifoKey(l.id, blockOf(l.cursor)), func(key []byte, item *badger.Item) bool {
		number := be.Uint64(key[3:])
		if number<<blockBits >= before {
			return false
		}
		w.loadBlock(number, before, slices.Clone(key), item)
		l.cursor = min((number+1)<<blockBits, before)
		rows++
		return rows < loadBlocks
	})
	if rows < loadBlocks {
		l.cursor = max(l.cursor, before)
	}
}

func (w *claimWork) loadBlock(number, before uint64, key []byte, item *badger.Item) {
	l := w.l
	var b *block
	err := item.Value(func(sealed []byte) (err error) {
		value, ok := unseal(key, sealed)
		if !ok {
			return queue.ErrDamaged
		}
		b, err = decodeBlock(value)
		return err
	})
	if err != nil {
		w.s.log.Error("row of the queue is damaged; it is made anew from the events", zap.String("destination", l.name), zap.Error(err))
		b = rebuildBlock(w.sn, l.name, number)
	}
	left := w.sn.blockLeft(l.id, number)
	b.each(number, func(seq, hash uint64, at int64) {
		if _, moved := l.recent[seq]; moved || seq < l.cursor || seq >= before || left&bitOf(seq) != 0 {
			return
		}
		l.loaded = append(l.loaded, fresh{seq: seq, hash: hash, at: at, since: b.since})
	})
}
