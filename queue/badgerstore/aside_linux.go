package badgerstore

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// asideSync syncs files as fdatasync does, by the kernel's asynchronous I/O (io_submit(2), IOCB_CMD_FDSYNC, Linux 4.18). Who waits for it
// is parked like somebody who waits for the network. A thread in fdatasync itself keeps its place among GOMAXPROCS until the scheduler's monitor
// takes it away, up to 10 ms later: on two cores that is half of the processor for all who are about to send the next group.
//
// It is for one caller at a time.
type asideSync struct {
	context uintptr // aio_context_t
	done    *os.File
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
	_       [4]uint64 // buffer, bytes, offset, reserved
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
	opFdsync    = 3 // IOCB_CMD_FDSYNC
	flagEventFD = 1 // IOCB_FLAG_RESFD
)

// newAsideSync returns errAside where the kernel or a sandbox does not let it.
func newAsideSync() (*asideSync, error) {
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errAside, os.NewSyscallError("eventfd", err))
	}
	a := &asideSync{done: os.NewFile(uintptr(fd), "eventfd")}
	a.request = controlBlock{opcode: opFdsync, flags: flagEventFD, eventFD: uint32(fd)}
	a.list[0] = &a.request
	if _, _, errno := unix.Syscall(unix.SYS_IO_SETUP, 1, uintptr(unsafe.Pointer(&a.context)), 0); errno != 0 {
		return nil, errors.Join(fmt.Errorf("%w: %w", errAside, os.NewSyscallError("io_setup", errno)), a.done.Close())
	}
	return a, nil
}

// sync returns errAside if nothing was done; after any other error nobody knows what is on the disk.
func (a *asideSync) sync(fd uintptr) error {
	a.request.fd = uint32(fd)
	n, _, errno := unix.Syscall(unix.SYS_IO_SUBMIT, a.context, 1, uintptr(unsafe.Pointer(&a.list[0])))
	if errno != 0 || n != 1 {
		return fmt.Errorf("%w: %w", errAside, os.NewSyscallError("io_submit", errno))
	}
	if _, err := a.done.Read(a.count[:]); err != nil {
		return fmt.Errorf("wait for a sync: %w", err)
	}
	n, errno = 0, unix.EINTR
	for errno == unix.EINTR {
		n, _, errno = unix.Syscall6(unix.SYS_IO_GETEVENTS, a.context, 1, 1, uintptr(unsafe.Pointer(&a.events[0])), 0, 0)
	}
	if errno != 0 || n != 1 {
		return fmt.Errorf("result of a sync: %w", os.NewSyscallError("io_getevents", errno))
	}
	if res := a.events[0].result; res != 0 {
		return os.NewSyscallError("fdatasync", syscall.Errno(-res))
	}
	return nil
}

// close must not be called during a sync.
func (a *asideSync) close() error {
	_, _, errno := unix.Syscall(unix.SYS_IO_DESTROY, a.context, 0, 0)
	err := a.done.Close()
	if errno != 0 {
		return errors.Join(os.NewSyscallError("io_destroy", errno), err)
	}
	return err
}
