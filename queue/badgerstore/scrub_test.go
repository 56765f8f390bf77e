package badgerstore

import (
	"os"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/queuetest"
)

// TestScrub flips one bit in the middle of a table of a store that is open. The next rounds of maintenance tell about it, once, and leave the table as it is.
func TestScrub(t *testing.T) {
	t.Parallel()
	keys(t, func(t *testing.T, key []byte) {
		clock, dir := queuetest.NewClock(), t.TempDir()
		core, logs := observer.New(zap.ErrorLevel)
		with := func(o *Options) { o.EncryptionKey, o.Logger = key, zap.New(core) }
		s, err := openWith(t, dir, clock, with)
		if err != nil {
			t.Fatal(err)
		}
		enqueue(t, s, "a", 300, 900)
		mustClose(t, s) // writes a table
		if s, err = openWith(t, dir, clock, with); err != nil {
			t.Fatal(err)
		}
		defer mustClose(t, s)
		maintain(t, s, queue.Retention{Delivered: time.Hour})
		if n := s.Damaged(); n != 0 || logs.Len() > 0 {
			t.Fatalf("%d damaged in a sound store: %v", n, logs.All())
		}
		path := pick(t, dir, "db/*.sst")
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		b := make([]byte, 1)
		if _, err := f.ReadAt(b, 1000); err != nil {
			t.Fatal(err)
		}
		b[0] ^= 4
		if _, err := f.WriteAt(b, 1000); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			maintain(t, s, queue.Retention{Delivered: time.Hour})
		}
		found := logs.FilterField(zap.String("file", path))
		if s.Damaged() != 1 || found.Len() != 1 || logs.Len() != 1 {
			t.Errorf("%d damaged, and the log says %v; want one word about %s", s.Damaged(), logs.All(), path)
		}
		s.garbage = 1 << 40
		maintain(t, s, queue.Retention{Delivered: time.Hour})
		if _, err := os.Stat(path); err != nil || s.garbage == 0 {
			t.Errorf("the tree was compacted as a whole, and with it the broken table: %v", err)
		}
	})
}
