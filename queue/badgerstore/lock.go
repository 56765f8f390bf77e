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

// acquire takes the lock of a store's directory. A process that is on its way out may still hold it, so it is waited for. closed tells that nobody has had it since the
// store was closed as it should be.
func acquire(ctx context.Context, dir string, wait time.Duration, log *zap.Logger) (f *os.File, closed bool, err error) {
	path := filepath.Join(dir, lockName)
	f, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, false, fmt.Errorf("lock store: %w", err)
	}
	deadline, cancel := context.WithTimeout(ctx, max(wait, 0))
	defer cancel()
	ticker := time.NewTicker(lockRetry)
	defer ticker.Stop()
	for told := false; ; {
		ok, err := lockFile(f)
		if err != nil {
			_ = f.Close() // nothing was written
			return nil, false, fmt.Errorf("lock store: %w", err)
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
			return nil, false, fmt.Errorf("store %s is in use by process %s, and still was after %s: %w", dir, holder, wait, ErrInUse)
		}
	}
	info, err := f.Stat()
	if err == nil {
		err = writePID(f)
	}
	if err != nil {
		_ = f.Close() // the lock ends with it
		return nil, false, fmt.Errorf("lock store: %w", err)
	}
	return f, info.Size() == 0, nil
}

// release gives the lock of a store back that is closed as it should be.
func release(lock *os.File) error { return errors.Join(lock.Truncate(0), lock.Close()) }

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
