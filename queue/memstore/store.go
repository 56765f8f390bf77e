// Package memstore is the reference implementation of the queue's contract, in memory: it says by example what a store has to
// do, and the tests of everything above the store run on it. It keeps its promises as long as the process lives.
package memstore

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
)

// Options of a store.
type Options struct {
	// Clock tells the time by which dedup windows end and deliveries are settled. Default: the system's clock.
	Clock func() time.Time
}

// Store is a queue in memory. It implements [queue.Store], [queue.Inspector], [queue.Maintainer] and [queue.Metadata].
type Store struct {
	clock func() time.Time
	wakes chan string

	mu      sync.Mutex
	closed  bool
	lastID  queue.ID
	token   uint64
	events  []*event // ordered by id
	byID    map[queue.ID]*event
	bytes   int64 // of the bodies
	claims  claims
	lanes   map[string]*lane
	sources map[string]queue.SourceStats
	meta    map[string][]byte
}

// event is a stored event and its deliveries, sorted by destination.
type event struct {
	*queue.Event
	deliveries []*delivery
}

func (e *event) delivery(destination string) *delivery {
	for _, d := range e.deliveries {
		if d.Destination == destination {
			return d
		}
	}
	return nil
}

var (
	_ queue.Store      = (*Store)(nil)
	_ queue.Inspector  = (*Store)(nil)
	_ queue.Maintainer = (*Store)(nil)
	_ queue.Metadata   = (*Store)(nil)
)

// New returns an empty store.
func New(o Options) *Store {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	return &Store{
		clock:   o.Clock,
		wakes:   make(chan string, wakeSize),
		lastID:  queue.ID(o.Clock().UnixMicro()) - 1,
		byID:    map[queue.ID]*event{},
		claims:  claims{byKey: map[claimKey]queue.ID{}},
		lanes:   map[string]*lane{},
		sources: map[string]queue.SourceStats{},
		meta:    map[string][]byte{},
	}
}

// enter locks the store for one call; the caller unlocks it if err is nil.
func (s *Store) enter(ctx context.Context, doing string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return fmt.Errorf("%s: %w", doing, queue.ErrClosed)
	}
	return nil
}

// Close implements [queue.Store].
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}

func (s *Store) lane(destination string) *lane {
	l := s.lanes[destination]
	if l == nil {
		l = newLane(destination)
		s.lanes[destination] = l
	}
	return l
}
