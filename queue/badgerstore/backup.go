package badgerstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4"

	"github.com/sluice-webhooks/sluice/queue"
)

// Backup writes everything that is in the store at one moment: each event that was accepted before the call, what is still only in the journal included, with its
// deliveries' states, the dedup claims, the counters and the metadata. The store goes on meanwhile. The backup of an encrypted store is encrypted with the same key.
// Events that cannot be read are counted, and are in it as they are.
func (s *Store) Backup(ctx context.Context, w io.Writer) (info BackupInfo, err error) {
	sn, done, err := s.caughtUp(ctx) // what is in the journal can be read from the database only
	if err != nil {
		return BackupInfo{}, fmt.Errorf("backup: %w", err)
	}
	ctx, cancel := s.whileOpen(ctx)
	defer cancel()
	// Whoever is slow to take the backup must not hold up the end of the store.
	from, to := io.Pipe()
	defer context.AfterFunc(ctx, func() { _ = to.CloseWithError(context.Cause(ctx)) })()
	written := make(chan struct{})
	go func() {
		defer close(written)
		defer done()
		info, err = s.backUp(ctx, sn, to)
		_ = to.CloseWithError(err) // never fails
	}()
	_, failed := io.Copy(w, from)
	_ = from.CloseWithError(failed) // never fails
	<-written
	if err = cmp.Or(failed, err); err != nil {
		return info, fmt.Errorf("backup: %w", err)
	}
	return info, nil
}

// backUp writes the rows that a snapshot shows.
func (s *Store) backUp(ctx context.Context, sn *snapshot, w io.Writer) (info BackupInfo, err error) {
	defer sn.guard(&err)
	a, err := newArchiveWriter(w, s.o.EncryptionKey, s.clock(), sn.seq)
	if err != nil {
		return BackupInfo{}, err
	}
	rows := txnSource{sn.txn}.scan(nil)
	defer rows.close()
	for n := 0; ; n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return a.info, context.Cause(ctx)
		}
		key, value, readErr, ok := rows.step()
		if !ok {
			break
		}
		if sn.gone(key, value) || key[0] == tabZone || key[0] == tabFilter { // these are made anew
			continue
		}
		if key[0] == tabEvent && len(key) == 9 {
			a.info.Events++
			if _, _, sound := splitEvent(value, be.Uint64(key[1:]), true); !sound || readErr != nil {
				a.info.Damaged++
			}
		}
		if err := a.row(key, value); err != nil {
			return a.info, err
		}
	}
	return a.end()
}

// Restore makes a store of a backup, in a directory that is empty or does not exist. key is that of the backup, o.EncryptionKey the one of the new store, which may
// be another one or none. Events that come later get numbers that were never used, also if the store that was backed up went on. When the disk has too little room it stops before it
// is full; what was begun stays marked as incomplete. Errors: [ErrBackup], [ErrKey], [queue.ErrFull].
func Restore(ctx context.Context, r io.Reader, key []byte, dir string, o Options) (info BackupInfo, err error) {
	given := o
	if err := o.setDefaults(); err != nil {
		return info, fmt.Errorf("restore: %w", err)
	}
	a, err := newArchiveReader(r)
	if err != nil {
		return info, fmt.Errorf("restore: %w", err)
	}
	if a.format > formatVersion {
		return info, fmt.Errorf("restore: %w: it has format %d; this version reads format %d", ErrBackup, a.format, formatVersion)
	}
	if err := a.unlock(key); err != nil {
		return info, fmt.Errorf("restore: %w", err)
	}
	// What can be wrong with the key is found out before anything is written.
	kind, payload, err := a.next()
	if err == nil && kind == chunkRows {
		payload, err = a.open(payload)
	}
	if err != nil {
		return info, fmt.Errorf("restore: %w", err)
	}
	size := sizeOf(r)
	if err := o.fits(size, dir); err != nil {
		return info, fmt.Errorf("restore: %w", err)
	}
	lock, err := claimDir(ctx, dir, &o)
	if err != nil {
		return info, fmt.Errorf("restore: %w", err)
	}
	defer func() { err = errors.Join(err, lock.release(false)) }()
	if err := errors.Join(given.fitDisk(dir), given.setDefaults()); err != nil {
		return info, fmt.Errorf("restore: %w", err)
	}
	if err := restoreRows(ctx, a, kind, payload, dir, &given, size); err != nil {
		return a.info, fmt.Errorf("restore: %w", err)
	}
	if err := releaseDir(dir); err != nil {
		return a.info, fmt.Errorf("restore: %w", err)
	}
	return a.info, nil
}

// claimDir makes an empty directory a store's, marked as incomplete.
func claimDir(ctx context.Context, dir string, o *Options) (*storeLock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	found, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, f := range found {
		if f.Name() != "lost+found" {
			return nil, fmt.Errorf("%s is not empty: give a directory that is, or that does not exist yet", dir)
		}
	}
	if err := replaceFile(filepath.Join(dir, incompleteName), []byte("something is being carried into this store, or that was not finished\n")); err != nil {
		return nil, err
	}
	for _, d := range []string{"db", "journal"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o700); err != nil {
			return nil, err
		}
	}
	if err := syncDir(dir); err != nil {
		return nil, err
	}
	return acquire(ctx, dir, o.LockWait, o.Logger)
}

// checkComplete refuses a directory into which something was being carried when the process ended.
func checkComplete(dir string) error {
	path := filepath.Join(dir, incompleteName)
	if _, err := os.Stat(path); err == nil {
		return fmt.Errorf("%w: a restore or a salvage into %s was not finished: %s (it is marked by %s)", queue.ErrDamaged, dir, outIncomplete, path)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// releaseDir takes the mark away once everything is durable.
func releaseDir(dir string) error {
	for _, d := range []string{"db", "journal", "."} {
		if err := syncDir(filepath.Join(dir, d)); err != nil {
			return err
		}
	}
	if err := os.Remove(filepath.Join(dir, incompleteName)); err != nil {
		return err
	}
	return syncDir(dir)
}

// restoreRows writes the rows and the high-water mark. size is that of the backup; 0: it is not known.
func restoreRows(ctx context.Context, a *archiveReader, kind uint32, payload []byte, dir string, o *Options, size int64) error {
	disk := newDiskGuard(dir, o)
	if err := disk.prepare(); err != nil {
		return err
	}
	var failed error
	log := badgerLog{o.Logger, func(err error) { failed = err }}
	db, err := badger.Open(o.badger(filepath.Join(dir, "db"), log).WithSyncWrites(false)) // it is synced as a whole at the end
	if err != nil {
		return err
	}
	t := &restorer{batch: db.NewWriteBatch(), o: o}
	out := func() error { // Badger itself would hold back all that is not smaller than a memtable without its values
		err := t.batch.Flush()
		t.batch = db.NewWriteBatch()
		return err
	}
	t.room = newRoom(disk, out, func() (string, int64) {
		return fmt.Sprintf("%d events and %s of the backup are restored", t.events, mebibytes(a.info.Bytes)), max(0, size-a.info.Bytes)
	})
	err = t.all(ctx, a, kind, payload)
	if err == nil {
		err = t.batch.Flush()
	} else {
		t.batch.Cancel()
	}
	if err == nil {
		err = db.Sync()
	}
	if err = errors.Join(err, guarded(db.Close), failed); err != nil {
		return err
	}
	return replaceFile(filepath.Join(dir, markName), highWater{seq: t.seq, commits: t.commits}.encode())
}

// restorer writes the rows of a backup.
type restorer struct {
	batch        *badger.WriteBatch
	o            *Options
	room         *room
	rows, events uint64
	seq, commits uint64
}

func (t *restorer) all(ctx context.Context, a *archiveReader, kind uint32, payload []byte) (err error) {
	for kind == chunkRows {
		if err := ctx.Err(); err != nil {
			return err
		}
		for d := (decoder{b: payload}); len(d.b) > 0; {
			key, value := d.view(), d.view()
			if d.bad || len(key) == 0 {
				return fmt.Errorf("%w: a row cannot be read", ErrBackup)
			}
			if err := t.row(key, value); err != nil {
				return err
			}
		}
		if kind, payload, err = a.next(); err == nil && kind == chunkRows {
			payload, err = a.open(payload)
		}
		if err != nil {
			return err
		}
	}
	if err := a.end(payload); err != nil {
		return err
	}
	if t.rows != a.info.Rows || t.events != a.info.Events || t.seq == 0 {
		return fmt.Errorf("%w: it has %d rows and %d events, and says that it has %d and %d", ErrBackup, t.rows, t.events, a.info.Rows, a.info.Events)
	}
	return nil
}

func (t *restorer) row(key, value []byte) error {
	t.rows++
	if err := t.room.take(len(key) + len(value)); err != nil {
		return err
	}
	switch {
	case key[0] == tabEvent:
		t.events++
	case string(key) == string(keyApplied):
		b, ok := unseal(key, value)
		if !ok {
			return fmt.Errorf("%w: the row that says what it holds is broken", ErrBackup)
		}
		d := decoder{b: b}
		seq, commits, events := d.fixed(), d.fixed(), d.int()
		// The store that was backed up may have given numbers away since.
		t.seq, t.commits = max(seq, uint64(t.o.Clock().UnixMicro())-1), commits
		e := encoder{}
		e.fixed(t.seq)
		e.fixed(t.commits)
		e.int(events)
		value = seal(key, e.b)
	}
	return t.batch.SetEntry(badger.NewEntry(key, value))
}
