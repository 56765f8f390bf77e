//go:build !linux

package badgerstore

// asideSync exists on Linux only.
type asideSync struct{}

func newAsideSync() (*asideSync, error) { return nil, errAside }

func (*asideSync) sync(uintptr) error { return errAside }

func (*asideSync) close() error { return nil }
