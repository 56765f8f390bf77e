package badgerstore

import (
	"os"

	"golang.org/x/sys/unix"
)

func fdatasync(f *os.File) error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); err != unix.EINTR {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}

// fallocate gives a file its size and reserves the blocks, so that a full disk shows here and not at a later write.
func fallocate(f *os.File, size int64) error {
	err := unix.Fallocate(int(f.Fd()), 0, 0, size)
	if err == unix.EOPNOTSUPP {
		return f.Truncate(size)
	}
	return os.NewSyscallError("fallocate", err)
}

func readAhead(f *os.File, from int64) error {
	return os.NewSyscallError("fadvise", unix.Fadvise(int(f.Fd()), from, 0, unix.FADV_SEQUENTIAL))
}
