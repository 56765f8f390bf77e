package badgerstore

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/badger/v4"
	"go.uber.org/zap"

	"github.com/sluice-webhooks/sluice/queue"
)

// claimFilter knows of which dedup keys a bucket has surely no claim in Badger, so that most events, which are new, need no look-up there.
// A claim is in the filter from before its event is written to the journal, so the filter never says "none" of one that Badger holds.
// It is a list of blocked Bloom filters, each as large as all before it together, up to a limit.
type claimFilter struct {
	complete atomic.Bool              // it has the claims from before the store was opened too
	final    atomic.Bool              // its bucket gets no more claims; set under Store.mu, or before the bucket is used
	claims   atomic.Int64             // in it
	parts    atomic.Pointer[[]*bloom] // replaced, never changed; nil: there was no memory for it

	mu    sync.Mutex   // of those who add
	room  int          // claims that the last part still takes
	first int          // bytes of the first part
	saved *savedFilter // what was written down last, or read; nil: nothing
}

const (
	filterBits  = 12       // of memory for a claim: about one look-up in 150 is made in vain
	firstFilter = 32 << 10 // bytes of the first part
	largeFilter = 4 << 20  // bytes of a part at most
	filterLimit = 32 << 20 // bytes of all filters of a store: some 20 million claims
)

// mayHold returns false if Badger surely holds no claim of the bucket with the hash.
func (f *claimFilter) mayHold(hash *[16]byte) bool {
	if !f.complete.Load() {
		return true
	}
	parts := f.parts.Load()
	if parts == nil {
		return true
	}
	for _, b := range *parts {
		if b.has(hash) {
			return true
		}
	}
	return false
}

// add puts a claim in. used is the memory of all filters of the store; when that is at its limit, the filter gives up its own.
func (f *claimFilter) add(hash *[16]byte, used *atomic.Int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	parts := f.parts.Load()
	if parts == nil {
		return
	}
	list := *parts
	if f.room == 0 {
		size := f.first
		if n := len(list); n > 0 {
			size = min(8*len(list[n-1].words)*2, largeFilter)
		}
		if used.Add(int64(size)) > filterLimit {
			used.Add(-int64(size))
			f.drop(used)
			return
		}
		list = append(list[:len(list):len(list)], &bloom{words: make([]uint64, size/8)})
		f.parts.Store(&list)
		f.room = size * 8 / filterBits
	}
	if list[len(list)-1].set(hash) {
		f.room--
		f.claims.Add(1)
	}
}

// given reports whether the filter has memory.
func (f *claimFilter) given() bool { return f.parts.Load() != nil }

// drop gives the memory back. The caller holds f.mu.
func (f *claimFilter) drop(used *atomic.Int64) {
	parts := f.parts.Swap(nil)
	if parts == nil {
		return
	}
	for _, b := range *parts {
		used.Add(-8 * int64(len(b.words)))
	}
}

// newClaimFilter returns an empty filter whose first part has room for a number of claims.
func newClaimFilter(claims int64) *claimFilter {
	f := &claimFilter{first: firstFilter}
	for int64(f.first)*8/filterBits < claims && f.first < largeFilter {
		f.first *= 2
	}
	f.parts.Store(&[]*bloom{})
	f.complete.Store(true)
	return f
}

// bloom is a Bloom filter in which the bits of one hash are in one line of the processor's cache. Bits are only ever set, so it is read
// without a lock. Its keys are cryptographic hashes, which need no further hashing.
type bloom struct{ words []uint64 } // a power of two, at least one line

const (
	lineWords = 8
	probes    = 7 // of 9 bits each
)

func (b *bloom) line(hash *[16]byte) []uint64 {
	at := be.Uint64(hash[:8]) & (uint64(len(b.words))/lineWords - 1) * lineWords
	return b.words[at : at+lineWords : at+lineWords]
}

func (b *bloom) has(hash *[16]byte) bool {
	line := b.line(hash)
	for i, h := 0, be.Uint64(hash[8:]); i < probes; i, h = i+1, h>>9 {
		if atomic.LoadUint64(&line[h>>6&(lineWords-1)])&(1<<(h&63)) == 0 {
			return false
		}
	}
	return true
}

// set returns false if all bits were set before.
func (b *bloom) set(hash *[16]byte) (changed bool) {
	line := b.line(hash)
	for i, h := 0, be.Uint64(hash[8:]); i < probes; i, h = i+1, h>>9 {
		bit := uint64(1) << (h & 63)
		changed = atomic.OrUint64(&line[h>>6&(lineWords-1)], bit)&bit == 0 || changed
	}
	return changed
}

const (
	filterStep = 1024                    // claims that are read from one snapshot
	filterPace = 2500 * time.Microsecond // for a step: faster takes the processor from the events, slower lets more of them be looked up in Badger
)

// fillFilters brings the claims from before the store was opened into the logs and the filters of their buckets, newest first. Until it is done
// with a bucket, its claims are looked up in Badger; those of a log wait. seq is the last event from before.
func (s *Store) fillFilters(buckets []claimBucket, seq uint64) {
	defer s.wg.Done()
	var lost []claimBucket
	for _, b := range buckets {
		if b.log != nil {
			b.log.load()
		}
	}
	for _, b := range buckets {
		if b.log != nil {
			continue
		}
		if !s.loadFilter(b, seq) {
			lost = append(lost, b)
			continue
		}
		b.filter.complete.Store(true)
	}
	pace := time.NewTicker(filterPace)
	defer pace.Stop()
	for _, b := range lost {
		err := guarded(func() error { return s.fillFilter(b, pace.C) })
		if errors.Is(err, queue.ErrClosed) {
			return
		}
		if err != nil {
			s.log.Error("filter of dedup claims was not made: they are looked up in the database", zap.Error(err))
		}
	}
}

// fillFilter returns queue.ErrClosed if the store is being closed.
func (s *Store) fillFilter(b claimBucket, pace <-chan time.Time) error {
	prefix := claimPrefix(b.number)
	if b.pages > 0 {
		prefix = claimPagePrefix(b.number)
	}
	from := append([]byte(nil), prefix...)
	for n := filterStep; n >= filterStep; {
		select {
		case <-s.quit:
			return queue.ErrClosed
		case <-pace:
		}
		n, from = s.fillSome(b, prefix, from)
	}
	b.filter.complete.Store(true)
	return nil
}

// fillSome brings the next claims into a filter. It returns how many they were, and from where to go on.
func (s *Store) fillSome(b claimBucket, prefix, from []byte) (n int, next []byte) {
	sn := s.snaps.get()
	defer s.snaps.put(sn)
	add := func(hash [16]byte) {
		b.filter.add(&hash, &s.buckets.filters)
		n++
	}
	sn.walk(prefix, from, func(key []byte, item *badger.Item) bool {
		if b.pages == 0 {
			var hash [16]byte
			copy(hash[:], key[len(prefix):])
			add(hash)
		} else if err := eachSealedClaim(key, item, func(c *loggedClaim) { add(c.hash) }); err != nil {
			s.log.Error("dedup claims cannot be read: events that come again are taken for new ones", zap.Error(err))
		}
		from = append(append(from[:0], key...), 0)
		return n < filterStep
	})
	return n, from
}
