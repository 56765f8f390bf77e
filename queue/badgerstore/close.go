package badgerstore

import (
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/sluice-webhooks/sluice/queue"
)

// Close implements [queue.Store].
func (s *Store) Close() error {
	if s.closing.Swap(true) {
		<-s.closed
		return s.closeAs
	}
	defer close(s.closed)
	s.endLife()
	s.calls.end()
	s.waitForLeader()
	close(s.quit)
	s.wg.Wait() // the last marks are queued
	if s.Failure() == nil && !s.disk.stopped() {
		if err := s.saveFilters(true); err != nil {
			s.log.Warn("the next start takes longer to know which events are new", zap.Error(err))
		}
	}
	s.applier.close()
	s.closeAs = s.closeFiles()
	if err := s.Failure(); err != nil {
		s.closeAs = errors.Join(s.closeAs, fmt.Errorf("%w: %w", queue.ErrFailed, err))
	}
	return s.closeAs
}

// closeFiles closes what Open opened, as far as it did.
func (s *Store) closeFiles() (err error) {
	applied := uint64(0)
	if s.applier != nil && s.Failure() == nil {
		applied = s.applier.appliedSeq()
	}
	if applied > 0 {
		if err = s.noteSegment(0); err != nil {
			applied = 0 // its segments stay, as the mark says
		}
	}
	if s.journal != nil {
		err = errors.Join(err, s.journal.close(applied))
	}
	s.snaps.close()
	if s.db == nil {
		return errors.Join(err, s.lock.leave())
	}
	left, closeErr := s.closeDatabase()
	err = errors.Join(err, closeErr)
	switch {
	case left:
		return err
	case s.Failure() != nil:
		return errors.Join(err, s.lock.release(false))
	case err == nil:
		if err = s.copyManifest(); err == nil {
			s.noteClosed()
		}
	}
	return errors.Join(err, s.lock.release(err == nil))
}

// leaveOut gives up what is not written yet when the store is closed on a disk without room. Events are in the journal, and what the database has in memory is in its logs.
func (s *Store) leaveOut(reason error) {
	if s.refuse(reason) {
		s.log.Warn("the disk is full, so what waits in memory is not written; attempts whose outcomes are among it are made again", zap.Error(reason))
	}
}

// closePatience is how long Close waits for the database when the store has failed, before or meanwhile.
const closePatience = 5 * time.Second

// closeDatabase waits for the database of a sound store for as long as it takes. Badger tries for ever to write what it has in memory, so on a disk that stays broken its end may
// never come; then the goroutine is left to it, and with it the lock, because two databases must never work on one directory.
func (s *Store) closeDatabase() (left bool, err error) {
	need := s.disk.toOpen()
	reason := s.disk.require(need, "closing the database")
	full := errors.Is(reason, queue.ErrFull)
	if full {
		s.leaveOut(reason)
	}
	done := make(chan error, 1)
	go func() {
		if full {
			s.disk.await(need)
		}
		done <- guarded(s.db.Close)
	}()
	select {
	case err := <-done:
		return false, err
	case <-s.failed:
	}
	timer := time.NewTimer(s.o.patience)
	defer timer.Stop()
	select {
	case err := <-done:
		return false, err
	case <-timer.C:
	}
	go func() {
		if err := errors.Join(<-done, s.lock.release(false)); err != nil {
			s.log.Warn("closing the database that had failed", zap.Error(err))
		}
	}()
	return true, fmt.Errorf("close %s: the disk does not take what the database has in memory; the store stays locked until it does, or the process ends", s.dir)
}
