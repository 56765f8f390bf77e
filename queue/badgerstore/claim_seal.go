package badgerstore

import (
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"
	"go.uber.org/zap"

	"github.com/sluice-webhooks/sluice/queue"
)

// sealedBucket is a bucket whose claims are on pages from here on.
type sealedBucket struct{ number, pages uint32 } // number 0: none

// pagesInOp is how many rows of pages are written at a time.
const pagesInOp = 512

// keepClaims seals buckets that get no more claims.
func (s *Store) keepClaims() {
	defer s.wg.Done()
	if err := guarded(s.dropSealedLogs); err != nil {
		s.log.Warn("rows of dedup claims that are not needed any more stay", zap.Error(err))
	}
	for {
		if err := guarded(s.sealFull); err != nil && !errors.Is(err, queue.ErrClosed) && !errors.Is(err, queue.ErrFull) {
			s.log.Error("dedup claims are not sorted", zap.Error(err))
		}
		select {
		case <-s.quit:
			return
		case <-s.toSeal:
		}
	}
}

// sealFull seals a bucket whose claims are all in the database, if there is one. Where the disk has little room it waits.
func (s *Store) sealFull() error {
	s.sealing.Lock()
	defer s.sealing.Unlock()
	b, ok := s.buckets.unsealed()
	if !ok || s.disk.accepts() != nil {
		return nil
	}
	if b.log.last == 0 {
		b.log.last = s.lastPending()
	}
	if s.applier.appliedSeq() < b.log.last {
		return nil
	}
	return s.seal(b, func(o *op) error {
		select {
		case <-s.quit:
			return queue.ErrClosed
		default:
			return s.apply(o)
		}
	})
}

// lastPending returns the number that the last event gets of those that are on their way.
func (s *Store) lastPending() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := s.intake.next - 1
	for _, g := range s.intake.groups {
		last += uint64(len(g.pends))
	}
	return last
}

// seal sorts the log of a bucket into pages. write makes an operation durable and visible. A crash in the middle leaves the log, and pages that nobody reads and that are written again.
func (s *Store) seal(b claimBucket, write func(*op) error) error {
	claims, err := s.sorted(b.log)
	if err != nil {
		s.log.Error("some dedup claims are lost: their events are taken for new ones if they come again", zap.Error(err))
	}
	pages := uint32(len(claims)/claimsOnPage + 1)
	o := &op{apart: true}
	out := func() error {
		full := o
		o = &op{apart: true}
		return write(full)
	}
	err = eachPageRow(b.number, claims, pages, func(key, value []byte) error {
		if o.put(key, value); len(o.muts) < pagesInOp {
			return nil
		}
		return out()
	})
	if err != nil {
		return err
	}
	o.sealed = sealedBucket{b.number, pages}
	if err := out(); err != nil {
		return err
	}
	f := newClaimFilter(int64(len(claims)))
	f.final.Store(true)
	for i := range claims {
		f.add(&claims[i].hash, &s.buckets.filters)
	}
	s.buckets.seal(b.number, pages, f)
	return s.deleteRows(claimLogPrefix(b.number), write, nil)
}

// sorted returns the claims of a log. What cannot be read is left out; the error is about that.
func (s *Store) sorted(l *claimLog) ([]loggedClaim, error) {
	l.load()
	sn := s.snaps.get()
	defer s.snaps.put(sn)
	claims := make([]loggedClaim, 0, l.given.Load())
	err := s.eachLogged(sn, l.bucket, func(c *loggedClaim) { claims = append(claims, *c) })
	return sortClaims(claims), err
}

// dropSealedLogs deletes what a crash has left of the logs of buckets that were sealed.
func (s *Store) dropSealedLogs() error {
	s.sealing.Lock()
	defer s.sealing.Unlock()
	for _, b := range s.buckets.all() {
		if b.pages == 0 {
			continue
		}
		sn, left := s.snaps.get(), false
		sn.scan(claimLogPrefix(b.number), claimLogPrefix(b.number), func([]byte, *badger.Item) bool {
			left = true
			return false
		})
		s.snaps.put(sn)
		if !left {
			continue
		}
		if err := s.deleteRows(claimLogPrefix(b.number), s.apply, nil); err != nil {
			return fmt.Errorf("delete sorted dedup claims: %w", err)
		}
	}
	return nil
}

// apply makes an operation durable and visible.
func (s *Store) apply(o *op) error {
	o.done = make(chan error, 1)
	s.applier.push(o)
	return <-o.done
}
