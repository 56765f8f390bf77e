package badgerstore

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/sluice-webhooks/sluice/queue"
)

const journalDir = "journal"

// log is a journal in memory and what was promised of it.
type journalRig struct {
	testing.TB
	fs      *memFS
	options Options
	j       *journal
	next    uint64
	want    map[uint64][]byte // by number: what was promised
	commits [][2]uint64       // first and last of each
}

func newJournalRig(t testing.TB, o Options, direct bool) *journalRig {
	if o.SegmentSize == 0 {
		o.SegmentSize = 64 << 10
	}
	o.Logger = zap.NewNop()
	r := &journalRig{TB: t, fs: newMemFS(direct), options: o, next: 1, want: map[uint64][]byte{}}
	r.open(nil)
	return r
}

func (r *journalRig) open(old []doneSegment) {
	r.Helper()
	var err error
	if r.j, err = openJournal(r.fs, journalDir, &r.options, old, unnoted); err != nil {
		r.Fatal(err)
	}
}

// unnoted is what a journal tells of its segments where there is no high-water mark.
func unnoted(uint64) error { return nil }

// payload is the record of an event, as far as the journal is concerned.
func payload(seq uint64, size int) []byte { return bodyOf(fmt.Sprintf("%016d|", seq), size) }

// write appends one group of commits of the given sizes.
func (r *journalRig) write(size int, commits ...int) error {
	var records [][]byte
	var continues []bool
	first := r.next
	for _, n := range commits {
		for i := range n {
			records = append(records, payload(first+uint64(len(records)), size))
			continues = append(continues, i+1 < n)
		}
	}
	if _, err := r.j.append(first, records, continues); err != nil {
		return err
	}
	for _, n := range commits {
		r.commits = append(r.commits, [2]uint64{r.next, r.next + uint64(n) - 1})
		for range n {
			r.want[r.next] = payload(r.next, size)
			r.next++
		}
	}
	return nil
}

func (r *journalRig) mustWrite(size int, commits ...int) {
	r.Helper()
	if err := r.write(size, commits...); err != nil {
		r.Fatal(err)
	}
}

// read replays a journal and returns what it holds.
func (r *journalRig) read(fsys *memFS, applied uint64) (got map[uint64][]byte, last uint64, old []doneSegment, err error) {
	got = map[uint64][]byte{}
	before := applied
	last, old, err = replayJournal(fsys, journalDir, r.options.EncryptionKey, applied, func(seq uint64, rec []byte) error {
		if seq != before+1 {
			r.Errorf("event %d comes after %d", seq, before)
		}
		before = seq
		got[seq] = bytes.Clone(rec)
		return nil
	})
	return got, last, old, err
}

// check replays a journal and compares it with what was promised after applied. more are events that may be there as well.
func (r *journalRig) check(fsys *memFS, applied uint64, more int) (last uint64, old []doneSegment) {
	r.Helper()
	got, last, old, err := r.read(fsys, applied)
	if err != nil {
		r.Fatal(err)
	}
	for seq := applied + 1; seq < r.next; seq++ {
		if !bytes.Equal(got[seq], r.want[seq]) {
			r.Fatalf("event %d is %.40q, want %.40q", seq, got[seq], r.want[seq])
		}
	}
	if extra := int(last) - int(r.next-1); extra < 0 || extra > more {
		r.Fatalf("the last event is %d, want %d and at most %d more", last, r.next-1, more)
	}
	return last, old
}

func keys(t *testing.T, run func(t *testing.T, key []byte)) {
	t.Run("Plain", func(t *testing.T) { run(t, nil) })
	t.Run("Encrypted", func(t *testing.T) { run(t, []byte("0123456789abcdef")) })
}

// kinds runs a test with each kind of journal.
func kinds(t *testing.T, run func(t *testing.T, key []byte, direct bool)) {
	t.Run("Cached", func(t *testing.T) { keys(t, func(t *testing.T, key []byte) { run(t, key, false) }) })
	t.Run("Direct", func(t *testing.T) { keys(t, func(t *testing.T, key []byte) { run(t, key, true) }) })
}

func TestJournalIsReadBack(t *testing.T) {
	t.Parallel()
	kinds(t, func(t *testing.T, key []byte, direct bool) {
		r := newJournalRig(t, Options{EncryptionKey: key}, direct)
		random := rand.New(rand.NewPCG(1, 2))
		for range 120 {
			r.mustWrite(30+random.IntN(900), 1+random.IntN(3), 1, 1+random.IntN(2))
		}
		if n, _ := r.fs.List(journalDir, journalPattern); len(n) < 3 {
			t.Fatalf("%d segments: nothing was rotated", len(n))
		}
		for _, applied := range []uint64{0, 1, 57, r.next / 2, r.next - 2, r.next - 1} {
			r.check(r.fs.copy(), applied, 0)
		}
	})
}

// TestJournalRecycles writes far more than fits, frees what is applied, and reads after each step: what a recycled file held in its former
// lives must never show.
func TestJournalRecycles(t *testing.T) {
	t.Parallel()
	kinds(t, func(t *testing.T, key []byte, direct bool) {
		r := newJournalRig(t, Options{EncryptionKey: key}, direct)
		random := rand.New(rand.NewPCG(3, 4))
		applied := uint64(0)
		for round := range 60 {
			// Always the same size, so that old frames lie where new ones end.
			for range 1 + random.IntN(40) {
				r.mustWrite(500, 1, 1)
			}
			if random.IntN(3) > 0 {
				applied += uint64(random.IntN(int(r.next - applied)))
				if err := r.j.release(applied); err != nil {
					t.Fatal(err)
				}
			}
			r.check(r.fs.copy(), applied, 0)
			if round%7 == 6 { // as after a crash
				last, old := r.check(r.fs.copy(), applied, 0)
				if err := r.j.close(0); err != nil {
					t.Fatal(err)
				}
				r.fs = r.fs.copy()
				r.next = last + 1
				r.open(old)
			}
		}
		if free, _ := r.fs.List(journalDir, freePattern); len(free) > maxFree+1 {
			t.Errorf("%d spare segments are kept", len(free))
		}
	})
}

// TestJournalAfterPowerCut cuts the power at any moment of a write: whole commits are there or not, and what was promised is.
func TestJournalAfterPowerCut(t *testing.T) {
	t.Parallel()
	kinds(t, func(t *testing.T, key []byte, direct bool) {
		r := newJournalRig(t, Options{EncryptionKey: key}, direct)
		random := rand.New(rand.NewPCG(5, 6))
		for range 400 {
			commits := []int{1 + random.IntN(3), 1 + random.IntN(3)}
			size := 40 + random.IntN(1500)
			if random.IntN(4) > 0 {
				r.mustWrite(size, commits...)
				continue
			}
			// The write arrives, in part or as a whole, and its sync never comes.
			broken, bad := opSync, fault{err: errBroken}
			if random.IntN(2) == 0 {
				broken, bad.short = opWrite, random.IntN(3000)
			}
			r.fs.setFault(func(op, path string) *fault {
				if op == broken && strings.HasSuffix(path, ".seg") {
					return &bad
				}
				return nil
			})
			if err := r.write(size, commits...); err == nil || errors.Is(err, queue.ErrFull) {
				t.Fatalf("a write without a sync: %v", err)
			}
			r.fs.setFault(nil)
			after := r.fs.cut(random, float64(random.IntN(3))/2)
			got, last, old, err := r.read(after, 0)
			if err != nil {
				t.Fatal(err)
			}
			r.adopt(got, last, commits, size)
			if err := r.j.close(0); err != nil {
				t.Fatal(err)
			}
			r.fs = after
			r.open(old)
			// What is free now must not be what is written next.
			if err := r.j.release(0); err != nil {
				t.Fatal(err)
			}
		}
		r.check(r.fs.copy(), 0, 0)
	})
}

// adopt checks what was read after a write that failed, and makes it what is promised.
func (r *journalRig) adopt(got map[uint64][]byte, last uint64, commits []int, size int) {
	r.Helper()
	for seq, want := range r.want {
		if !bytes.Equal(got[seq], want) {
			r.Fatalf("event %d is %.40q, want %.40q", seq, got[seq], want)
		}
	}
	ends := []uint64{r.next - 1}
	for _, n := range commits {
		ends = append(ends, ends[len(ends)-1]+uint64(n))
	}
	if !slices.Contains(ends, last) {
		r.Fatalf("the last event is %d: half a commit (whole ones end at %v)", last, ends)
	}
	for ; r.next <= last; r.next++ {
		if r.want[r.next] = payload(r.next, size); !bytes.Equal(got[r.next], r.want[r.next]) {
			r.Fatalf("event %d, which was not promised, is %.40q", r.next, got[r.next])
		}
	}
}

// TestHalfCommitAtTheBeginning leaves a segment behind that begins with half a commit. The next one gets the same number, and the same name.
func TestHalfCommitAtTheBeginning(t *testing.T) {
	t.Parallel()
	kinds(t, func(t *testing.T, key []byte, direct bool) {
		r := newJournalRig(t, Options{EncryptionKey: key}, direct)
		r.fs.setFault(func(op, path string) *fault {
			if op == opWrite && strings.HasSuffix(path, ".seg") {
				return &fault{err: errBroken, short: frameSize(600+sealOverhead(key)) + 100}
			}
			return nil
		})
		if err := r.write(600, 3); err == nil {
			t.Fatal("a write to a broken disk succeeded")
		}
		after := r.fs.copy()
		if err := r.j.close(0); err != nil {
			t.Fatal(err)
		}
		r.fs = after
		last, old := r.check(r.fs, 0, 0)
		if last != 0 || len(old) != 1 {
			t.Fatalf("last %d, segments %+v: nothing of half a commit counts", last, old)
		}
		r.open(old)
		if err := r.j.release(last); err != nil {
			t.Fatal(err)
		}
		r.mustWrite(600, 1)
		if err := r.j.release(1); err != nil { // frees what is done, and that is not the segment that is being written
			t.Fatal(err)
		}
		r.mustWrite(600, 1, 2)
		r.check(r.fs.copy(), 0, 0)
	})
}

func TestJournalKeys(t *testing.T) {
	t.Parallel()
	r := newJournalRig(t, Options{EncryptionKey: []byte("0123456789abcdef")}, false)
	r.mustWrite(100, 1, 1)
	for _, c := range []struct {
		key, want string
	}{{"", "no encryption key is configured"}, {"fedcba9876543210", "the encryption key is not the one it was written with"}} {
		_, _, err := replayJournal(r.fs.copy(), journalDir, []byte(c.key), 0, func(uint64, []byte) error { return nil })
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("key %q: %v, want %q", c.key, err, c.want)
		}
	}
	for path, f := range r.fs.copy().files {
		if bytes.Contains(f.data, payload(1, 100)[:40]) {
			t.Errorf("%s holds the event in the clear", path)
		}
	}
}

// TestLooseJournal cuts the power of a journal that is not synced: it loses its end, and nothing else, and can be opened.
func TestLooseJournal(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(7, 8))
	for range 40 {
		r := newJournalRig(t, Options{NoSync: true}, true)
		for range 10 + random.IntN(150) {
			r.mustWrite(40+random.IntN(1500), 1+random.IntN(3))
		}
		got, last, _, err := r.read(r.fs.cut(random, random.Float64()), 0)
		if err != nil {
			t.Fatal(err)
		}
		for seq := uint64(1); seq <= last; seq++ {
			if !bytes.Equal(got[seq], r.want[seq]) {
				t.Fatalf("event %d is %.40q, want %.40q", seq, got[seq], r.want[seq])
			}
		}
		if err := r.j.close(0); err != nil {
			t.Fatal(err)
		}
	}
}
