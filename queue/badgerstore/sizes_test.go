package badgerstore

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/sluice-webhooks/sluice/queue/queuetest"
)

// TestSmallDisk makes a store on a disk that is smaller than the usual reserve, and opens it again when the disk has grown.
func TestSmallDisk(t *testing.T) {
	dir := t.TempDir()
	total := int64(300 << 20)
	space := func(string) (free, size int64, err error) { return total - 20<<20, total, nil }
	var first Options
	for range 2 {
		s, err := Open(dir, Options{diskSpace: space})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.disk.accepts(); err != nil {
			t.Errorf("on a disk of %d MiB: %v", total>>20, err)
		}
		if s.o.reserve() > 300<<20/2 {
			t.Errorf("reserve is %d MiB", s.o.reserve()>>20)
		}
		if int64(s.o.MaxTail) > s.o.reserve()/4 {
			t.Errorf("%d MiB of events may wait for the database", s.o.MaxTail>>20)
		}
		if total == 300<<20 {
			first = s.o
		} else if s.o.MemTableSize != first.MemTableSize || s.o.SegmentSize != first.SegmentSize || s.o.ValueLogFileSize != first.ValueLogFileSize {
			t.Errorf("sizes changed from %d to %d", first.MemTableSize, s.o.MemTableSize)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		total = 300 << 30
	}
	roomy := t.TempDir()
	s, err := Open(roomy, Options{diskSpace: space})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if s.o.MemTableSize != 8<<20 {
		t.Errorf("a store on a large disk has memtables of %d bytes", s.o.MemTableSize)
	}
}

// TestSizesOfEarlierVersions opens a store that has no file with its sizes: its memtables may be larger than those of today.
func TestSizesOfEarlierVersions(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, Options{MemTableSize: earlierSizes.MemTable, Ballast: -1})
	if err != nil {
		t.Fatal(err)
	}
	enqueue(t, s, "e", 12_000, 700) // more than one of today's holds
	if err := s.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	killed := copyDir(t, dir)
	mustClose(t, s)
	if _, err := os.Stat(filepath.Join(killed, sizesName)); err == nil {
		t.Fatal("there is a file with sizes")
	}
	if s, err = Open(killed, Options{Ballast: -1}); err != nil {
		t.Fatal(err)
	}
	if got := (fileSizes{s.o.SegmentSize, s.o.MemTableSize, s.o.ValueLogFileSize}); got != earlierSizes {
		t.Errorf("sizes %+v, want %+v", got, earlierSizes)
	}
	mustClose(t, s)
}

// TestValueLogIsMappedOnce has much to write at once: no file of the value log becomes larger than what Badger has mapped of it.
func TestValueLogIsMappedOnce(t *testing.T) {
	t.Parallel()
	d, clock := newFakeDisk(), queuetest.NewClock()
	s := openOn(t, d, t.TempDir(), clock)
	held := make(chan struct{})
	d.held.Store(&held) // the applier asks before it writes
	enqueue(t, s, "a", 100, 100<<10)
	d.held.Store(nil)
	close(held)
	if err := s.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	logs, err := filesIn(filepath.Join(s.dir, "db"), "*.vlog")
	if err != nil || len(logs) == 0 {
		t.Fatal(logs, err)
	}
	for _, path := range logs {
		if info, err := os.Stat(path); err != nil || info.Size() > 2*s.o.ValueLogFileSize {
			t.Errorf("%s: %v bytes, %v", path, info.Size(), err)
		}
	}
}
