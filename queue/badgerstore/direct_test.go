package badgerstore

import (
	"syscall"
	"testing"
)

// TestSegmentsWhileSomebodyWaits writes small and large groups to a journal whose segments are never ready: they are as large as they have to be, and used again.
func TestSegmentsWhileSomebodyWaits(t *testing.T) {
	t.Parallel()
	kinds(t, func(t *testing.T, key []byte, direct bool) {
		r := newJournalRig(t, Options{EncryptionKey: key, SegmentSize: 2 * leastSegment}, direct)
		for i, size := range []int{1000, leastSegment, 1000, leastSegment + 5<<20, 1000, leastSegment, leastSegment, leastSegment} {
			r.mustWrite(size, 1)
			if err := r.j.release(uint64(max(i, 1) - 1)); err != nil {
				t.Fatal(err)
			}
		}
		r.check(r.fs.copy(), 6, 0)
	})
}

// TestFilledSegments fills a file while somebody waits for it, and again while nobody does.
func TestFilledSegments(t *testing.T) {
	t.Parallel()
	r := newJournalRig(t, Options{SegmentSize: 2 * leastSegment}, true)
	f, err := r.fs.Create("file")
	if err != nil {
		t.Fatal(err)
	}
	size := int64(0)
	for _, c := range []struct{ asked, want int64 }{
		{segmentHeader + diskBlock, leastSegment}, {leastSegment, leastSegment}, {leastSegment + 1, leastSegment + zeroChunk}, {0, 2 * leastSegment}, {0, 2 * leastSegment},
	} {
		r.j.asked.Store(c.asked)
		if size, err = r.j.fill(f, size); err != nil || size != c.want {
			t.Errorf("%d bytes, %v; want %d where %d are asked for", size, err, c.want, c.asked)
		}
		if real, err := f.Size(); err != nil || real != size {
			t.Errorf("the file has %d bytes, %v; want %d", real, err, size)
		}
	}
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
