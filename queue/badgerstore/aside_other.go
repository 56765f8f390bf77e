//go:build !linux

package badgerstore

// aside exists on Linux only.
type aside struct{}

func newAside() (*aside, error) { return nil, errAside }

func (*aside) sync(uintptr) error { return errAside }

func (*aside) write(uintptr, []byte, int64) error { return errAside }

func (*aside) close() error { return nil }
