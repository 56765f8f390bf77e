//go:build !linux

package badgerstore

import "errors"

// asideSync exists on Linux only.
type asideSync struct{}

var errAside = errors.New("asynchronous sync is not to be had")

func newAsideSync() (*asideSync, error) { return nil, errAside }

func (*asideSync) sync(uintptr) error { return errAside }

func (*asideSync) close() error { return nil }
