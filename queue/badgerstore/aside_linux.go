package badgerstore

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// aside writes and syncs files by the kernel's asynchronous I/O (io_submit(2); IOCB_CMD_FDSYNC is of Linux 4.18). Who waits for it
// is parked like somebody who waits for the network. A thread in a system call keeps its place among GOMAXPROCS until the scheduler's monitor
// takes it away, up to 10 ms later: on two cores that is half of the processor for all who are about to send the next group.
//
// It is for one caller at a time.
type aside struct {
	context uintptr // aio_context_t
	done    *os.File
	eventFD uint32
	request controlBlock
	list    [1]*controlBlock
	events  [1]completion
	count   [8]byte
}

// controlBlock is struct iocb of linux/aio_abi.h.
type controlBlock struct {
	_       [2]uint64 // data, key and flags of a read or write
	opcode  uint16
	_       int16 // priority
	fd      uint32
	buffer  uint64
	bytes   uint64
	offset  int64
	_       uint64
	flags   uint32
	eventFD uint32
}

// completion is struct io_event.
type completion struct {
	_      [2]uint64 // data, control block
	result int64
	_      int64
}

const (
	opPwrite    = 1 // IOCB_CMD_PWRITE
	opFdsync    = 3 // IOCB_CMD_FDSYNC
	flagEventFD = 1 // IOCB_FLAG_RESFD
)

// newAside returns errAside where the kernel or a sandbox does not let it.
func newAside() (*aside, error) {
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errAside, os.NewSyscallError("eventfd", err))
	}
	a := &aside{done: os.NewFile(uintptr(fd), "eventfd"), eventFD: uint32(fd)}
	a.list[0] = &a.request
	if _, _, errno := unix.Syscall(unix.SYS_IO_SETUP, 1, uintptr(unsafe.Pointer(&a.context)), 0); errno != 0 {
		return nil, errors.Join(fmt.Errorf("%w: %w", errAside, os.NewSyscallError("io_setup", errno)), a.done.Close())
	}
	return a, nil
}

// sync does what fdatasync does. It returns errAside if nothing was done; after any other error nobody knows what is on the disk.
func (a *aside) sync(fd uintptr) error {
	a.request = controlBlock{opcode: opFdsync, fd: uint32(fd)}
	return a.do("fdatasync", 0)
}

// write writes to a file. It returns what sync returns.
func (a *aside) write(fd uintptr, b []byte, off int64) error {
	a.request = controlBlock{opcode: opPwrite, fd: uint32(fd), buffer: uint64(uintptr(unsafe.Pointer(&b[0]))), bytes: uint64(len(b)), offset: off}
	err := a.do("pwrite", int64(len(b)))
	runtime.KeepAlive(b)
	return err
}

// do makes the request and waits for its result.
func (a *aside) do(name string, want int64) error {
	a.request.flags, a.request.eventFD = flagEventFD, a.eventFD
	n, _, errno := unix.Syscall(unix.SYS_IO_SUBMIT, a.context, 1, uintptr(unsafe.Pointer(&a.list[0])))
	if errno != 0 || n != 1 {
		return fmt.Errorf("%w: %w", errAside, os.NewSyscallError("io_submit", errno))
	}
	if _, err := a.done.Read(a.count[:]); err != nil {
		return fmt.Errorf("wait for a %s: %w", name, err)
	}
	n, errno = 0, unix.EINTR
	for errno == unix.EINTR {
		n, _, errno = unix.Syscall6(unix.SYS_IO_GETEVENTS, a.context, 1, 1, uintptr(unsafe.Pointer(&a.events[0])), 0, 0)
	}
	if errno != 0 || n != 1 {
		return fmt.Errorf("result of a %s: %w", name, os.NewSyscallError("io_getevents", errno))
	}
	switch res := a.events[0].result; {
	case res < 0:
		return os.NewSyscallError(name, syscall.Errno(-res))
	case res != want:
		return fmt.Errorf("%s: %d bytes of %d: %w", name, res, want, io.ErrShortWrite)
	}
	return nil
}

// close must not be called during a write or a sync.
func (a *aside) close() error {
	_, _, errno := unix.Syscall(unix.SYS_IO_DESTROY, a.context, 0, 0)
	err := a.done.Close()
	if errno != 0 {
		return errors.Join(os.NewSyscallError("io_destroy", errno), err)
	}
	return err
}
