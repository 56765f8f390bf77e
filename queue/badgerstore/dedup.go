package badgerstore

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/sluice-webhooks/sluice/queue"
)

// Dedup claims are rows in buckets: those of a day, or of a part of one in which there are many. A bucket's claims are dropped together when the last of
// them has ended. Within a bucket claims have no order, so a compaction rewrites all of it time and again: that is why a bucket is not to become large.
// A claim whose row Badger's newest snapshot may not show yet is in memory.

// dayOf returns the day of a moment, counted from 1970.
func dayOf(at int64) uint32 { return uint32(max(at, 0) / day) }

const (
	bucketFilter = 2 << 20                    // bytes of the filter of a bucket that is full
	bucketClaims = 1_300_000                  // that fit it. A bucket of so many is followed by another one,
	bucketMemory = filterLimit - bucketFilter // as long as there is memory for a filter: a bucket without one costs each event a look-up
	bucketBits   = 8                          // of a bucket's number, below those of the day that it was begun on
)

// firstBucket is the first bucket of a day. Earlier versions had one for each day, with the number of the day.
func firstBucket(day uint32) uint32 { return day << bucketBits }

// claimHash identifies a dedup key of a source.
func claimHash(source, key string) (h [16]byte) {
	var room [256]byte
	sum := sha256.Sum256(append(append(append(room[:0], source...), 0), key...))
	copy(h[:], sum[:])
	return h
}

func encodeClaim(seq uint64, until int64) []byte {
	e := encoder{b: make([]byte, 0, 22)}
	e.fixed(seq)
	e.int(until)
	return e.b
}

// sighting is what a look-up of a claim in Badger has found.
type sighting struct {
	seq  uint64 // of the original; 0: none
	asOf uint64 // last event of which the look-up surely knows
}

// lookUp looks for the claims of a batch in Badger.
func (s *Store) lookUp(batch []*pending, now int64) ([]sighting, error) {
	seen := make([]sighting, len(batch))
	for i, p := range batch {
		if p.claim.until == 0 {
			continue
		}
		var err error
		if seen[i], err = s.lookUpOne(p, now); err != nil {
			return nil, err
		}
	}
	return seen, nil
}

func (s *Store) lookUpOne(p *pending, now int64) (sighting, error) {
	// In this order: what gets into a filter, or into a bucket that is not in the list yet, is of an event with a higher number.
	asOf := s.applier.appliedSeq()
	return s.lookUpIn(s.buckets.all(), asOf, p, now)
}

// lookUpIn looks in some buckets, which were all there were when the event with the number asOf was visible. The snapshot may be younger, and show events of younger buckets.
func (s *Store) lookUpIn(buckets []claimBucket, asOf uint64, p *pending, now int64) (sighting, error) {
	found := sighting{asOf: asOf}
	if !slices.ContainsFunc(buckets, func(b claimBucket) bool { return b.until > now && b.filter.mayHold(&p.claim.hash) }) {
		return found, nil
	}
	sn := s.snaps.get()
	defer s.snaps.put(sn)
	for _, b := range buckets {
		if b.until <= now || !b.filter.mayHold(&p.claim.hash) {
			continue
		}
		seq, err := sn.claimed(claimKey(b.number, p.claim.hash), p.claim.until, now)
		if err != nil && !errors.Is(err, queue.ErrNotFound) {
			// Without the claim it cannot be known whether the event was here before: it must not be lost, so it counts as new.
			if !errors.Is(err, queue.ErrDamaged) {
				return sighting{}, fmt.Errorf("look up dedup key: %w", err)
			}
			s.log.Error("a dedup claim is damaged; the event is taken for a new one")
		}
		found.seq = seq
		if found.seq != 0 {
			break
		}
	}
	return found, nil
}

// claimed returns the event that has a claim; 0 if that has ended, or was made by a clock that was ahead: it would swallow what comes for as long as that was. usual is when a
// claim that is made now ends.
func (n *snapshot) claimed(key []byte, usual, now int64) (seq uint64, err error) {
	until := int64(0)
	err = n.row(key, func(value []byte) error {
		d := decoder{b: value}
		seq, until = d.fixed(), d.int()
		return nil
	})
	if err != nil || until <= now {
		return 0, err
	}
	if fromFuture(until, usual) { // or its window was longer; the pruner keeps what seems to come from the future
		e, err := n.event(seq, false)
		if errors.Is(err, queue.ErrNotFound) {
			return seq, nil
		}
		if err != nil || fromFuture(e.enqueued, now) {
			return 0, err
		}
	}
	return seq, nil
}

// claimBuckets are the buckets that have claims, newest first, with the end of the last one of each. The slice is replaced, never changed.
type claimBuckets struct {
	mu      sync.Mutex // of those who replace it
	list    atomic.Pointer[[]claimBucket]
	filters atomic.Int64 // bytes of all filters
	most    int64        // claims of a bucket that is followed by another one
}

type claimBucket struct {
	number uint32
	until  int64
	filter *claimFilter
}

func (c *claimBuckets) all() []claimBucket {
	if l := c.list.Load(); l != nil {
		return *l
	}
	return nil
}

// ended returns a bucket whose claims have all ended; false if there is none. Claims on their way to Badger have an hour to get there, and the newest bucket, which
// gets claims all day, has a day.
func (c *claimBuckets) ended(now int64) (uint32, bool) {
	for i, b := range slices.Backward(c.all()) {
		margin := hour
		if i == 0 {
			margin = day
		}
		if b.until+margin < now {
			return b.number, true
		}
	}
	return 0, false
}

const (
	day  = int64(24 * 3600 * 1e9)
	hour = int64(3600 * 1e9)
)

// roundUntil is how exactly the end of a bucket's claims is noted.
func roundUntil(until int64) int64 { return until - until%hour + hour }

// note takes in a claim that is about to be made on a day, and gives it its bucket.
func (c *claimBuckets) note(day uint32, claim *dedupClaim) {
	claim.bucket = c.bucketFor(day)
	c.extend(claim.bucket, claim.until).add(&claim.hash, &c.filters)
}

// bucketFor returns the bucket for new claims of a day: the newest one, or a new one if that is of an earlier day, full, or final. No other bucket gets claims
// any more, wherever the clock goes.
func (c *claimBuckets) bucketFor(day uint32) uint32 {
	list := c.all()
	if len(list) == 0 || list[0].number < firstBucket(day) {
		return firstBucket(day)
	}
	f := list[0].filter
	if f.final.Load() || f.claims.Load() >= c.most && f.given() && c.filters.Load() <= bucketMemory {
		return list[0].number + 1
	}
	return list[0].number
}

// extend sees to it that a bucket is known to have claims that end then, and returns its filter.
func (c *claimBuckets) extend(number uint32, until int64) *claimFilter {
	until = roundUntil(until)
	for _, b := range c.all() {
		if b.number == number && b.until >= until {
			return b.filter
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	changed := claimBucket{number: number, until: until}
	list := slices.DeleteFunc(slices.Clone(c.all()), func(b claimBucket) bool {
		if b.number == number {
			changed.until, changed.filter = max(until, b.until), b.filter
		}
		return b.number == number
	})
	if changed.filter == nil {
		expected := int64(0)
		if len(list) > 0 && list[0].number == number-1 {
			expected = c.most // as the one before it
		}
		changed.filter = newClaimFilter(expected)
	}
	list = append(list, changed)
	slices.SortFunc(list, func(a, b claimBucket) int { return int(b.number) - int(a.number) })
	c.list.Store(&list)
	return changed.filter
}

func (c *claimBuckets) remove(number uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := slices.DeleteFunc(slices.Clone(c.all()), func(b claimBucket) bool {
		if b.number == number {
			b.filter.mu.Lock()
			defer b.filter.mu.Unlock()
			b.filter.drop(&c.filters)
		}
		return b.number == number
	})
	c.list.Store(&list)
}

// recentClaims are the claims of events that Badger's newest snapshot may not show yet, in two generations, so that they can be
// forgotten together. Store.mu guards it.
type recentClaims struct {
	young, old         map[[16]byte]*pending
	lastYoung, lastOld *pending
	floor              uint64 // every event up to this one has been forgotten
}

const claimGeneration = 4096

func (c *recentClaims) find(hash [16]byte, now int64) *pending {
	for _, m := range []map[[16]byte]*pending{c.young, c.old} {
		if p := m[hash]; p != nil && p.claim.until > now && !fromFuture(p.enqueued, now) {
			return p
		}
	}
	return nil
}

func (c *recentClaims) add(p *pending) {
	c.young[p.claim.hash] = p
	c.lastYoung = p
}

func (c *recentClaims) remove(p *pending) {
	for _, m := range []map[[16]byte]*pending{c.young, c.old} {
		if m[p.claim.hash] == p {
			delete(m, p.claim.hash)
		}
	}
}

func (c *recentClaims) removeAll(pends []*pending) {
	for _, p := range pends {
		c.remove(p)
	}
}

// rotate forgets the old generation if a snapshot with the events up to seq shows all of it.
func (c *recentClaims) rotate(seq uint64) {
	if len(c.young) < claimGeneration || c.lastOld != nil && (c.lastOld.seq == 0 || c.lastOld.seq > seq) {
		return
	}
	if c.lastOld != nil {
		c.floor = max(c.floor, c.lastOld.seq)
	}
	c.old, c.lastOld = c.young, c.lastYoung
	c.young, c.lastYoung = make(map[[16]byte]*pending, claimGeneration), nil
}
