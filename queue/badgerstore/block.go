package badgerstore

import (
	"math/bits"
	"slices"

	"github.com/dgraph-io/badger/v4"

	"github.com/sluice-webhooks/sluice/queue"
)

// A block is a row of a destination's FIFO: which of 64 consecutive events have a delivery to it that starts there. One row instead of
// 64 is what makes a backlog cheap, and a drained backlog leave few tombstones. The row goes when all of its deliveries have left; which of
// them have is not in the row but known from their own rows, which exist from that moment on.
type block struct {
	present uint64 // bit i: event block*64+i
	ordered uint64 // those with an order key
	timed   uint64 // those that additionally wait for a moment
	since   int64  // when its first event was enqueued
	hashes  []uint64
	times   []int64
}

const blockBits = 6

func blockOf(seq uint64) uint64 { return seq >> blockBits }

func bitOf(seq uint64) uint64 { return 1 << (seq & (1<<blockBits - 1)) }

// add puts in a delivery. Deliveries come in order of their events.
func (b *block) add(seq, hash uint64, at, now int64) {
	bit := bitOf(seq)
	if b.present == 0 {
		b.since = now
	}
	b.present |= bit
	if hash == 0 {
		return
	}
	b.ordered |= bit
	b.hashes = append(b.hashes, hash)
	if at != 0 {
		b.timed |= bit
		b.times = append(b.times, at)
	}
}

// remove takes out a delivery of which nothing is kept any more, not even that it has left.
func (b *block) remove(seq uint64) {
	bit := bitOf(seq)
	if b.ordered&bit != 0 {
		at := bits.OnesCount64(b.ordered & (bit - 1))
		b.hashes = slices.Delete(b.hashes, at, at+1)
	}
	if b.timed&bit != 0 {
		at := bits.OnesCount64(b.timed & (bit - 1))
		b.times = slices.Delete(b.times, at, at+1)
	}
	b.present, b.ordered, b.timed = b.present&^bit, b.ordered&^bit, b.timed&^bit
}

func (b *block) encode() []byte {
	e := encoder{b: make([]byte, 0, 24+8*len(b.hashes)+12)}
	e.fixed(b.present)
	e.fixed(b.ordered)
	e.fixed(b.timed)
	e.int(b.since)
	for _, h := range b.hashes {
		e.fixed(h)
	}
	for _, t := range b.times {
		e.int(t)
	}
	return e.b
}

func decodeBlock(value []byte) (*block, error) {
	d := decoder{b: value}
	b := &block{present: d.fixed(), ordered: d.fixed(), timed: d.fixed(), since: d.int()}
	for range bits.OnesCount64(b.ordered) {
		b.hashes = append(b.hashes, d.fixed())
	}
	for range bits.OnesCount64(b.timed) {
		b.times = append(b.times, d.int())
	}
	if d.bad {
		return nil, queue.ErrDamaged
	}
	return b, nil
}

// each calls fn for each delivery of the block with the given number, in order.
func (b *block) each(number uint64, fn func(seq, hash uint64, at int64)) {
	h, t := 0, 0
	for left := b.present; left != 0; left &= left - 1 {
		i := bits.TrailingZeros64(left)
		bit := uint64(1) << i
		var hash uint64
		var at int64
		if b.ordered&bit != 0 {
			hash = b.hashes[h]
			h++
		}
		if b.timed&bit != 0 {
			at = b.times[t]
			t++
		}
		fn(number<<blockBits|uint64(i), hash, at)
	}
}

// blockLeft returns which deliveries of a block have left the FIFO.
func (n *snapshot) blockLeft(dest uint16, number uint64) uint64 {
	var left uint64
	first := number << blockBits
	end := first + 1<<blockBits
	n.scan([]byte{tabDelivery}, seqTable(tabDelivery, first, 0), func(key []byte, _ *badger.Item) bool {
		if len(key) != 11 {
			return true
		}
		seq := be.Uint64(key[1:])
		if seq >= end {
			return false
		}
		if be.Uint16(key[9:]) == dest {
			left |= bitOf(seq)
		}
		return true
	})
	return left
}
