package badgerstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"go.uber.org/zap"
)

const (
	lockName  = "LOCK"
	lockRetry = 100 * time.Millisecond

	// maxCrashes is more than need be told apart.
	maxCrashes = 30
)

// ErrInUse means that another process has the store open.
var ErrInUse = errors.New("a store has one owner")

// storeLock is the lock of a store's directory. In it are the process that has the store open and how often in a row those before it did not close it as they should; nothing
// once it is closed.
type storeLock struct {
	file    *os.File
	found   []byte
	crashes int  // how often in a row the store was not closed as it should be; 0: it is closed
	unsaid  bool // the disk had no room for what is to stand in it
}

// acquire takes the lock of a store's directory. A process that is on its way out may still hold it, so it is waited for.
func acquire(ctx context.Context, dir string, wait time.Duration, log *zap.Logger) (*storeLock, error) {
	path := filepath.Join(dir, lockName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock store: %w", err)
	}
	deadline, cancel := context.WithTimeout(ctx, max(wait, 0))
	defer cancel()
	ticker := time.NewTicker(lockRetry)
	defer ticker.Stop()
	for told := false; ; {
		ok, err := lockFile(f)
		if err != nil {
			_ = f.Close() // nothing was written
			return nil, fmt.Errorf("lock store: %w", err)
		}
		if ok {
			break
		}
		if !told {
			log.Info("another process has the store open; waiting for it to end", zap.String("dir", dir), zap.String("pid", lockHolder(path)))
			told = true
		}
		select {
		case <-ticker.C:
		case <-deadline.Done():
			holder := lockHolder(path)
			_ = f.Close() // nothing was written
			return nil, fmt.Errorf("store %s is in use by process %s, and still was after %s: %w", dir, holder, wait, ErrInUse)
		}
	}
	l := &storeLock{file: f}
	if l.found, err = io.ReadAll(f); err != nil {
		_ = f.Close() // the lock ends with it
		return nil, fmt.Errorf("lock store: %w", err)
	}
	l.crashes = crashesIn(l.found)
	// It is held whatever stands in it, and whoever opens the store may be about to make room.
	if err := l.write(l.crashes); err != nil {
		l.unsaid = true
		log.Warn("the lock does not say who holds it", zap.String("file", path), zap.Error(err))
	}
	return l, nil
}

// say writes what acquire could not.
func (l *storeLock) say() error {
	if !l.unsaid {
		return nil
	}
	if err := l.write(l.crashes); err != nil {
		return fmt.Errorf("lock store: %w", err)
	}
	l.unsaid = false
	return nil
}

// crashesIn returns the crashes of which a lock's content tells.
func crashesIn(content []byte) int {
	fields := bytes.Fields(content)
	if len(fields) < 2 {
		return len(fields)
	}
	before, err := strconv.Atoi(string(fields[1]))
	if err != nil || before < 0 || before > maxCrashes {
		before = maxCrashes
	}
	return before + 1
}

// release gives the lock back. closed tells that the store is closed as it should be.
func (l *storeLock) release(closed bool) error {
	if closed {
		return errors.Join(l.replace(nil), l.file.Close())
	}
	return l.file.Close()
}

// leave gives the lock of a store back in which nothing was changed.
func (l *storeLock) leave() error { return errors.Join(l.replace(l.found), l.file.Close()) }

// write says who has the store, and how often in a row it was not closed before.
func (l *storeLock) write(crashes int) error {
	return l.replace(fmt.Appendf(nil, "%d %d\n", os.Getpid(), crashes))
}

// replace keeps what was there where the disk has no room for what comes in its place.
func (l *storeLock) replace(content []byte) error {
	if _, err := l.file.WriteAt(content, 0); err != nil {
		return err
	}
	return l.file.Truncate(int64(len(content)))
}

// lockHolder returns the process of which a lock tells.
func lockHolder(path string) string {
	b, err := os.ReadFile(path)
	if fields := bytes.Fields(b); err == nil && len(fields) > 0 {
		return string(fields[0])
	}
	return "(unknown)"
}
