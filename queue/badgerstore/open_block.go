package badgerstore

import (
	"errors"

	"github.com/sluice-webhooks/sluice/queue"
)

type blockID struct {
	lane   uint16
	number uint64
}

// openBlock is a block the applier is working on.
type openBlock struct {
	block
	left  uint64 // deliveries that have left it
	row   bool   // it has a row
	dirty bool   // the row is not what it should be
}

func (b *openBlock) add(seq, hash uint64, at, now int64) {
	b.block.add(seq, hash, at, now)
	b.dirty = true
}

// block returns a block, from its row if need be.
func (a *applier) block(l *lane, number uint64) *openBlock {
	id := blockID{l.id, number}
	if b := a.blocks[id]; b != nil {
		return b
	}
	b := &openBlock{}
	a.blocks[id] = b
	sn := a.s.snaps.get()
	defer a.s.snaps.put(sn)
	err := sn.row(fifoKey(l.id, number), func(value []byte) error {
		found, err := decodeBlock(value)
		if err == nil {
			b.block, b.row = *found, true
		}
		return err
	})
	if errors.Is(err, queue.ErrDamaged) {
		b.block, b.row, b.dirty = *rebuildBlock(sn, l.name, number), true, true
	}
	if b.row {
		b.left = sn.blockLeft(l.id, number)
	}
	return b
}

// rebuildBlock makes the row of a block anew from its events.
func rebuildBlock(sn *snapshot, destination string, number uint64) *block {
	b := &block{}
	for i := range uint64(1) << blockBits {
		seq := number<<blockBits | i
		ev, err := sn.event(seq, false)
		if err != nil {
			continue // no event, or one that cannot be delivered anyway
		}
		if d, ok := ev.delivery(destination); ok {
			if at, scheduled := start(&d, ev.enqueued); !scheduled {
				b.add(seq, hashOrder(d.OrderKey), at, ev.enqueued)
			}
		}
	}
	return b
}
