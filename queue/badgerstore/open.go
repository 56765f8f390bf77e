package badgerstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4"

	"github.com/sluice-webhooks/sluice/queue"
)

// Open opens the store in a directory, or makes one there. Errors: queue.ErrDamaged if something is broken or missing that was
// promised, queue.ErrFull if there is no room to open it.
func Open(dir string, o Options) (*Store, error) {
	return OpenContext(context.Background(), dir, o)
}

// OpenContext is Open with a context that ends the waiting for another process.
func OpenContext(ctx context.Context, dir string, o Options) (*Store, error) {
	if err := o.fitDisk(dir); err != nil {
		return nil, fmt.Errorf("open store %s: %w", dir, err)
	}
	if err := o.setDefaults(); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	if err := o.checkSize(o.MaxSize); err != nil {
		return nil, fmt.Errorf("open store %s: %w", dir, err)
	}
	s := newStore(dir, o)
	if err := s.open(ctx); err != nil {
		if errors.Is(err, errPanicked) { // over a broken table
			err = fmt.Errorf("%w: %w", queue.ErrDamaged, err)
		}
		return nil, errors.Join(fmt.Errorf("open store %s: %w", dir, err), s.abandon())
	}
	return s, nil
}

func newStore(dir string, o Options) *Store {
	s := &Store{
		o: o, dir: dir, log: o.Logger, clock: o.Clock,
		wakes:   wakes{ch: make(chan string, wakeSize)},
		lanes:   lanes{byName: map[string]*lane{}, max: map[string]int64{"": o.MaxPending}},
		claims:  recentClaims{young: map[[16]byte]*pending{}},
		buckets: claimBuckets{most: int64(o.BucketClaims)},
		intake:  intake{sources: map[string]*sourceRow{}},
		calls:   calls{ended: make(chan struct{})},
		toSeal:  make(chan struct{}, 1),
		closed:  make(chan struct{}), failed: make(chan struct{}), quit: make(chan struct{}),
	}
	s.life, s.endLife = context.WithCancel(context.Background())
	s.metaBuried.Store(true)
	s.snaps.panicked = s.panicked
	s.disk = newDiskGuard(dir, &s.o)
	return s
}

func (s *Store) open(ctx context.Context) error {
	db, journal := filepath.Join(s.dir, "db"), filepath.Join(s.dir, "journal")
	for _, d := range []string{s.dir, db, journal} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return err
		}
	}
	lock, err := acquire(ctx, s.dir, s.o.LockWait, s.log)
	if err != nil {
		return err
	}
	s.lock = lock
	if err := checkComplete(s.dir); err != nil {
		return err
	}
	if err := s.disk.prepare(); err != nil {
		return err
	}
	if err := lock.say(); err != nil {
		return err
	}
	if err := s.checkFiles(db, lock.crashes); err != nil {
		return err
	}
	if err := s.keepManifest(); err != nil {
		return err
	}
	if err := s.openDatabase(db); err != nil {
		return err
	}
	state, err := s.loadState()
	if err != nil {
		return err
	}
	if err := s.recover(journal, state); err != nil {
		return err
	}
	return s.start()
}

func (s *Store) openDatabase(db string) error {
	return guarded(func() (err error) {
		if s.db, err = badger.Open(s.o.badger(db, badgerLog{s.log, s.fail})); err != nil {
			s.db = nil // Badger returns one that it has cleaned up itself
			if errors.Is(err, badger.ErrEncryptionKeyMismatch) {
				return fmt.Errorf("the encryption key is not the one the store was made with: %w", err)
			}
			return fmt.Errorf("%w%s", err, wayOut)
		}
		return s.Failure()
	})
}

// loadState reads the store's own bookkeeping.
func (s *Store) loadState() (appliedState, error) {
	state := newAppliedState()
	sn := &snapshot{txn: s.db.NewTransaction(false)}
	s.snaps.publish(sn)
	version := uint64(0)
	err := sn.row(keyFormat, func(value []byte) error {
		d := decoder{b: value}
		version = d.fixed()
		return nil
	})
	if errors.Is(err, queue.ErrNotFound) {
		err := s.create(&state)
		sn.seq = state.seq // the numbers begin after it
		return state, err
	}
	if err != nil {
		return state, fmt.Errorf("format of the store: %w%s", err, wayOut)
	}
	if err := s.migrate(version); err != nil {
		return state, err
	}
	if version != s.o.format {
		sn = &snapshot{txn: s.db.NewTransaction(false)} // shows what the migration has written
		s.snaps.publish(sn)
	}
	err = sn.row(keyApplied, func(value []byte) error {
		d := decoder{b: value}
		state.seq, state.commits, state.events = d.fixed(), d.fixed(), d.int()
		if len(d.b) > 0 {
			state.kept = kept(d.byte())
		}
		if len(d.b) > 0 {
			state.latest = d.int()
		}
		return nil
	})
	if err != nil {
		return state, fmt.Errorf("what the database holds: %w%s", err, wayOut)
	}
	sn.seq, sn.events = state.seq, state.events
	return state, state.load(sn)
}

// create writes the first rows of a new store. Its events begin at the current time, so that the numbers of a store that was thrown
// away never come back.
func (s *Store) create(state *appliedState) error {
	if old, err := s.o.files.List(filepath.Join(s.dir, "journal"), journalPattern); err != nil || len(old) > 0 {
		return errors.Join(err, fmt.Errorf("%w: the database is empty, but its journal has %d segments%s", queue.ErrDamaged, len(old), wayOut))
	}
	if err := s.checkEmpty(); err != nil {
		return err
	}
	state.seq = uint64(s.clock().UnixMicro()) - 1
	return s.db.Update(func(txn *badger.Txn) error {
		if err := txn.Set(keyFormat, seal(keyFormat, encodeFormat(s.o.format))); err != nil {
			return err
		}
		e := encoder{}
		e.fixed(state.seq)
		e.fixed(0)
		e.int(0)
		return txn.Set(keyApplied, seal(keyApplied, e.b))
	})
}

// start makes the store usable.
func (s *Store) start() error {
	var random [8]byte
	if _, err := rand.Read(random[:]); err != nil {
		return fmt.Errorf("random tokens: %w", err)
	}
	// Tokens of leases from before a restart mean nothing after it.
	s.tokens.Store(be.Uint64(random[:]) >> 1)
	state := &s.applier.state
	for id, row := range state.lanes {
		s.lanes.withID(id).restore(row, state.seq+1)
	}
	for name, src := range state.sources {
		copied := *src
		s.intake.sources[name] = &copied
	}
	s.prepareBuckets()
	if err := s.copyManifest(); err != nil {
		return err
	}
	if err := s.dropAside(); err != nil {
		return err
	}
	s.disk.used.Store(dirSize(s.dir))
	s.disk.keepBallast()
	s.zones.ready.Store(state.kept&keptZones != 0)
	s.wg.Add(3)
	go s.applier.run()
	go s.keepMarks()
	if !s.o.manual {
		s.wg.Add(2)
		go s.keepZones()
		go s.keepClaims()
	}
	go s.fillFilters(s.buckets.all(), state.seq)
	go func() {
		defer s.wg.Done()
		s.disk.watch(s.quit)
	}()
	return s.Failure()
}

// restore sets a lane to what is on disk. next is the number of the next event.
func (l *lane) restore(row *laneRow, next uint64) {
	l.pending.Store(row.pending)
	l.delivered, l.dead, l.cancelled, l.owners = row.delivered, row.dead, row.cancelled, row.owners
	l.known = true
	l.hotFrom, l.cursor, l.lowOpen = next, min(row.lowFIFO<<blockBits, next), row.lowOpen
	l.schedule.complete = row.lowDue == math.MaxInt64
	l.schedule.last = entry{due: row.lowDue - 1, seq: math.MaxUint64}
	l.marked = marks{row.lowFIFO, row.lowDue, row.lowOpen}
}

var errNotOpen = errors.New("the store was not opened")

// abandon undoes what a failed Open has done.
func (s *Store) abandon() error {
	if s.closing.Swap(true) {
		return nil
	}
	s.endLife()
	close(s.closed)
	if s.lock == nil {
		return nil
	}
	s.refuse(errNotOpen)
	return s.closeFiles()
}
