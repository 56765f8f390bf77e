package badgerstore

import (
	"syscall"
	"testing"
)

// TestFirstSegmentIsSmall writes more at once than the segment has room for that the first write does not have to wait for.
func TestFirstSegmentIsSmall(t *testing.T) {
	t.Parallel()
	kinds(t, func(t *testing.T, key []byte, direct bool) {
		r := newJournalRig(t, Options{EncryptionKey: key, SegmentSize: 2 * quickSegment}, direct)
		r.mustWrite(quickSegment+1000, 1)
		r.mustWrite(1000, 1)
		r.check(r.fs.copy(), 0, 0)
		for path, f := range r.fs.copy().files {
			if len(f.data) < 2*quickSegment {
				t.Errorf("%s has %d bytes", path, len(f.data))
			}
		}
		small := newJournalRig(t, Options{EncryptionKey: key, SegmentSize: 2 * quickSegment}, direct)
		small.mustWrite(1000, 1)
		small.mustWrite(quickSegment, 1)
		small.mustWrite(1000, 1)
		small.check(small.fs.copy(), 0, 0)
		if err := small.j.release(1); err != nil { // the small one is made larger, and used again
			t.Fatal(err)
		}
		for range 3 {
			small.mustWrite(quickSegment, 1)
		}
		small.check(small.fs.copy(), 1, 0)
	})
}

// TestDirectWritesRefused has a file system that opens files to be written past its cache and does not write them so.
func TestDirectWritesRefused(t *testing.T) {
	t.Parallel()
	r := newJournalRig(t, Options{}, true)
	r.fs.setFault(failAt(opDirect, 1, fault{err: syscall.EINVAL}, true))
	for range 200 {
		r.mustWrite(700, 1, 1)
	}
	r.check(r.fs.copy(), 0, 0)
}
