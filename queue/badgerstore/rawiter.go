package badgerstore

import (
	"bytes"
	"cmp"
	"container/heap"
	"slices"

	"github.com/dgraph-io/badger/v4"
)

// rawCursor goes through the rows of one table or one list.
type rawCursor struct {
	table *rawTable
	next  int // block
	rows  []rawRow
	bad   func(t *rawTable, block int, err error)
}

// settle moves to the next block until there is a row; false at the end.
func (c *rawCursor) settle() bool {
	for len(c.rows) == 0 {
		if c.table == nil || c.next >= len(c.table.blocks) {
			return false
		}
		rows, err := c.table.rows(c.next)
		if err != nil {
			c.bad(c.table, c.next, err)
		}
		c.next++
		c.rows = rows
	}
	return true
}

type rawHeap []*rawCursor

// Len, Less, Swap, Push and Pop implement [heap.Interface].
func (h rawHeap) Len() int           { return len(h) }
func (h rawHeap) Less(i, j int) bool { return compareRows(h[i].rows[0], h[j].rows[0]) < 0 }
func (h rawHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *rawHeap) Push(x any)        { *h = append(*h, x.(*rawCursor)) }

func (h *rawHeap) Pop() any {
	last := len(*h) - 1
	c := (*h)[last]
	*h = (*h)[:last]
	return c
}

// rawIter goes through the newest versions of the rows with a prefix, in order; deleted ones too.
type rawIter struct {
	heap   rawHeap
	prefix []byte
	last   []byte
}

// badBlock reports a block once, however often it is met.
func (db *rawDB) badBlock(t *rawTable, block int, err error) {
	db.lose(t.kinds(block))
	if what := t.path + err.Error(); !db.told[what] {
		db.told[what] = true
		db.report.file("table", t.path, err, outSalvage)
	}
}

// iterate begins at the first row with a prefix.
func (db *rawDB) iterate(prefix []byte) *rawIter {
	it := &rawIter{prefix: prefix}
	for _, rows := range db.loose {
		at, _ := slices.BinarySearchFunc(rows, prefix, func(r rawRow, p []byte) int {
			return cmp.Or(bytes.Compare(r.key, p), 1)
		})
		it.push(&rawCursor{rows: rows[at:]})
	}
	for _, t := range db.tables {
		at, _ := slices.BinarySearchFunc(t.blocks, prefix, func(b rawBlock, p []byte) int {
			return cmp.Or(bytes.Compare(b.first, p), 1)
		})
		it.push(&rawCursor{table: t, next: max(at-1, 0), bad: db.badBlock})
	}
	return it
}

func (it *rawIter) push(c *rawCursor) {
	for c.settle() {
		if c.rows[0].key != nil && bytes.Compare(c.rows[0].key, it.prefix) >= 0 {
			heap.Push(&it.heap, c)
			return
		}
		c.rows = c.rows[1:]
	}
}

// step returns the next row; false at the end.
func (it *rawIter) step() (rawRow, bool) {
	for len(it.heap) > 0 {
		c := it.heap[0]
		r := c.rows[0]
		if !bytes.HasPrefix(r.key, it.prefix) {
			return rawRow{}, false // all others are beyond it too
		}
		if c.rows = c.rows[1:]; c.settle() {
			heap.Fix(&it.heap, 0)
		} else {
			heap.Pop(&it.heap)
		}
		if it.last != nil && bytes.Equal(r.key, it.last) {
			continue // an older version
		}
		it.last = r.key
		return r, true
	}
	return rawRow{}, false
}

// rowSource is a database that is looked through, open or not.
type rowSource interface {
	scan(prefix []byte) rowScanner
}

// rowScanner goes through the rows with a prefix in order. What it returns is valid until the next call; err says that the value cannot be read.
type rowScanner interface {
	step() (key, value []byte, err error, ok bool)
	close()
}

func (db *rawDB) scan(prefix []byte) rowScanner { return &rawScanner{db, db.iterate(prefix)} }

type rawScanner struct {
	db *rawDB
	it *rawIter
}

func (s *rawScanner) step() (key, value []byte, err error, ok bool) {
	for {
		r, ok := s.it.step()
		if !ok {
			return nil, nil, nil, false
		}
		if r.deleted() {
			continue
		}
		value, err = s.db.value(&r)
		return r.key, value, err, true
	}
}

func (s *rawScanner) close() {}

// txnSource looks through an open database as a transaction sees it.
type txnSource struct{ txn *badger.Txn }

func (t txnSource) scan(prefix []byte) rowScanner {
	s := &txnScanner{txn: t.txn, prefix: prefix, next: prefix}
	s.reopen()
	return s
}

// txnScanner renews its iterator now and then, because Badger cannot delete files of the value log under one.
type txnScanner struct {
	txn    *badger.Txn
	prefix []byte
	next   []byte // where a renewed iterator begins
	it     *badger.Iterator
	n      int
	value  []byte
}

const txnScanRows = 20_000

func (s *txnScanner) reopen() {
	s.it = s.txn.NewIterator(badger.IteratorOptions{Prefix: s.prefix})
	s.it.Seek(s.next)
	s.n = 0
}

func (s *txnScanner) step() (key, value []byte, err error, ok bool) {
	if s.n > 0 {
		s.it.Next()
	}
	if s.n >= txnScanRows {
		s.it.Close()
		s.reopen()
	}
	if !s.it.ValidForPrefix(s.prefix) {
		return nil, nil, nil, false
	}
	s.n++
	item := s.it.Item()
	s.next = append(item.KeyCopy(nil), 0)
	s.value, err = item.ValueCopy(s.value[:0])
	return s.next[:len(s.next)-1], s.value, err, true
}

func (s *txnScanner) close() { s.it.Close() }
