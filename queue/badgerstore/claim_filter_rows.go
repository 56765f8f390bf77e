package badgerstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/dgraph-io/badger/v4"
	"go.uber.org/zap"

	"github.com/sluice-webhooks/sluice/queue"
)

// Filters are rows, too, so that they need not be made anew from the claims after a restart: that takes seconds for a million claims, and
// until then every event is looked up in the database, once for each bucket. Only the newest bucket gets claims. The filter of any other one is
// final and written once, while the store is looked after; that of the newest, if it has one, is written when the store is closed, and is right as long as no event has come since.

const (
	filterChunk = 256 << 10 // bytes of a filter in one row
	filterBatch = 4         // such rows in one transaction
)

// savedFilter is the row about a filter; its bits are in rows behind it.
type savedFilter struct {
	final bool
	seq   uint64 // last event when it was written
	mark  uint64 // of this time of writing: the rows with the bits begin with it
	room  int
	count int64
	sizes []int // words of its parts
}

func (h *savedFilter) encode() []byte {
	e := encoder{}
	e.byte(0)
	if h.final {
		e.b[0] = 1
	}
	e.fixed(h.seq)
	e.fixed(h.mark)
	e.uint(uint64(h.room))
	e.int(h.count)
	e.uint(uint64(len(h.sizes)))
	for _, n := range h.sizes {
		e.uint(uint64(n))
	}
	return e.b
}

func decodeSavedFilter(value []byte) (*savedFilter, error) {
	d := decoder{b: value}
	h := &savedFilter{final: d.byte() == 1, seq: d.fixed(), mark: d.fixed(), room: int(d.uint()), count: d.int()}
	total := 0
	for range d.count() {
		n := int(d.uint())
		if n < lineWords || n > filterLimit/8 || bits.OnesCount(uint(n)) != 1 {
			d.fail()
			break
		}
		total += n
		h.sizes = append(h.sizes, n)
	}
	if d.bad || total > filterLimit/8 {
		return nil, fmt.Errorf("filter of dedup claims: %w", queue.ErrDamaged)
	}
	return h, nil
}

func filterPrefix(bucket uint32) []byte {
	return be.AppendUint32(append(make([]byte, 0, 7), tabFilter), bucket)
}

func filterBitsKey(bucket uint32, row uint16) []byte {
	return be.AppendUint16(filterPrefix(bucket), row)
}

func (n *snapshot) savedFilter(bucket uint32) (h *savedFilter, err error) {
	err = n.row(filterPrefix(bucket), func(value []byte) (err error) {
		h, err = decodeSavedFilter(value)
		return err
	})
	return h, err
}

// finalFilter reports whether the filter of a bucket was written down as final, so that the bucket must not get any more claims.
func (n *snapshot) finalFilter(bucket uint32) bool {
	h, err := n.savedFilter(bucket)
	return err == nil && h.final || err != nil && !errors.Is(err, queue.ErrNotFound)
}

// replayBucket returns the bucket for claims that only the journal has: the newest, or the one behind it if that one is sealed or its filter is final. Filters that a version left
// which did not keep them right when it was the last to write are deleted.
func (a *applier) replayBucket() (uint32, error) {
	sn := a.s.snaps.get()
	defer a.s.snaps.put(sn)
	newest := uint32(0)
	for number := range a.state.buckets {
		newest = max(newest, number)
	}
	if a.state.kept&keptFilters != 0 {
		if a.state.buckets[newest].form == formPages || sn.finalFilter(newest) {
			newest++
		}
		return newest, nil
	}
	a.state.kept |= keptFilters
	var err error
	sn.scan([]byte{tabFilter}, []byte{tabFilter}, func(key []byte, _ *badger.Item) bool {
		err = a.tx.set(append([]byte(nil), key...), nil)
		return err == nil
	})
	return newest, err
}

// saveFilters writes down the filters that have become final since, and at the end, when no event comes any more, that of the newest bucket too. It writes nothing
// where the disk has little room: they can be made anew.
func (s *Store) saveFilters(end bool) error {
	if refused := s.disk.accepts(); refused != nil {
		s.log.Debug("filters of dedup claims are not written", zap.Error(refused))
		return nil
	}
	s.mu.Lock()
	buckets := s.buckets.all()
	for i := range buckets {
		if i > 0 && buckets[i].filter != nil {
			buckets[i].filter.final.Store(true)
		}
	}
	s.mu.Unlock()
	for _, b := range buckets {
		f := b.filter
		if f == nil || !f.final.Load() && !end || !f.complete.Load() || !f.given() {
			continue
		}
		if err := s.saveFilter(b); err != nil {
			return fmt.Errorf("save filter of dedup claims: %w", err)
		}
	}
	return nil
}

func (s *Store) saveFilter(b claimBucket) error {
	f := b.filter
	f.mu.Lock()
	parts, h := f.parts.Load(), savedFilter{final: f.final.Load(), seq: s.promised.Load(), mark: s.tokens.Add(1), room: f.room, count: f.claims.Load()}
	same := f.saved != nil && f.saved.final == h.final && (h.final || f.saved.seq == h.seq)
	f.mu.Unlock()
	if parts == nil || same {
		return nil
	}
	o, row := &op{}, uint16(0)
	write := func() error {
		full := o
		o = &op{}
		return s.apply(full)
	}
	for _, part := range *parts {
		h.sizes = append(h.sizes, len(part.words))
		for words := range slices.Chunk(part.words, filterChunk/8) {
			o.put(filterBitsKey(b.number, row), encodeBits(h.mark, words))
			row++
			if len(o.muts) < filterBatch {
				continue
			}
			if err := write(); err != nil {
				return err
			}
		}
	}
	o.put(filterPrefix(b.number), h.encode())
	if err := write(); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.saved = &h
	return nil
}

func encodeBits(mark uint64, words []uint64) []byte {
	value := be.AppendUint64(make([]byte, 0, 8+8*len(words)+4), mark)
	for i := range words {
		value = binary.LittleEndian.AppendUint64(value, atomic.LoadUint64(&words[i]))
	}
	return value
}

// prepareBuckets says of the buckets that there are when the store is opened that what is in memory of them lacks the claims from before. Where there is memory for another
// bucket, those with a row for each claim get no more.
func (s *Store) prepareBuckets() {
	sn := s.snaps.get()
	defer s.snaps.put(sn)
	for i, b := range s.buckets.all() {
		if b.log != nil {
			b.log.load = sync.OnceFunc(func() { s.loadLog(b.log) })
			continue
		}
		b.filter.complete.Store(false)
		b.filter.final.Store(i > 0 || b.pages > 0 || s.buckets.roomy() || sn.finalFilter(b.number))
	}
}

// loadFilter takes a filter from its rows. It returns false if there are none that are right. seq is the last event from before the store was opened.
func (s *Store) loadFilter(b claimBucket, seq uint64) bool {
	sn := s.snaps.get()
	defer s.snaps.put(sn)
	h, err := sn.savedFilter(b.number)
	if err == nil && !h.final && h.seq != seq {
		return false
	}
	var parts []*bloom
	if err == nil {
		parts, err = sn.filterParts(b.number, h)
	}
	if err != nil {
		if !errors.Is(err, queue.ErrNotFound) {
			s.log.Warn("a filter of dedup claims cannot be read; it is made anew", zap.Error(err))
		}
		return false
	}
	b.filter.restore(parts, h, &s.buckets.filters)
	return true
}

func (n *snapshot) filterParts(bucket uint32, h *savedFilter) (parts []*bloom, err error) {
	row := uint16(0)
	for _, size := range h.sizes {
		part := &bloom{words: make([]uint64, size)}
		for words := range slices.Chunk(part.words, filterChunk/8) {
			err := n.row(filterBitsKey(bucket, row), func(value []byte) error {
				if len(value) != 8+8*len(words) || be.Uint64(value) != h.mark {
					return queue.ErrDamaged
				}
				for i := range words {
					words[i] = binary.LittleEndian.Uint64(value[8+8*i:])
				}
				return nil
			})
			if err != nil {
				return nil, err
			}
			row++
		}
		parts = append(parts, part)
	}
	return parts, nil
}

// restore puts in what a filter held before a restart.
func (f *claimFilter) restore(old []*bloom, h *savedFilter, used *atomic.Int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	parts := f.parts.Load()
	if parts == nil {
		return
	}
	size := int64(0)
	for _, b := range old {
		size += 8 * int64(len(b.words))
	}
	if used.Add(size) > filterLimit {
		used.Add(-size)
		f.drop(used)
		return
	}
	if len(*parts) == 0 {
		f.room = h.room
	}
	list := slices.Concat(old, *parts)
	f.parts.Store(&list)
	f.claims.Add(h.count)
	f.saved = h
}
