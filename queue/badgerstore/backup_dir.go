package badgerstore

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// BackupDir writes a backup of a store that nobody has open. What is only in its journal is brought into its database first, as opening it does. A store of an
// earlier format is left to the version that wrote it, which could not read it afterwards. Errors: [ErrNoStore], [ErrKey], [ErrFormat], those of [Open].
func BackupDir(ctx context.Context, dir string, w io.Writer, o Options) (info BackupInfo, err error) {
	with := o
	if err := with.setDefaults(); err != nil {
		return info, fmt.Errorf("backup: %w", err)
	}
	lock, err := lockStore(ctx, dir, &with)
	if err != nil {
		return info, fmt.Errorf("backup: %w", err)
	}
	if err := lock.leave(); err != nil {
		return info, fmt.Errorf("backup: %w", err)
	}
	o.keepFormat = true
	s, err := OpenContext(ctx, dir, o)
	if err != nil {
		return info, fmt.Errorf("backup: %w", err)
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return s.Backup(ctx, w)
}
