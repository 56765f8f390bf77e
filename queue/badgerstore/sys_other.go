//go:build !linux

package badgerstore

import "os"

func fdatasync(f *os.File) error { return f.Sync() }

func fallocate(f *os.File, size int64) error { return f.Truncate(size) }

func readAhead(*os.File, int64) error { return nil }
