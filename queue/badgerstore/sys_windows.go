package badgerstore

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/windows"
)

// diskSpace returns the bytes that are free for this user on the disk of a directory, and its size.
func diskSpace(dir string) (free, total int64, err error) {
	name, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, 0, err
	}
	var avail, size, all uint64
	if err := windows.GetDiskFreeSpaceEx(name, &avail, &size, &all); err != nil {
		return 0, 0, err
	}
	return int64(avail), int64(size), nil
}

// allocated returns how many bytes of the disk a file takes.
func allocated(info fs.FileInfo) int64 { return info.Size() }

// lockFile takes an exclusive lock that ends with the process; false if somebody else has it.
func lockFile(f *os.File) (bool, error) {
	err := windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, new(windows.Overlapped))
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return false, nil
	}
	return err == nil, err
}
