// Package badgerstore is the durable queue of a single machine: a journal that is synced before an event is acknowledged, and Badger
// behind it, which holds everything.
//
// # The way of an event
//
// Enqueue encodes the event, looks its dedup claim up and joins the current group. The group's leader (group.go) writes all its
// records to the journal, syncs once, and hands them to the destinations' lanes, where Claim finds them in memory, and to the applier.
// The applier (applier.go) is the only writer of Badger's transactions: groups, settlements and everything else go through its queue
// in order, and a transaction holds the number of the last event it contains. A journal segment is used again once Badger has all of it.
//
// # What is on disk
//
//	db/          Badger
//	journal/     segments (segment.go)
//	LOCK         held by the one process that has the store open
//	HWM          what was promised last, to recognise a store that went back in time (guard.go)
//	ballast      space that is given up to get a store on a full disk started (disk.go)
//	manifests/   copies of Badger's MANIFEST
//	CLOSED       what the tables were when it was closed (guard_closed.go)
//	SIZES        the sizes of files that it was made with (sizes.go)
//
// # Locks
//
// A goroutine that holds one of these may take those to its right: Store.mu; lane.mu > lane.hotMu, tail.mu, applier.mu. Nothing reads
// the disk under Store.mu, hotMu, tail.mu or applier.mu, but for a dedup lookup that has to be repeated.
package badgerstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/badger/v4"
	"go.uber.org/zap"

	"github.com/sluice-webhooks/sluice/queue"
)

// Store is an open store. It implements [queue.Store], [queue.Inspector], [queue.Maintainer] and [queue.Metadata].
type Store struct {
	o     Options
	dir   string
	log   *zap.Logger
	clock func() time.Time

	lock    *storeLock
	db      *badger.DB
	journal *journal
	applier *applier
	disk    *diskGuard

	wakes  wakes
	lanes  lanes
	tail   tail
	tokens atomic.Uint64
	snaps  snapshots

	failure atomic.Pointer[error] // why the store can no longer be used
	failed  chan struct{}         // closed when failure is set
	closing atomic.Bool
	calls   calls
	life    context.Context // ends when Close begins
	endLife context.CancelFunc
	closed  chan struct{} // closed when Close is done
	closeAs error

	mu      sync.Mutex // of everything about enqueuing
	intake  intake
	claims  recentClaims
	buckets claimBuckets
	sealing sync.Mutex    // of who deletes rows of claims
	toSeal  chan struct{} // cap 1: a bucket may have to be sealed
	handing sync.Mutex    // a group is handed to the applier and to the lanes in one step

	writing struct { // only the leader's
		records   [][]byte
		continues []bool
	}
	promised atomic.Uint64 // last event that is durable in the journal

	markMu        sync.Mutex
	marked        []byte // the high-water mark as it is on disk
	newestSegment uint64 // see highWater; guarded by markMu

	pruning sync.RWMutex // replays read-lock it: an event is not pruned under them

	maintaining sync.Mutex // of what follows
	hand        stragglerHand
	garbage     int64  // bytes of the events pruned since the tree was last compacted as a whole, about
	newest      uint64 // number of the newest table at the last collect
	metaGarbage int64  // bytes of older versions of metadata that are still in the tree
	keptLog     string // file of the value log that is broken and not collected yet
	scrubber    scrubber

	work        work
	newestTable uint64 // that the manifest named when the store was opened

	latest atomic.Int64 // time that the clock has said, of those since which it has not gone back

	metaMu     sync.RWMutex // who puts metadata read-locks it while it queues it
	metaBuried atomic.Bool  // there may be tombstones of metadata

	zones zones

	firstEvent   atomic.Uint64 // no event with a lower number is stored
	damaged      atomic.Uint64
	brokenTables atomic.Uint64
	wg           sync.WaitGroup
	quit         chan struct{}
}

var (
	_ queue.Store      = (*Store)(nil)
	_ queue.Inspector  = (*Store)(nil)
	_ queue.Maintainer = (*Store)(nil)
	_ queue.Metadata   = (*Store)(nil)
)

// fail makes the store refuse everything from now on. The first reason is kept.
func (s *Store) fail(reason error) {
	if s.refuse(reason) {
		s.log.Error("the store can no longer promise durability and refuses everything until it is reopened", zap.Error(reason))
	}
}

// refuse is fail for a reason that somebody else tells. It returns false if there was one before.
func (s *Store) refuse(reason error) bool {
	first := s.failure.CompareAndSwap(nil, &reason)
	if first {
		close(s.failed)
	}
	return first
}

var errPanicked = errors.New("the database panicked")

// panicked makes the store fail because Badger panicked, and returns what usable does then.
func (s *Store) panicked(reason any) error {
	if s.Failure() == nil {
		s.suspect()
		s.log.Error("the database panicked", zap.Any("reason", reason), zap.Stack("stack"))
		line := strings.Join(strings.Fields(fmt.Sprint(reason)), " ")
		s.fail(fmt.Errorf("%w: %.200s%s", errPanicked, line, wayOut))
	}
	return s.usable()
}

// usable returns an error if the store is closed or has failed.
func (s *Store) usable() error {
	if reason := s.failure.Load(); reason != nil {
		return fmt.Errorf("%w: %w", queue.ErrFailed, *reason)
	}
	if s.closing.Load() {
		return queue.ErrClosed
	}
	return nil
}

// Failure returns why the store has failed, nil if it has not.
func (s *Store) Failure() error {
	if reason := s.failure.Load(); reason != nil {
		return *reason
	}
	return nil
}

// Damaged returns how many damaged events were met since the store was opened, whose deliveries were made dead, and how many broken tables.
func (s *Store) Damaged() uint64 { return s.damaged.Load() + s.brokenTables.Load() }

// Dir returns the store's directory.
func (s *Store) Dir() string { return s.dir }
