// Package reopen keeps a store available over its failures: a store that can no longer promise durability refuses everything; this package closes it and
// opens it anew, which verifies what is on disk, until that succeeds. Meanwhile every call returns queue.ErrFailed.
package reopen

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/sluice-webhooks/sluice/queue"
)

// Pauses between two tries to open.
const (
	firstPause = time.Second
	maxPause   = time.Minute
)

// ErrUnsupported means that the store lacks an optional power.
var ErrUnsupported = errors.New("not supported by this store")

// Store passes every call to the store that is open. It implements queue.Store and all optional interfaces; those that the store inside lacks
// return ErrUnsupported.
type Store struct {
	open   func() (queue.Store, error)
	after  func(time.Duration) <-chan time.Time
	logger *zap.Logger

	wake   chan string
	failed chan queue.Store // a store that has failed, for the manager to look at
	quit   chan struct{}
	done   chan struct{} // closed when Close is through
	wg     sync.WaitGroup

	mu     sync.RWMutex
	inner  queue.Store // nil between a failure and the next open store
	reason error       // why it could not be opened again, as far as that was tried
	drop   chan struct{}
	closed bool
	result error // of Close
}

// Options are what a Store is made of.
type Options struct {
	Open   func() (queue.Store, error)            // required; called again after each failure
	After  func(d time.Duration) <-chan time.Time // nil: time.After
	Logger *zap.Logger                            // nil: no logs
}

// New opens the store for the first time; that it must succeed is for the caller to know at once.
func New(o Options) (*Store, error) {
	if o.After == nil {
		o.After = time.After
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	inner, err := o.Open()
	if err != nil {
		return nil, err
	}
	s := &Store{
		open: o.Open, after: o.After, logger: o.Logger,
		wake: make(chan string, 1024), failed: make(chan queue.Store, 1), quit: make(chan struct{}),
		done: make(chan struct{}),
	}
	s.adopt(inner)
	s.wg.Go(s.manage)
	return s, nil
}

// Unwrap returns the store that is open at present; nil between a failure and the next one.
func (s *Store) Unwrap() queue.Store {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.inner
}

// adopt makes a store the one that calls go to, unless Close came first. Whatever was leased from the one before is due again in it.
func (s *Store) adopt(inner queue.Store) bool {
	drop := make(chan struct{})
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.inner, s.drop, s.reason = inner, drop, nil
	s.wg.Go(func() { s.forwardWakes(inner.Wake(), drop) })
	s.notify("")
	return true
}

func (s *Store) forwardWakes(from <-chan string, drop <-chan struct{}) {
	for {
		select {
		case name, ok := <-from:
			if !ok {
				return
			}
			s.notify(name)
		case <-drop:
			return
		}
	}
}

// notify passes a wake on. In a full channel room is made for the empty name, which stands for all that were dropped.
func (s *Store) notify(name string) {
	select {
	case s.wake <- name:
		return
	default:
	}
	for {
		select {
		case <-s.wake:
		default:
		}
		select {
		case s.wake <- "":
			return
		default:
		}
	}
}

// manage replaces the store whenever it has failed.
func (s *Store) manage() {
	for {
		var old queue.Store
		select {
		case <-s.quit:
			return
		case old = <-s.failed:
		}
		s.mu.Lock()
		if s.inner != old { // two callers have told of one failure
			s.mu.Unlock()
			continue
		}
		s.inner = nil
		if s.drop != nil {
			close(s.drop)
			s.drop = nil
		}
		s.mu.Unlock()
		s.logger.Error("store has failed: closing it to open it anew")
		if err := old.Close(); err != nil {
			s.logger.Warn("closing the store that failed", zap.Error(err))
		}
		if !s.reopen() {
			return
		}
	}
}

// reopen tries until the store is open; false if Close came first.
func (s *Store) reopen() bool {
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		inner, err := s.open()
		if err == nil && s.adopt(inner) {
			s.logger.Info("store is open again")
			return true
		}
		if err == nil { // opened while it was told to stop
			if err := inner.Close(); err != nil {
				s.logger.Warn("closing", zap.Error(err))
			}
			return false
		}
		s.mu.Lock()
		s.reason = err
		s.mu.Unlock()
		s.logger.Error("store cannot be opened; trying again", zap.Duration("in", pause), zap.Error(err))
		select {
		case <-s.quit:
			return false
		case <-s.after(pause):
		}
	}
}

// call passes one call on and notices a failure of the store. S is what the call needs of it.
func call[S any](s *Store, f func(S) error) error {
	s.mu.RLock()
	inner, closed := s.inner, s.closed
	s.mu.RUnlock()
	switch {
	case closed:
		return queue.ErrClosed
	case inner == nil:
		return s.Reopening()
	}
	able, ok := inner.(S)
	if !ok {
		return ErrUnsupported
	}
	err := f(able)
	switch {
	case errors.Is(err, queue.ErrFailed):
		s.report(inner)
	case errors.Is(err, queue.ErrClosed):
		s.mu.RLock()
		replaced := s.inner != inner && !s.closed
		s.mu.RUnlock()
		if replaced { // the caller's store was closed under it because it had failed
			return s.Reopening()
		}
	}
	return err
}

// Reopening returns what calls return between a failure and the next open store.
func (s *Store) Reopening() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.reason != nil {
		return fmt.Errorf("%w: it cannot be opened again: %v", queue.ErrFailed, s.reason) //nolint:errorlint // callers shall see a failure, whatever it came from
	}
	return fmt.Errorf("%w: it is being opened anew", queue.ErrFailed)
}

// report tells the manager, unless the store that failed was replaced already.
func (s *Store) report(inner queue.Store) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.inner != inner {
		return
	}
	select {
	case s.failed <- inner:
	default:
	}
}

// Close implements queue.Store.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		<-s.done
		return s.result
	}
	s.closed = true
	inner := s.inner
	if s.drop != nil {
		close(s.drop)
		s.drop = nil
	}
	s.mu.Unlock()
	defer close(s.done)
	close(s.quit)
	if inner != nil {
		s.result = inner.Close()
	}
	s.wg.Wait()
	return s.result
}

// Wake implements queue.Store.
func (s *Store) Wake() <-chan string { return s.wake }

var _ queue.Store = (*Store)(nil)

// Enqueue implements queue.Store.
func (s *Store) Enqueue(ctx context.Context, events []queue.NewEvent) (receipts []queue.Receipt, err error) {
	err = call(s, func(q queue.Store) error { receipts, err = q.Enqueue(ctx, events); return err })
	return receipts, err
}

// Claim implements queue.Store.
func (s *Store) Claim(ctx context.Context, req queue.ClaimRequest) (claimed []queue.Claimed, next time.Time, err error) {
	err = call(s, func(q queue.Store) error { claimed, next, err = q.Claim(ctx, req); return err })
	return claimed, next, err
}

// Settle implements queue.Store. Leases of a store that was replaced are lost.
func (s *Store) Settle(ctx context.Context, settlements []queue.Settlement) (lost []error, err error) {
	err = call(s, func(q queue.Store) error { lost, err = q.Settle(ctx, settlements); return err })
	return lost, err
}

// Replay implements queue.Store.
func (s *Store) Replay(ctx context.Context, event queue.ID, destination, orderKey string) error {
	return call(s, func(q queue.Store) error { return q.Replay(ctx, event, destination, orderKey) })
}

// Cancel implements queue.Store.
func (s *Store) Cancel(ctx context.Context, event queue.ID, destination string) error {
	return call(s, func(q queue.Store) error { return q.Cancel(ctx, event, destination) })
}
