//go:build !linux

package badgerstore

import "errors"

// OpenDirect implements filesystem: there are direct files on Linux only.
func (osFS) OpenDirect(string) (directFile, error) { return nil, errors.ErrUnsupported }
