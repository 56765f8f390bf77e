package badgerstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.uber.org/zap"
)

const (
	lockName  = "LOCK"
	lockRetry = 100 * time.Millisecond
)

// ErrInUse means that another process has the store open.
var ErrInUse = errors.New("a store has one owner")

// storeLock is the lock of a store's directory.
type storeLock struct {
	file   *os.File
	closed bool // it was closed as it should be by whoever had it open last
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
	info, err := f.Stat()
	if err == nil {
		err = writePID(f)
	}
	if err != nil {
		_ = f.Close() // the lock ends with it
		return nil, fmt.Errorf("lock store: %w", err)
	}
	return &storeLock{f, info.Size() == 0}, nil
}

// release gives the lock back. closed tells that the store is closed as it should be.
func (l *storeLock) release(closed bool) error {
	var err error
	if closed {
		err = l.file.Truncate(0)
	}
	return errors.Join(err, l.file.Close())
}

// leave gives the lock of a store back that was only looked at.
func (l *storeLock) leave() error { return l.release(l.closed) }

func writePID(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0)
	return err
}

// lockHolder returns what the lock's owner wrote about itself.
func lockHolder(path string) string {
	b, err := os.ReadFile(path)
	if pid := strings.TrimSpace(string(b)); err == nil && pid != "" {
		return pid
	}
	return "(unknown)"
}
