package badgerstore

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/queuetest"
)

// Variables that make TestSpaceComesBack long: how much time it takes, such as 1h, and, set to anything, that it is real time and not virtual.
const (
	spaceEnv     = "SLUICE_SPACE"
	spaceRealEnv = "SLUICE_SPACE_REAL"
)

// TestSpaceComesBack runs a store in a steady state of enqueuing, delivering and pruning, and compares what it takes on the disk with what is live in
// it. `SLUICE_SPACE=1h go test -run TestSpaceComesBack -v -timeout 2h ./queue/badgerstore` runs an hour of virtual time.
func TestSpaceComesBack(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 100 MB")
	}
	span := 13 * time.Minute
	if long := os.Getenv(spaceEnv); long != "" {
		var err error
		if span, err = time.ParseDuration(long); err != nil {
			t.Fatal(err)
		}
	}
	o := small()
	o.MemTableSize, o.ValueLogFileSize = 2<<20, 4<<20
	l := &spaceLoad{t: t, random: rand.New(rand.NewPCG(1, 2)), rate: 100, retention: 5 * time.Minute, maintain: time.Minute}
	if os.Getenv(spaceRealEnv) != "" {
		l.rate, l.retention, l.maintain = 1000, 2*time.Minute, 10*time.Second
		o.MemTableSize, o.ValueLogFileSize, o.SegmentSize = 4<<20, 16<<20, 8<<20
		ticker := time.NewTicker(time.Second * spaceBatch / time.Duration(l.rate))
		defer ticker.Stop()
		l.now, l.wait = time.Now, func() { <-ticker.C }
	} else {
		clock := queuetest.NewClock()
		l.now, l.wait = clock.Now, func() { clock.Advance(time.Second * spaceBatch / time.Duration(l.rate)) }
	}
	o.Clock = l.now
	var err error
	if l.s, err = Open(t.TempDir(), o); err != nil {
		t.Fatal(err)
	}
	if worst := l.run(span); worst == 0 || worst > 2 {
		t.Errorf("the store took up to %.2f times what was live in it, want at most 2", worst)
	}
	if err := l.s.Close(); err != nil {
		t.Error(err)
	}
}

// TestSpaceOfMetadataComesBack puts large values beside the queue and deletes them, as a quarantine does.
func TestSpaceOfMetadataComesBack(t *testing.T) {
	t.Parallel()
	clock, dir := queuetest.NewClock(), t.TempDir()
	s := openSmall(t, dir, clock)
	defer func() { mustClose(t, s) }()
	empty := dirSize(dir)
	put := func(value []byte) {
		t.Helper()
		for i := range 400 {
			if err := s.PutMeta(t.Context(), fmt.Sprintf("quarantine/%03d", i), value); err != nil {
				t.Fatal(err)
			}
		}
	}
	put(make([]byte, 60<<10))
	full := dirSize(dir)
	put(nil)
	mustClose(t, s) // it need not be remembered by whoever deleted it
	s = openSmall(t, dir, clock)
	for range 15 {
		maintain(t, s, queue.Retention{})
	}
	if left := dirSize(dir); left-empty > (full-empty)/3 {
		t.Errorf("%.1f MiB, %.1f with all of it and %.1f before; %s", mib(left), mib(full), mib(empty), breakdown(dir))
	}
}

// breakdown says which files take the space.
func breakdown(dir string) string {
	sizes := map[string]int64{}
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			if info, err := d.Info(); err == nil {
				sizes[filepath.Ext(path)] += allocated(info)
			}
		}
		return nil
	})
	return fmt.Sprintf("value log %.1f, tables %.1f, memtables %.1f, journal %.1f", mib(sizes[".vlog"]), mib(sizes[".sst"]), mib(sizes[".mem"]), mib(sizes[".seg"]+sizes[""]))
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }

// spaceBatch is the number of events in one step of the load.
const spaceBatch = 100

// spaceLoad enqueues, delivers and prunes.
type spaceLoad struct {
	t         *testing.T
	s         *Store
	random    *rand.Rand
	now       func() time.Time
	wait      func() // until the next batch is due
	rate      int    // events in a second
	retention time.Duration
	maintain  time.Duration // between two calls of Maintain
	sizes     []liveSize
	n         int
}

type liveSize struct {
	at    time.Time
	bytes int64
}

// run returns the worst ratio of what the store takes to what is live in it, once there is as much to prune as comes in.
func (l *spaceLoad) run(span time.Duration) (worst float64) {
	l.t.Helper()
	start := l.now()
	next := start.Add(l.maintain)
	for l.now().Sub(start) < span {
		l.wait()
		l.enqueue(spaceBatch)
		l.deliver("app")
		if l.now().Before(next) {
			continue
		}
		next = next.Add(l.maintain)
		if _, err := l.s.Maintain(l.t.Context(), l.now(), queue.Retention{Delivered: l.retention, Dead: l.retention}); err != nil {
			l.t.Fatal(err)
		}
		used, live := dirSize(l.s.dir), l.live()
		ratio := float64(used) / float64(live)
		if l.now().Sub(start) >= 2*l.retention {
			worst = max(worst, ratio)
		}
		l.t.Logf("%6s: %d events, live %5.1f MiB, on disk %5.1f MiB, ratio %.2f; %s", l.now().Sub(start).Round(time.Second),
			l.s.applier.events.Load(), mib(live), mib(used), ratio, breakdown(l.s.dir))
	}
	l.t.Logf("%d events in %s; worst ratio in the steady state: %.2f", l.n, span, worst)
	return worst
}

func (l *spaceLoad) enqueue(n int) {
	events := make([]queue.NewEvent, n)
	size := int64(0)
	for i := range events {
		l.n++
		body := make([]byte, 600+l.random.IntN(1000))
		for k := range body {
			body[k] = byte(l.random.Uint32())
		}
		id := fmt.Sprintf("evt_%d", l.n)
		events[i] = queue.NewEvent{
			Event:    queue.Event{Source: "s", Provider: "p", EventID: id, Type: "t", ReceivedAt: l.now(), Method: "POST", URL: "https://h/x", Body: body},
			DedupKey: id, DedupWindow: l.retention, Deliveries: []queue.NewDelivery{{Destination: "app"}},
		}
		size += int64(len(body)) + 100 // the record's other fields, and its rows
	}
	var wg sync.WaitGroup
	for part := range 4 { // groups form as they do under load
		wg.Go(func() {
			if _, err := l.s.Enqueue(l.t.Context(), events[part*n/4:(part+1)*n/4]); err != nil {
				l.t.Error(err)
			}
		})
	}
	wg.Wait()
	l.sizes = append(l.sizes, liveSize{l.now(), size})
}

func (l *spaceLoad) deliver(destination string) {
	l.t.Helper()
	for {
		claimed, _, err := l.s.Claim(l.t.Context(), queue.ClaimRequest{Destination: destination, Limit: 100, Now: l.now(), Lease: time.Minute})
		if err != nil {
			l.t.Fatal(err)
		}
		if len(claimed) == 0 {
			return
		}
		settlements := make([]queue.Settlement, len(claimed))
		for i := range claimed {
			settlements[i] = queue.Settlement{
				Lease: claimed[i].Lease, State: queue.StateDelivered,
				Attempt: &queue.Attempt{At: l.now(), Duration: time.Millisecond, Status: 200},
			}
		}
		if _, err := l.s.Settle(l.t.Context(), settlements); err != nil {
			l.t.Fatal(err)
		}
	}
}

// claimSize is what a dedup claim takes; claims are kept by the day, so all of a short run are live.
const claimSize = 60

// live is what the retention keeps.
func (l *spaceLoad) live() (bytes int64) {
	cut := l.now().Add(-l.retention)
	for len(l.sizes) > 0 && !l.sizes[0].at.After(cut) {
		l.sizes = l.sizes[1:]
	}
	for _, s := range l.sizes {
		bytes += s.bytes
	}
	return bytes + claimSize*int64(l.n)
}

// TestSpaceOfLargeBodies: of events that are all delivered and pruned no more is left than is not worth collecting, though their rows would fill no memtable for long.
func TestSpaceOfLargeBodies(t *testing.T) {
	t.Parallel()
	clock, o := queuetest.NewClock(), small()
	o.Clock, o.NoSync = clock.Now, true
	s, err := Open(t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer mustClose(t, s)
	for round := range 10 {
		enqueue(t, s, fmt.Sprintf("%d-", round), 20, 400<<10)
		settleAll(t, s, queue.StateDelivered)
		clock.Advance(time.Second)
		maintain(t, s, queue.Retention{Delivered: 1})
		if size := dirSize(s.dir); size > 48<<20 {
			t.Fatalf("%d MiB are taken after %d MiB were stored, delivered and pruned", size>>20, (round+1)*8)
		}
	}
}
