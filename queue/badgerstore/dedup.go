package badgerstore

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"github.com/sluice-webhooks/sluice/queue"
)

// Dedup claims are in buckets: those of a day, or of a part of one in which there are many. A bucket's claims are dropped together when the last of them has ended. The
// newest bucket is a log (claim_log.go), the others are sorted into pages (claim_page.go): a row for each claim would cost an event more than all its other rows.
// A claim that Badger's newest snapshot may not show yet is in memory.

// dayOf returns the day of a moment, counted from 1970.
func dayOf(at int64) uint32 { return uint32(max(at, 0) / day) }

const bucketBits = 8 // of a bucket's number, below those of the day that it was begun on

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

// lookUpPatience is how often a claim is looked for that moves meanwhile. It moves twice at most; a third time it is lost.
const lookUpPatience = 3

func (s *Store) lookUpOne(p *pending, now int64) (seen sighting, err error) {
	for range lookUpPatience {
		// In this order: what gets into a filter or a log, or into a bucket that is not in the list yet, is of an event with a higher number.
		asOf := s.applier.appliedSeq()
		if seen, err = s.lookUpIn(s.buckets.all(), asOf, p, now); !errors.Is(err, errUnseen) {
			return seen, err
		}
	}
	return seen, nil
}

// lookUpIn looks in some buckets, which were all there were when the event with the number asOf was visible. The snapshot may be younger, and show events of younger buckets. The error
// errUnseen means that a claim may be in a place that neither of both shows.
func (s *Store) lookUpIn(buckets []claimBucket, asOf uint64, p *pending, now int64) (sighting, error) {
	found := sighting{asOf: asOf}
	mayHold := func(b claimBucket) bool { return b.until > now && b.mayHold(&p.claim.hash) }
	if !slices.ContainsFunc(buckets, mayHold) {
		return found, nil
	}
	sn := s.snaps.get()
	defer s.snaps.put(sn)
	var unseen error
	for _, b := range buckets {
		if !mayHold(b) {
			continue
		}
		seq, err := sn.claimed(&b, &p.claim, now)
		switch {
		case errors.Is(err, errUnseen):
			unseen = err
		case errors.Is(err, queue.ErrDamaged):
			// Without the claim it cannot be known whether the event was here before: it must not be lost, so it counts as new.
			s.log.Error("a dedup claim is damaged; the event is taken for a new one")
		case err != nil && !errors.Is(err, queue.ErrNotFound):
			return sighting{}, fmt.Errorf("look up dedup key: %w", err)
		}
		if found.seq = seq; seq != 0 {
			return found, nil
		}
	}
	return found, unseen
}

// claimed returns the event that has a claim; 0 if that has ended, or was made by a clock that was ahead: it would swallow what comes for as long as that was. wanted is the
// claim that is made now.
func (n *snapshot) claimed(b *claimBucket, wanted *dedupClaim, now int64) (seq uint64, err error) {
	c, err := n.claim(b, &wanted.hash)
	if err != nil || c.until <= now {
		return 0, err
	}
	if fromFuture(c.until, wanted.until) { // or its window was longer; the pruner keeps what seems to come from the future
		e, err := n.event(c.seq, false)
		if errors.Is(err, queue.ErrNotFound) {
			return c.seq, nil
		}
		if err != nil || fromFuture(e.enqueued, now) {
			return 0, err
		}
	}
	return c.seq, nil
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
