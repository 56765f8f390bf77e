package badgerstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Check reads every row and every payload of an open store and compares them with each other, as they are at one moment. It takes as long as reading
// the whole store does, and the store goes on meanwhile; space that is given up meanwhile comes back afterwards. What it finds is in the report, an
// error means that it could not look.
func (s *Store) Check(ctx context.Context) (*Report, error) {
	report := &Report{Dir: s.dir, At: s.clock().UTC(), Online: true, Encrypted: len(s.o.EncryptionKey) > 0}
	sn, done, err := s.current(ctx)
	if err != nil {
		return nil, fmt.Errorf("check: %w", err)
	}
	defer done()
	ctx, cancel := s.whileOpen(ctx)
	defer cancel()
	if _, err := checkRows(ctx, txnSource{sn.txn}, report); err != nil {
		return nil, fmt.Errorf("check: %w", err)
	}
	if n := s.damaged.Load(); n > 0 {
		report.add(Finding{Level: LevelNote, Kind: "event", Text: fmt.Sprintf("%d damaged events were met since the store was opened; their deliveries are dead", n)})
	}
	report.finish()
	return report, nil
}

// CheckDir reads every file of a store that nobody has open and changes none of them. Errors: [ErrNoStore], [ErrKey], one that says who has it open.
func CheckDir(ctx context.Context, dir string, o Options) (report *Report, err error) {
	if _, err := o.keepSizes(dir); err != nil {
		return nil, fmt.Errorf("check: %w", err)
	}
	if err := o.setDefaults(); err != nil {
		return nil, fmt.Errorf("check: %w", err)
	}
	lock, err := lockStore(ctx, dir, &o)
	if err != nil {
		return nil, fmt.Errorf("check: %w", err)
	}
	defer func() { err = errors.Join(err, lock.leave()) }()
	report = &Report{Dir: dir, At: o.Clock().UTC(), Encrypted: len(o.EncryptionKey) > 0}
	db, err := openRawDB(filepath.Join(dir, "db"), o.EncryptionKey, report)
	if err != nil {
		return nil, fmt.Errorf("check %s: %w", dir, err)
	}
	defer db.close()
	checkMarker(dir, report)
	c, err := checkRows(ctx, db, report)
	if err != nil {
		return nil, fmt.Errorf("check %s: %w", dir, err)
	}
	for file, n := range db.missing {
		report.add(Finding{Kind: "value_log", File: fmt.Sprintf("db/%06d.vlog", file), Text: fmt.Sprintf("is missing, and with it %s", count(n, "payload", "payloads")), WayOut: outSalvage})
	}
	if c.format > formatVersion {
		report.add(Finding{Kind: "row", Text: fmt.Sprintf("the store has format %d; this version reads format %d", c.format, formatVersion), WayOut: "use the version of Sluice that wrote it, or a newer one"})
	}
	if last, segments, ok := checkJournal(dir, &o, c, report); ok {
		checkHighWater(dir, last, c.applied.commits, segments, report)
	}
	report.finish()
	return report, nil
}

// lockStore takes the lock of a store that is there.
func lockStore(ctx context.Context, dir string, o *Options) (*storeLock, error) {
	if info, err := os.Stat(filepath.Join(dir, "db")); errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir() {
		return nil, fmt.Errorf("%s: %w", dir, ErrNoStore)
	} else if err != nil {
		return nil, err
	}
	return acquire(ctx, dir, o.LockWait, o.Logger)
}

func checkMarker(dir string, report *Report) {
	if _, err := os.Stat(filepath.Join(dir, incompleteName)); err == nil {
		report.add(Finding{Kind: "mark", File: incompleteName, Text: "a restore or a salvage into this directory was not finished", WayOut: outIncomplete})
	}
}

// checkJournal reads the journal as opening the store does. It returns the number of the last event and the segments; false if the journal cannot be read.
func checkJournal(dir string, o *Options, c *checker, report *Report) (last uint64, segments []doneSegment, ok bool) {
	last, segments, err := replayJournal(readOnlyFS{}, filepath.Join(dir, "journal"), o.EncryptionKey, c.applied.seq, func(seq uint64, rec []byte) error {
		report.Journal++
		e, err := decodeEvent(rec, seq, true)
		if err != nil {
			report.add(Finding{Kind: "journal", Event: eventName(seq), Text: "its record does not match its checksum", WayOut: outSalvage})
		} else {
			report.Events++
			report.Payload += int64(e.size)
			report.Deliveries += uint64(len(e.deliveries))
		}
		return nil
	})
	if err != nil {
		report.add(Finding{Kind: "journal", File: "journal", Text: err.Error(), WayOut: outSalvage})
	}
	return last, segments, err == nil
}

// checkHighWater compares what was found with the high-water mark. complete is false if events may be missing that it knows of.
func checkHighWater(dir string, seq, commits uint64, segments []doneSegment, report *Report) (complete bool) {
	b, err := os.ReadFile(filepath.Join(dir, markName))
	if errors.Is(err, fs.ErrNotExist) {
		report.add(Finding{Level: LevelNote, Kind: "mark", File: markName, Text: "is missing; whether the store has lost its newest part cannot be told"})
		return true
	}
	mark, ok := decodeMark(b)
	if err != nil || !ok {
		report.add(Finding{Kind: "mark", File: markName, Text: "is broken; whether the store has lost its newest part cannot be told", WayOut: outMark})
		return false
	}
	lost, events := mark.lost(seq, commits, segments)
	if lost != "" {
		report.add(Finding{Kind: "mark", File: markName, Text: "the store went back in time: " + lost, WayOut: outSalvage})
	}
	return !events
}

// readOnlyFS reads a journal and refuses everything else.
type readOnlyFS struct{ osFS }

var errReadOnly = errors.New("nothing is written here")

func (readOnlyFS) Open(path string) (file, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (readOnlyFS) Create(string) (file, error) { return nil, errReadOnly }

func (readOnlyFS) Rename(string, string) error { return errReadOnly }

func (readOnlyFS) Remove(string) error { return errReadOnly }

func (readOnlyFS) SyncDir(string) error { return errReadOnly }

// incompleteName is a file that is in a store's directory while something is being carried into it.
const incompleteName = "INCOMPLETE"
