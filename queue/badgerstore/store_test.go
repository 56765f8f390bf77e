package badgerstore

import (
	"testing"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/queuetest"
)

// small are options that make every limit be met soon: segments, memtables and value log files.
func small() Options {
	return Options{
		SegmentSize: 2 << 20, MemTableSize: 1 << 20, NumMemtables: 2, ValueLogFileSize: 2 << 20, ValueThreshold: 512, Ballast: -1, LockWait: -1,
	}
}

func openSmall(t testing.TB, dir string, clock *queuetest.Clock) *Store {
	t.Helper()
	o := small()
	o.Clock = clock.Now
	s, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConformance(t *testing.T) {
	queuetest.Run(t, func(t testing.TB, clock *queuetest.Clock) queue.Store { return openSmall(t, t.TempDir(), clock) })
}

func TestReopen(t *testing.T) {
	queuetest.RunReopen(t, func(t testing.TB, dir string, clock *queuetest.Clock) queue.Store { return openSmall(t, dir, clock) })
}
